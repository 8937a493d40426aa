"""A stack's configuration, read once into one typed settings object; what is unsafe or unknown is refused by key.

Two kinds of stack share the program: an environment (`dev`, `staging`, `prod`) owns a platform and runs the app on
it; a preview (`pr-<number>`) runs the app on the platform of a base environment.
"""

import ipaddress
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from apps.catalogue import DATABASES, SERVICES
from infrastructure import limits
from infrastructure.connections import connection_faults
from infrastructure.plan.configuration import read_config
from infrastructure.production import production_faults

T = TypeVar("T")

PROJECT = "patient-management"
# On everything that a stack makes; a sweep finds by it what a stack that is no more has left.
STACK_TAG = f"{PROJECT}:stack"
ROOT = Path(__file__).parents[1]
# What services verify RDS by. Each authority is headed by its region.
AUTHORITIES = ROOT / "apps" / "kit" / "rds.pem"
ENVIRONMENTS = ("dev", "staging", "prod")
PREVIEW = re.compile(r"pr-([1-9][0-9]{0,4})\Z")
# A preview's listener rule has priority 1000 + N, and a listener's priorities end at 50000.
HIGHEST_PREVIEW = 48_999


class SettingsError(Exception):
    """The stack's configuration is not valid; each line names one key."""


class Struct(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    pass


class Instance(Struct, frozen=True, kw_only=True):
    """One RDS instance and the databases on it. `storage_gib` may grow by itself to `storage_limit_gib`."""

    databases: tuple[str, ...]
    instance_class: str
    storage_gib: int
    storage_limit_gib: int


class Data(Struct, frozen=True, kw_only=True):
    instances: dict[str, Instance]
    multi_az: bool
    deletion_protection: bool
    backup_retention_days: int
    # Of each service's pool, in each of its replicas.
    pool_size: int = 10
    performance_insights: bool = False


class Stream(Struct, frozen=True, kw_only=True):
    """`brokers` over all zones; `storage_gib` a broker."""

    broker_class: str
    brokers: int
    storage_gib: int


class GithubSettings(Struct, frozen=True, kw_only=True):
    """Whose workflows may come. An account has one OIDC provider. `state_bucket`: PULUMI_BACKEND_URL's, where in S3."""

    repository: str
    makes_provider: bool = True
    state_bucket: str = ""


class Replicas(Struct, frozen=True, kw_only=True):
    """Narrows what the catalogue says, for an environment that needs no spare replica."""

    minimum: int
    maximum: int


class Environment(Struct, frozen=True, kw_only=True):
    """The configuration of dev, staging or prod, as `Pulumi.<stack>.yaml` has it."""

    domain: str
    zone_name: str
    vpc_cidr: str
    availability_zones: tuple[str, ...]
    nat: Literal["single", "per-zone"]
    interface_endpoints: bool
    data: Data
    stream: Stream
    spot: bool
    service_tls: bool
    waf: bool
    images: Literal["build", "promote"]
    log_retention_days: int
    # Container Insights bills each service of each preview too.
    insights: bool
    budget_usd: int
    deletion_protection: bool
    notices_email: str | None = None
    replicas: Replicas | None = None
    previews: bool = False
    images_from: str | None = None
    # Of the repositories, which outlive their stack: one after the first takes over what the one before has left.
    images_life: int = 1
    # Accounts, by their twelve digits, whose environments promote the images that are built here.
    image_readers: tuple[str, ...] = ()
    github: GithubSettings | None = None
    # The firewall's, in five minutes from one address: what the gateway gives one client. A clinic may be one address.
    rate_limit_requests: int = 30_000
    app: dict[str, str] = {}


# One call signs a reviewer, or a test, in: nobody in a preview is real.
PREVIEW_APP = {"AUTH_PASSWORD_LOGIN_ENABLED": "true"}


class Preview(Struct, frozen=True, kw_only=True):
    """A preview's configuration, written by the command that makes it. Times in RFC 3339."""

    base: str
    expires: str
    keep: bool = False
    app: dict[str, str] = msgspec.field(default_factory=PREVIEW_APP.copy)


@dataclass(frozen=True, slots=True)
class EnvironmentStack:
    name: str
    region: str
    config: Environment

    @property
    def kind(self) -> str:
        return self.name

    @property
    def production(self) -> bool:
        return self.name == "prod"


@dataclass(frozen=True, slots=True)
class PreviewStack:
    name: str
    region: str
    number: int
    config: Preview

    @property
    def kind(self) -> str:
        return "preview"

    @property
    def prefix(self) -> str:
        """Of databases and roles. It ends with the delimiter, so that `pr_1_` is no prefix of `pr_12_patient`."""
        return f"pr_{self.number}_"


Stack = EnvironmentStack | PreviewStack


def parse_stack(name: str, config: Mapping[str, str]) -> Stack:
    """`config` as Pulumi hands it over: full keys, strings, structures as JSON. Raises SettingsError."""
    region = config.get("aws:region")
    if not region:
        raise SettingsError("aws:region is required")
    prefix = f"{PROJECT}:"
    values = {
        key.removeprefix(prefix): read(value)
        for key, value in config.items()
        if key.startswith(prefix)
    }
    if preview := PREVIEW.match(name):
        number = int(preview[1])
        if number > HIGHEST_PREVIEW:
            raise SettingsError(f"the stack {name}: a preview's number ends at {HIGHEST_PREVIEW}")
        settings = convert(values, Preview)
        if settings.base not in ENVIRONMENTS or settings.base == "prod":
            raise SettingsError(
                f"base must be dev or staging, never {settings.base}: previews hold no real data"
            )
        check_app(settings.app, "preview")
        return PreviewStack(name, region, number, settings)
    if name not in ENVIRONMENTS:
        raise SettingsError(
            f"a stack is one of {', '.join(ENVIRONMENTS)} or pr-<number>, not {name}"
        )
    environment = convert(values, Environment)
    check_environment(name, region, environment)
    return EnvironmentStack(name, region, environment)


def read(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value


def convert(values: Mapping[str, Any], kind: type[T]) -> T:
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError(str(error).replace("`$.", f"`{PROJECT}:")) from error


def check_environment(name: str, region: str, config: Environment) -> None:
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
        # Their state, names and tags are a preview's, whatever its base is: two bases would reap each other's.
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


def layout_faults(region: str, config: Environment) -> list[str]:
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
    if config.domain != config.zone_name and not config.domain.endswith("." + config.zone_name):
        faults.append("domain must lie in zone-name")
    return faults


def size_faults(config: Environment) -> list[str]:
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
    if not 1 <= config.data.backup_retention_days <= 35:
        faults.append("data.backup-retention-days must be from 1 to 35")
    if not re.fullmatch(r"(kafka|express)\.[a-z0-9]+\.[a-z0-9]+", config.stream.broker_class):
        faults.append(f"stream.broker-class is no MSK class: {config.stream.broker_class}")
    if config.log_retention_days not in limits.LOG_RETENTION_DAYS:
        faults.append(f"log-retention-days must be one of {sorted(limits.LOG_RETENTION_DAYS)}")
    if not 10 <= config.rate_limit_requests <= 2_000_000_000:
        faults.append("rate-limit-requests must be from 10 up, in five minutes and by address")
    if config.github and not re.fullmatch(r"[\w.-]+/[\w.-]+", config.github.repository):
        faults.append("github.repository must be owner/name")
    if config.github and not re.fullmatch(
        r"([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])?", config.github.state_bucket
    ):
        faults.append("github.state-bucket must be the name of a bucket, without s3:// and path")
    if config.budget_usd < 1:
        faults.append("budget-usd must be from 1 up")
    if config.replicas and not 1 <= config.replicas.minimum <= config.replicas.maximum:
        faults.append("replicas.minimum must be from 1 to replicas.maximum")
    return faults


def check_app(app: Mapping[str, str], kind: str) -> None:
    known = {setting for service in SERVICES.values() for setting in service.settings} - {
        "TLS_SELF_SIGNED"
    }
    if unknown := sorted(set(app) - known):
        raise SettingsError(f"app.{unknown[0]} is no setting of any service")
    if kind == "prod" and app.get("AUTH_PASSWORD_LOGIN_ENABLED", "false") == "true":
        raise SettingsError("app.AUTH_PASSWORD_LOGIN_ENABLED must not be true in production")
