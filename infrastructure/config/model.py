"""The configuration of a stack as typed values: one class for each structure in
`Pulumi.<stack>.yaml`.

Two kinds of stack share the program: an environment (`dev`, `staging`, `prod`) owns a platform and
runs the app on it; a preview (`pr-<number>`) runs the app on the platform of a base environment.
"""

from dataclasses import dataclass
from typing import Literal

import msgspec


class SettingsError(Exception):
    """The stack's configuration is not valid; each line names one key."""


class Struct(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    pass


class Restore(Struct, frozen=True, kw_only=True):
    """The backup that an instance starts from: a snapshot, or another instance at a point in time.

    `time` is in RFC 3339; without it `instance` is taken at its latest restorable time.
    """

    snapshot: str | None = None
    instance: str | None = None
    time: str | None = None


class Instance(Struct, frozen=True, kw_only=True):
    """One RDS instance and the databases on it. `storage_gib` may grow to `storage_limit_gib`.

    `engine_version`: PostgreSQL's major version. A higher one upgrades the instance.
    `upgraded_from`: the version before; its parameter group is kept while the upgrade waits.
    `generation`: part of the identifier from 2 on. Another generation is another instance, which
    `restore` fills from a backup.
    """

    databases: tuple[str, ...]
    instance_class: str
    storage_gib: int
    storage_limit_gib: int
    engine_version: str = "18"
    upgraded_from: str | None = None
    generation: int = 1
    restore: Restore | None = None


class Data(Struct, frozen=True, kw_only=True):
    instances: dict[str, Instance]
    multi_az: bool
    deletion_protection: bool
    backup_retention_days: int
    # Connections in the pool of each replica of a service.
    pool_size: int = 10
    performance_insights: bool = False


class StreamSettings(Struct, frozen=True, kw_only=True):
    """`brokers` over all zones; `storage_gib` a broker, which may grow to `storage_limit_gib`.

    `kafka_version` as MSK names it: `.kraft` at the end runs without ZooKeeper. An existing
    cluster changes between the two only where MSK migrates it in place.
    """

    broker_class: str
    brokers: int
    storage_gib: int
    storage_limit_gib: int
    kafka_version: str = "3.9.x.kraft"


class GithubSettings(Struct, frozen=True, kw_only=True):
    """The repository whose workflows may take on roles.

    `owner_id` and `repository_id` are GitHub's numbers. Since 15 July 2026 a repository that is
    new, renamed or transferred has them in the subject of its OIDC tokens; given here, both forms
    of the subject are trusted. `makes_provider`: an account has one OIDC provider for GitHub, made
    by one stack. `state_bucket`: the bucket of PULUMI_BACKEND_URL, if that is in S3.
    """

    repository: str
    owner_id: int | None = None
    repository_id: int | None = None
    makes_provider: bool = True
    state_bucket: str = ""


class Replicas(Struct, frozen=True, kw_only=True):
    """Narrows what the catalogue says, for an environment that needs no spare replica."""

    minimum: int
    maximum: int


class EnvironmentSettings(Struct, frozen=True, kw_only=True):
    """The configuration of dev, staging or prod, as `Pulumi.<stack>.yaml` has it."""

    domain: str
    zone_name: str
    vpc_cidr: str
    availability_zones: tuple[str, ...]
    # `none` is for stacks whose tasks call nothing outside AWS, which interface endpoints reach.
    nat: Literal["none", "single", "per-zone"]
    interface_endpoints: bool
    # Ports on which auth calls out: 465 or 587 for mail, 443 for an external provider, for clients'
    # keys and for their logouts. By NAT.
    outbound_ports: tuple[int, ...] = ()
    data: Data
    stream: StreamSettings
    spot: bool
    service_tls: bool
    waf: bool
    images: Literal["build", "promote"]
    log_retention_days: int
    # Container Insights also bills each service of each preview.
    insights: bool
    budget_usd: int
    deletion_protection: bool
    # Who hears alarms and the budget. AWS sends that address a question first.
    notices_email: str
    # A higher one gives every secret of the services a new value with the next release.
    secrets_version: int = 1
    replicas: Replicas | None = None
    previews: bool = False
    images_from: str | None = None
    # Generation of the ECR repositories. They survive the stack; from 2 on the stack imports the
    # existing ones.
    images_life: int = 1
    # AWS accounts (twelve digits) whose environments promote the images that are built here.
    image_readers: tuple[str, ...] = ()
    github: GithubSettings | None = None
    # Requests in five minutes from one address, held by the firewall. A clinic may be one address,
    # so this is what the gateway allows one client.
    rate_limit_requests: int = 30_000
    app: dict[str, str] = {}


# Reviewers and tests sign in with one call: a preview holds synthetic data only.
PREVIEW_APP = {"AUTH_PASSWORD_LOGIN_ENABLED": "true"}


class PreviewSettings(Struct, frozen=True, kw_only=True):
    """A preview's configuration, written by the command that makes it. Times in RFC 3339."""

    base: str
    expires: str
    keep: bool = False
    # False where Spot has no capacity: on-demand tasks cost three times as much.
    spot: bool = True
    app: dict[str, str] = msgspec.field(default_factory=PREVIEW_APP.copy)


@dataclass(frozen=True, slots=True)
class EnvironmentStack:
    name: str
    region: str
    config: EnvironmentSettings

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
    config: PreviewSettings

    @property
    def kind(self) -> str:
        return "preview"

    @property
    def prefix(self) -> str:
        """Returns the prefix of databases and roles.

        It ends with the delimiter: `pr_1_` does not match `pr_12_x`.
        """
        return f"pr_{self.number}_"


Stack = EnvironmentStack | PreviewStack
