"""What a configuration must hold beyond its types.

Every fault is reported at once, each by its key.
"""

import ipaddress
import re
from collections.abc import Mapping
from datetime import datetime

from apps.catalogue import DATABASES, SERVICES
from infrastructure.config import limits
from infrastructure.config.connections import connection_faults
from infrastructure.config.files import ROOT, read_config
from infrastructure.config.model import EnvironmentSettings, Instance, SettingsError
from infrastructure.config.naming import ENVIRONMENTS, PROJECT
from infrastructure.config.production import production_faults

# What services verify RDS by. Each authority is headed by its region.
AUTHORITIES = ROOT / "apps" / "kit" / "rds.pem"

# HTTPS and mail over TLS.
OUTBOUND_PORTS = frozenset({443, 465, 587})

# MSK's most for a broker.
LARGEST_BROKER_GIB = 16_384


def check_environment(name: str, region: str, config: EnvironmentSettings) -> None:
    faults = [*layout_faults(region, config), *size_faults(config)]
    if not faults:
        faults += connection_faults(config, production=name == "prod")
    if name == "prod":
        faults += production_faults(config)
    if f"# {region}, " not in AUTHORITIES.read_text():
        faults.append(
            f"aws:region: {AUTHORITIES.relative_to(ROOT)} has no authority of RDS in {region}"
        )
    if config.images == "promote" and not config.images_from:
        faults.append("images-from is required to promote: the environment whose images are taken")
    if config.images_from and not (config.images_from != name and builds(config.images_from)):
        faults.append(
            f"images-from must be another environment that builds, not {config.images_from}"
        )
    elif (
        config.images_from
        and config.interface_endpoints
        and region_of(config.images_from) != region
    ):
        faults.append("images-from must lie in this region: interface endpoints reach no other")
    if config.previews and (
        others := [each for each in ENVIRONMENTS if each != name and takes_previews(each)]
    ):
        # Their state, names and tags are a preview's, whatever its base is: two bases would reap
        # each other's.
        faults.append(f"previews are on {others[0]} already: one environment takes them")
    if config.images_life < 1 or (config.images_life > 1 and config.images != "build"):
        faults.append("images-life must be from 1 up, and is for images: build")
    if config.image_readers and config.images != "build":
        faults.append("image-readers is for images: build: what promotes has no repositories")
    if wrong := [each for each in config.image_readers if not re.fullmatch(r"\d{12}", each)]:
        faults.append(f"image-readers takes accounts of twelve digits, not {wrong[0]}")
    if config.images == "build" and config.images_from:
        faults.append("images-from is for images: promote")
    try:
        check_app(config.app, name)
    except SettingsError as error:
        faults.append(str(error))
    if faults:
        raise SettingsError("\n".join(faults))


def builds(environment: str) -> bool:
    return environment in ENVIRONMENTS and read_config(environment)[f"{PROJECT}:images"] == "build"


def takes_previews(environment: str) -> bool:
    try:
        return read_config(environment).get(f"{PROJECT}:previews") == "true"
    except FileNotFoundError:
        # An environment that the team does not have.
        return False


def region_of(environment: str) -> str:
    return read_config(environment)["aws:region"]


def layout_faults(region: str, config: EnvironmentSettings) -> list[str]:
    faults: list[str] = []
    try:
        network = ipaddress.IPv4Network(config.vpc_cidr)
        if network.prefixlen != 16 or not network.is_private:
            faults.append("vpc-cidr must be a private /16")
    except ValueError:
        faults.append(f"vpc-cidr is no network: {config.vpc_cidr}")
    zones = config.availability_zones
    if len(zones) not in (2, 3) or len(set(zones)) != len(zones):
        faults.append("availability-zones must be two or three, each once")
    if any(not re.fullmatch(re.escape(region) + "[a-z]", zone) for zone in zones):
        faults.append(f"availability-zones must lie in {region}")
    if zones and config.stream.brokers % len(zones):
        faults.append("stream.brokers must be a multiple of the availability zones")
    if config.nat == "none" and not config.interface_endpoints:
        faults.append("nat: none needs interface-endpoints: tasks reach AWS by one of the two")
    if config.outbound_ports and config.nat == "none":
        faults.append("outbound-ports need nat: what calls out leaves by it")
    if not set(config.outbound_ports) <= OUTBOUND_PORTS:
        faults.append(f"outbound-ports must be of {sorted(OUTBOUND_PORTS)}")
    if config.domain != config.zone_name and not config.domain.endswith("." + config.zone_name):
        faults.append("domain must lie in zone-name")
    return faults


