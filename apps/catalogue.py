"""The services, declared once, in the words of a Kubernetes manifest where it has one.

The local runner, the Pulumi program, the image build, the network rules and the architecture test
all read `SERVICES` and `TOPICS`; nothing lists them a second time. Adding a service is one entry
here and one folder beside this file.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeVar

Value = TypeVar("Value", covariant=True)
V = TypeVar("V")

Protocol_ = Literal["http", "grpc"]
HttpServer = Literal["hypercorn", "uvicorn"]


@dataclass(frozen=True, slots=True)
class Probe:
    """A health check. `path` for HTTP; a gRPC service answers `grpc.health.v1` instead."""

    path: str
    period_seconds: int
    timeout_seconds: int
    failure_threshold: int


# The container's: the process runs. The balancer's and the local runner's: it can take traffic.
LIVENESS = Probe("/livez", period_seconds=10, timeout_seconds=3, failure_threshold=3)
READINESS = Probe("/readyz", period_seconds=10, timeout_seconds=5, failure_threshold=3)


@dataclass(frozen=True, slots=True)
class Resources:
    """What one replica gets: `cpu` in 1/1024 of a core,
    `memory` in MiB (a size that Fargate has).
    """

    cpu: int
    memory: int


@dataclass(frozen=True, slots=True)
class Replicas:
    minimum: int
    maximum: int


@dataclass(frozen=True, slots=True)
class Topic:
    """A Kafka topic. `retention_ms=-1` keeps every event: the figures can be rebuilt from them."""

    name: str
    partitions: int
    cleanup_policy: str
    retention_ms: int
    preview_retention_ms: int

    @property
    def variable(self) -> str:
        """Returns the variable that carries its full name: `patient.dlq` -> `TOPIC_PATIENT_DLQ`."""
        return "TOPIC_" + self.name.upper().replace(".", "_")


@dataclass(frozen=True, slots=True)
class SignIn:
    """The OAuth client, named as the service, that signs people in; paths below the public URL.

    The release registers it with the service's own client secret.
    """

    redirect_path: str
    signed_out_path: str
    back_channel_logout_path: str
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Service:
    name: str
    protocol: Protocol_
    port: int
    resources: Resources
    replicas: Replicas
    public: bool = False
    # The ASGI server of an HTTP service. uvicorn costs half as much a request (decision 0503).
    server: HttpServer = "hypercorn"
    databases: tuple[str, ...] = ()
    produces: tuple[str, ...] = ()
    consumes: tuple[str, ...] = ()
    calls: tuple[str, ...] = ()
    # Services that it calls as well, but starts and serves without: they may call it in turn.
    looks_up: tuple[str, ...] = ()
    # Environment variables that hold a secret; each is one of SECRETS.
    secrets: tuple[str, ...] = ()
    # Environment variables that a stack may set; the service has a default for each, or does
    # without.
    settings: tuple[str, ...] = ()
    sign_in: SignIn | None = None
    liveness: Probe = LIVENESS
    readiness: Probe = READINESS
    stop_seconds: int = field(default=30)

    @property
    def uses_broker(self) -> bool:
        return bool(self.produces or self.consumes)


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret that the release fills with `bytes` random bytes in base64url while it is empty.

    `encrypts`: it encrypts what is stored, so that a rotation keeps the value before beside the new
    one. With no bytes it is for an operator to set: the release writes UNSET, since ECS starts no
    task with an empty one.
    """

    name: str
    bytes: int = 0
    encrypts: bool = False


# What a secret holds that no operator has set: the service does without.
UNSET = "unset"


WEEK_MS = 7 * 24 * 60 * 60 * 1000

TOPICS: Mapping[str, Topic] = {
    topic.name: topic
    for topic in (
        Topic("patient", 6, "delete", retention_ms=-1, preview_retention_ms=WEEK_MS),
        Topic("patient.dlq", 1, "delete", retention_ms=-1, preview_retention_ms=WEEK_MS),
        Topic("billing", 6, "delete", retention_ms=-1, preview_retention_ms=WEEK_MS),
        Topic("billing.dlq", 1, "delete", retention_ms=-1, preview_retention_ms=WEEK_MS),
    )
}

