"""Computes how many connections an RDS instance takes, and how many the connection pools on it may
open at once.
"""

import re
from collections.abc import Iterable

from apps.catalogue import SERVICES, Replicas, Service
from infrastructure.config.model import EnvironmentSettings, Instance

# RDS's default of max_connections: LEAST(DBInstanceClassMemory / 9531392, 5000).
# https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/CHAP_Limits.html
BYTES_A_CONNECTION = 9_531_392
HIGHEST_CONNECTIONS = 5_000
# RDS keeps a part of the memory for itself and does not publish how much. These are estimates from
# known instances (about 80 connections on 1 GiB, 190 on 2, 405 on 4), rounded down.
KEPT_MIB, KEPT_SHARE = 300, 0.08
MEMORY_GIB = {"micro": 1, "small": 2, "medium": 4, "large": 8, "xlarge": 16}
# For superusers, RDS itself, the release, and an operator.
RESERVED_CONNECTIONS = 10
# Each replica of the patient service holds one connection more for each of its relays.
OUTSIDE_POOL = {"patient": 2}
# During a deployment the old tasks of a service and its new ones run at once.
ROLLING = 2
# A preview runs one replica of each service, on the base's instance, which it shares with the other
# previews.
PREVIEW_POOL_SIZE = 3


def replicas(entry: Service, config: EnvironmentSettings, *, production: bool) -> Replicas:
    """Returns the replicas of the catalogue, narrowed by the environment's settings."""
    narrowed = config.replicas
    if narrowed is None:
        # Production never runs one of anything: a replica is lost with its zone.
        least = max(2, entry.replicas.minimum) if production else entry.replicas.minimum
        return Replicas(least, max(least, entry.replicas.maximum))
    return Replicas(
        narrowed.minimum, max(narrowed.minimum, min(entry.replicas.maximum, narrowed.maximum))
    )


def memory_bytes(instance_class: str) -> int:
    """Returns the memory of an RDS class. Raises ValueError if it is not known."""
    found = re.fullmatch(r"db\.([tmr])\d[a-z]*\.(\d*)([a-z]+)", instance_class)
    if not found or found[3] not in MEMORY_GIB:
        raise ValueError(
            f"how much memory {instance_class} has is not known: "
            f"infrastructure/config/connections.py"
        )
    # `r` has twice the memory of its size.
    gib = MEMORY_GIB[found[3]] * int(found[2] or 1) * (2 if found[1] == "r" else 1)
    return gib * 1024**3


def is_burstable(instance_class: str) -> bool:
    """Returns whether the class saves CPU credits while it is idle."""
    return instance_class.startswith("db.t")


def capacity(instance_class: str) -> int:
    """Returns how many connections services may open on this class.

    Raises ValueError if its memory is not known.
    """
    mib = memory_bytes(instance_class) / 1024**2
    usable = mib - max(KEPT_MIB, mib * KEPT_SHARE)
    return (
        min(int(usable * 1024**2 / BYTES_A_CONNECTION), HIGHEST_CONNECTIONS) - RESERVED_CONNECTIONS
    )


def opened(entry: Service, count: int, pool_size: int) -> int:
    """Returns the connections that `count` replicas of a service open if every pool is full."""
    return count * (pool_size * len(entry.databases) + OUTSIDE_POOL.get(entry.name, 0))


def of_environment(
    config: EnvironmentSettings, databases: Iterable[str], *, production: bool
) -> int:
    """Returns the most connections on an instance with `databases`: all replicas, while every
    service is deployed.
    """
    on_it = [entry for entry in SERVICES.values() if set(entry.databases) & set(databases)]
    return ROLLING * sum(
        opened(entry, replicas(entry, config, production=production).maximum, config.data.pool_size)
        for entry in on_it
    )


def of_role(config: EnvironmentSettings, *, production: bool) -> int:
    """Returns the most connections that any service's role needs; the release limits each role to
    it.
    """
    return max(
        of_environment(config, entry.databases, production=production)
        for entry in SERVICES.values()
    )


def previews_that_fit(config: EnvironmentSettings) -> int:
    """Returns how many previews fit on the tightest instance.

    It counts full pools in every preview, and the environment while all its services are deployed.
    """
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
            "previews: the databases' instances take no preview's connections beside the "
            "environment's own"
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
        f"and {instance.instance_class} takes {taken}: fewer a pool, fewer replicas, or a larger "
        f"class"
    ]