def size_faults(config: EnvironmentSettings) -> list[str]:
    faults: list[str] = []
    placed = [
        database for instance in config.data.instances.values() for database in instance.databases
    ]
    if sorted(placed) != sorted(DATABASES):
        faults.append(f"data.instances must hold each of {', '.join(DATABASES)} once")
    for name, instance in config.data.instances.items():
        if not 20 <= instance.storage_gib < instance.storage_limit_gib:
            faults.append(
                f"data.instances.{name}.storage-gib must be from 20 up, below storage-limit-gib"
            )
        if not re.fullmatch(r"db\.[a-z0-9]+\.[a-z0-9]+", instance.instance_class):
            faults.append(
                f"data.instances.{name}.instance-class is no RDS class: {instance.instance_class}"
            )
        faults += [f"data.instances.{name}.{fault}" for fault in life_faults(instance)]
    if not 1 <= config.data.backup_retention_days <= 35:
        faults.append("data.backup-retention-days must be from 1 to 35")
    if not re.fullmatch(r"(kafka|express)\.[a-z0-9]+\.[a-z0-9]+", config.stream.broker_class):
        faults.append(f"stream.broker-class is no MSK class: {config.stream.broker_class}")
    if not re.fullmatch(r"\d+\.\d+\.(x|\d+)(\.kraft)?", config.stream.kafka_version):
        faults.append(f"stream.kafka-version is none of MSK's: {config.stream.kafka_version}")
    if not config.stream.storage_gib < config.stream.storage_limit_gib <= LARGEST_BROKER_GIB:
        faults.append(
            f"stream.storage-limit-gib must be above storage-gib, to {LARGEST_BROKER_GIB}"
        )
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", config.notices_email):
        faults.append("notices-email must be an address: alarms must reach somebody")
    if config.secrets_version < 1:
        faults.append("secrets-version must be from 1 up")
    if config.log_retention_days not in limits.LOG_RETENTION_DAYS:
        faults.append(f"log-retention-days must be one of {sorted(limits.LOG_RETENTION_DAYS)}")
    if not 10 <= config.rate_limit_requests <= 2_000_000_000:
        faults.append("rate-limit-requests must be from 10 up, in five minutes and by address")
    if config.github and not re.fullmatch(r"[\w.-]+/[\w.-]+", config.github.repository):
        faults.append("github.repository must be owner/name")
    if config.github:
        ids = (config.github.owner_id, config.github.repository_id)
        if (None in ids and ids != (None, None)) or any(
            each is not None and each < 1 for each in ids
        ):
            faults.append("github.owner-id and github.repository-id are given together, from 1 up")
    if config.github and not re.fullmatch(
        r"([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])?", config.github.state_bucket
    ):
        faults.append("github.state-bucket must be the name of a bucket, without s3:// and path")
    if config.budget_usd < 1:
        faults.append("budget-usd must be from 1 up")
    if config.replicas and not 1 <= config.replicas.minimum <= config.replicas.maximum:
        faults.append("replicas.minimum must be from 1 to replicas.maximum")
    return faults


def life_faults(instance: Instance) -> list[str]:
    """Returns what is wrong with an instance's version, generation and backup."""
    faults = []
    if not re.fullmatch(r"1[6-9]|2[0-9]", instance.engine_version):
        faults.append("engine-version must be a major version from 16 up, such as 18")
    elif instance.upgraded_from is not None and not (
        re.fullmatch(r"1[6-9]|2[0-9]", instance.upgraded_from)
        and int(instance.upgraded_from) < int(instance.engine_version)
    ):
        faults.append("upgraded-from must be a major version below engine-version")
    if not 1 <= instance.generation <= 999:
        faults.append("generation must be from 1 to 999")

    restore = instance.restore
    if restore is None:
        return faults
    if instance.generation == 1:
        faults.append("restore needs a generation from 2 up: a backup makes another instance")
    if (restore.snapshot is None) == (restore.instance is None):
        faults.append("restore names a snapshot or an instance, one of them")
    if restore.time is not None and (restore.instance is None or not is_time(restore.time)):
        faults.append("restore.time is a time in RFC 3339 with its zone, of an instance")
    return faults


def is_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def check_app(app: Mapping[str, str], kind: str) -> None:
    known = {setting for service in SERVICES.values() for setting in service.settings} - {
        "TLS_SELF_SIGNED"
    }
    if unknown := sorted(set(app) - known):
        raise SettingsError(f"app.{unknown[0]} is no setting of any service")
    if kind == "prod" and app.get("AUTH_PASSWORD_LOGIN_ENABLED", "false") == "true":
        raise SettingsError("app.AUTH_PASSWORD_LOGIN_ENABLED must not be true in production")