# A service proves who it is to the auth service with its own client secret: `service-<name>`.
SECRETS: Mapping[str, Secret] = {
    secret.name: secret
    for secret in (
        Secret("AUTH_KEY_ENCRYPTION_KEY", 32, encrypts=True),
        # The URL holds the password of the mail server.
        Secret("AUTH_SMTP_URL"),
        Secret("AUTH_EXTERNAL_CLIENT_SECRET"),
        Secret("GATEWAY_CLIENT_SECRET", 32),
        Secret("PATIENT_CLIENT_SECRET", 32),
        Secret("BILLING_CLIENT_SECRET", 32),
        Secret("ANALYTICS_CLIENT_SECRET", 32),
        Secret("CONSOLE_CLIENT_SECRET", 32),
        Secret("CONSOLE_KEY_ENCRYPTION_KEY", 32, encrypts=True),
    )
}

# A platform that somebody tries out (a preview's, or one machine's) starts with one administrator
# and one client. An environment has neither: its operators make its first user.
TRIAL_USER = "admin@example.org"
TRIAL_CLIENT_SCOPES = ("system/*.cruds", "billing.read", "billing.write", "analytics.read")
PREVIEW_CLIENT = "preview"
# A preview's, filled by its release.
TRIAL_PASSWORD = Secret("PLATFORM_PASSWORD", 24)
TRIAL_CLIENT_SECRET = Secret("PLATFORM_CLIENT_SECRET", 32)
TRIAL_SECRETS = (TRIAL_CLIENT_SECRET, TRIAL_PASSWORD)

SERVICES: Mapping[str, Service] = {
    service.name: service
    for service in (
        Service(
            "gateway",
            "http",
            4004,
            Resources(512, 1024),
            Replicas(2, 10),
            public=True,
            server="uvicorn",
            calls=("auth", "patient", "billing", "analytics", "console"),
            secrets=("GATEWAY_CLIENT_SECRET",),
            settings=(
                "AUTH_PASSWORD_LOGIN_ENABLED",
                "CORS_ALLOWED_ORIGINS",
                "MAX_BODY_BYTES",
                "MAX_BUNDLE_BYTES",
                "RATE_LIMIT_REQUESTS_PER_MINUTE",
                "TLS_SELF_SIGNED",
                "TRUSTED_PROXIES",
            ),
        ),
        Service(
            "auth",
            "http",
            4005,
            Resources(512, 1024),
            Replicas(2, 6),
            databases=("auth",),
            # With a person's own token: the page on which a clinician chooses a patient.
            looks_up=("patient",),
            secrets=("AUTH_KEY_ENCRYPTION_KEY", "AUTH_SMTP_URL", "AUTH_EXTERNAL_CLIENT_SECRET"),
            settings=(
                "AUTH_EXTERNAL_CLIENT_ID",
                "AUTH_EXTERNAL_ISSUER",
                "AUTH_EXTERNAL_NAME",
                "AUTH_EXTERNAL_ROLES",
                "AUTH_EXTERNAL_ROLES_CLAIM",
                "AUTH_MAIL_FOLDER",
                "AUTH_MAIL_FROM",
                "AUTH_MFA_REQUIRED_ROLES",
                "AUTH_PASSWORD_LOGIN_ENABLED",
                "AUTH_SESSION_IDLE_SECONDS",
                "AUTH_SESSION_IDLE_SECONDS_BY_ROLE",
                "AUTH_SIGNING_ALGORITHM",
            ),
        ),
        Service(
            "patient",
            "http",
            4000,
            Resources(512, 1024),
            Replicas(2, 10),
            server="uvicorn",
            databases=("patient",),
            produces=("patient",),
            calls=("auth", "billing"),
            secrets=("PATIENT_CLIENT_SECRET",),
            settings=("MAX_BODY_BYTES", "MAX_BUNDLE_BYTES", "MAX_BUNDLE_ENTRIES"),
        ),
        Service(
            "billing",
            "grpc",
            9001,
            Resources(256, 512),
            Replicas(2, 6),
            databases=("billing",),
            consumes=("patient",),
            produces=("billing", "patient.dlq"),
            calls=("auth",),
            secrets=("BILLING_CLIENT_SECRET",),
            settings=(
                "BILLING_CURRENCY",
                "BILLING_PAYMENT_DAYS",
                "BILLING_SELLER",
                "BILLING_TAX_RATES",
                "BILLING_WRITE_OFF_LIMIT",
            ),
        ),
        Service(
            "analytics",
            "http",
            4002,
            Resources(256, 512),
            Replicas(1, 6),
            databases=("analytics",),
            consumes=("patient", "billing"),
            produces=("patient.dlq", "billing.dlq"),
            calls=("auth",),
            secrets=("ANALYTICS_CLIENT_SECRET",),
            settings=("ANALYTICS_SMALLEST_GROUP",),
        ),
        Service(
            "console",
            "http",
            4003,
            Resources(256, 512),
            Replicas(2, 6),
            databases=("console",),
            # Not through the gateway, which calls the console: neither could start first
            # (decision 0701). Billing by gRPC.
            calls=("auth", "patient", "billing", "analytics"),
            secrets=("CONSOLE_CLIENT_SECRET", "CONSOLE_KEY_ENCRYPTION_KEY"),
            settings=(
                # Billing's: in which cash is counted.
                "BILLING_CURRENCY",
                "CLINIC_NAME",
                "CLINIC_TIME_ZONE",
                "CONSOLE_APPLICATIONS",
                "CONSOLE_IDLE_MINUTES",
            ),
            sign_in=SignIn(
                redirect_path="/sign-in/callback",
                signed_out_path="/signed-out",
                back_channel_logout_path="/sign-out/back-channel",
                scopes=(
                    "openid",
                    "profile",
                    "fhirUser",
                    "offline_access",
                    "account",
                    "admin",
                    "user/*.cruds",
                    "patient/*.rs",
                    "billing.read",
                    "billing.write",
                    "billing.approve",
                    "analytics.read",
                ),
            ),
        ),
    )
}

