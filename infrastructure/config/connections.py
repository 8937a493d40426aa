"""How many connections an RDS instance takes, and how many the pools of what runs on it may open at once."""

import re
from collections.abc import Iterable

from apps.catalogue import SERVICES, Replicas, Service
from infrastructure.config.model import EnvironmentSettings, Instance

# RDS's default of max_connections: LEAST(DBInstanceClassMemory / 9531392, 5000).
# https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/CHAP_Limits.html
BYTES_A_CONNECTION = 9_531_392
HIGHEST_CONNECTIONS = 5_000
# Of a class's memory RDS keeps a part for itself, which it does not publish: reckoned from instances seen (about 80
# connections on 1 GiB, 190 on 2, 405 on 4), and rounded to their disadvantage.
KEPT_MIB, KEPT_SHARE = 300, 0.08
MEMORY_GIB = {"micro": 1, "small": 2, "medium": 4, "large": 8, "xlarge": 16}
# Superusers' and RDS's own, the release's, and a person's who looks.
RESERVED_CONNECTIONS = 10
# Beside its pool each replica of the patient service holds one for each of its relays.
OUTSIDE_POOL = {"patient": 2}
# While a service rolls, its old tasks and its new ones are there.
ROLLING = 2
# A preview has one replica of everything, and shares its base's instance with everyone else's.
PREVIEW_POOL_SIZE = 3


def replicas(entry: Service, config: EnvironmentSettings, *, production: bool) -> Replicas:
    """The catalogue's, narrowed by the environment."""
    narrowed = config.replicas
    if narrowed is None:
        # Production never runs one of anything: a replica is lost with its zone.
        least = max(2, entry.replicas.minimum) if production else entry.replicas.minimum
        return Replicas(least, max(least, entry.replicas.maximum))
    return Replicas(
        narrowed.minimum, max(narrowed.minimum, min(entry.replicas.maximum, narrowed.maximum))
    )


def capacity(instance_class: str) -> int:
    """For services. Raises ValueError where the class's memory is not known."""
    found = re.fullmatch(r"db\.([tmr])\d[a-z]*\.(\d*)([a-z]+)", instance_class)
    if not found or found[3] not in MEMORY_GIB:
        raise ValueError(
            f"how much memory {instance_class} has is not known: infrastructure/config/connections.py"
        )
    # `r` has twice the memory of its size.
    gib = MEMORY_GIB[found[3]] * int(found[2] or 1) * (2 if found[1] == "r" else 1)
    mib = gib * 1024
    usable = mib - max(KEPT_MIB, mib * KEPT_SHARE)
    return (
        min(int(usable * 1024**2 / BYTES_A_CONNECTION), HIGHEST_CONNECTIONS) - RESERVED_CONNECTIONS
    )


def opened(entry: Service, count: int, pool_size: int) -> int:
    """By so many replicas of a service, when every pool is full."""
    return count * (pool_size * len(entry.databases) + OUTSIDE_POOL.get(entry.name, 0))


def of_environment(
    config: EnvironmentSettings, databases: Iterable[str], *, production: bool
) -> int:
    """On an instance that holds `databases`, scaled out as far as it goes, while all of it rolls."""
    on_it = [entry for entry in SERVICES.values() if set(entry.databases) & set(databases)]
    return ROLLING * sum(
        opened(entry, replicas(entry, config, production=production).maximum, config.data.pool_size)
        for entry in on_it
    )


def of_role(config: EnvironmentSettings, *, production: bool) -> int:
    """The most that any service's role needs: what the release lets a role open."""
    return max(
        of_environment(config, entry.databases, production=production)
        for entry in SERVICES.values()
    )


def previews_that_fit(config: EnvironmentSettings) -> int:
    """Beside the environment while it rolls, each preview at its fullest; as many as its fullest instance takes."""
    free = []
    for instance in config.data.instances.values():
        on_it = [
            entry for entry in SERVICES.values() if set(entry.databases) & set(instance.databases)
        ]
        each = sum(opened(entry, 1, PREVIEW_POOL_SIZE) for entry in on_it)
        room = capacity(instance.instance_class) - of_environment(
            config, instance.databases, production=False
        )
        free.append(max(0, room // each))
    return min(free)


def connection_faults(config: EnvironmentSettings, *, production: bool) -> list[str]:
    faults: list[str] = []
    if not 1 <= config.data.pool_size <= 50:
        return ["data.pool-size must be from 1 to 50"]
    for name, instance in config.data.instances.items():
        faults += instance_faults(name, instance, config, production)
    if config.previews and not faults and previews_that_fit(config) < 1:
        faults.append(
            "previews: the databases' instances take no preview's connections beside the environment's own"
        )
    return faults


def instance_faults(
    name: str, instance: Instance, config: EnvironmentSettings, production: bool
) -> list[str]:
    try:
        taken = capacity(instance.instance_class)
    except ValueError as error:
        return [f"data.instances.{name}.instance-class: {error}"]
    wanted = of_environment(config, instance.databases, production=production)
    if wanted <= taken:
        return []
    return [
        f"data.pool-size: the pools on data.instances.{name} may open {wanted} connections, "
        f"and {instance.instance_class} takes {taken}: fewer a pool, fewer replicas, or a larger class"
    ]