DATABASES: tuple[str, ...] = tuple(
    sorted({name for service in SERVICES.values() for name in service.databases})
)


class Locate(Protocol[Value]):
    """Where an entry finds what it needs: plain strings for the local runner, outputs for the
    Pulumi program.
    """

    def common(self, entry: Service) -> Mapping[str, Value]:
        """Returns `ENVIRONMENT`, `HOST`, `PORT`, `PUBLIC_URL`, `LOG_FORMAT`, and what the place
        itself adds.
        """
        ...

    def database(self, entry: Service, name: str) -> Value:
        """Returns `postgresql://role[:password]@host:port/name`, of the runtime role."""
        ...

    def broker(self, entry: Service) -> Mapping[str, Value]:
        """Returns `KAFKA_BOOTSTRAP_SERVERS` and `KAFKA_SECURITY` (`plaintext` or `msk_iam`)."""
        ...

    def topic(self, topic: Topic) -> Value: ...

    def consumer_group(self, entry: Service) -> Value: ...

    def service(self, entry: Service) -> Value:
        """Returns `http://host:port` of an HTTP service, `host:port` of a gRPC one."""
        ...

    def setting(self, entry: Service, name: str) -> Value | None: ...


def environment(entry: Service, locate: Locate[V]) -> dict[str, V]:
    """Returns the entry's environment, sorted by name; its secrets are not in it: they are handed
    over by reference.
    """
    values: dict[str, V] = dict(locate.common(entry))
    for name in entry.databases:
        values[f"{name.upper()}_DATABASE_URL"] = locate.database(entry, name)
    if entry.uses_broker:
        values.update(locate.broker(entry))
        for name in (*entry.produces, *entry.consumes):
            values[TOPICS[name].variable] = locate.topic(TOPICS[name])
    if entry.consumes:
        values["KAFKA_CONSUMER_GROUP"] = locate.consumer_group(entry)
    for name in (*entry.calls, *entry.looks_up):
        called = SERVICES[name]
        values[f"{name.upper()}_{'URL' if called.protocol == 'http' else 'TARGET'}"] = (
            locate.service(called)
        )
    for name in entry.settings:
        value = locate.setting(entry, name)
        if value is not None:
            values[name] = value
    # Sorted, so that a task definition differs only where something changed.
    return dict(sorted(values.items()))
