"""The gateway's settings, read once from its environment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network
from urllib.parse import urlsplit

from apps.gateway.addresses import Network
from apps.kit.settings import ENVIRONMENTS, Environment
from apps.kit.web import MAX_BODY_BYTES

MAX_BUNDLE_BYTES = 16 * 1024 * 1024
RATE_LIMIT_REQUESTS_PER_MINUTE = 6_000


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """What a request may take. A request is answered within `total_seconds`, the
    balancer gives it 60.
    """

    body_bytes: int = MAX_BODY_BYTES
    bundle_bytes: int = MAX_BUNDLE_BYTES
    connect_seconds: float = 1.0
    # Between two pieces of a body that a client sends.
    receive_seconds: float = 10.0
    # For a body that is read whole before it goes on.
    body_seconds: float = 30.0
    # Until a service's answer begins, and between two pieces of it.
    answer_seconds: float = 30.0
    total_seconds: float = 55.0
    rpc_seconds: float = 5.0
    running_requests: int = 500
    # Of one service: that it is slow does not take the others' share.
    running_requests_per_service: int = 200
    requests_per_minute: int = RATE_LIMIT_REQUESTS_PER_MINUTE


@dataclass(frozen=True, slots=True)
class Settings:
    environment: str
    host: str
    port: int
    public_url: str
    log_format: str
    # Base URLs of the HTTP services by name: auth, patient, analytics, console.
    upstreams: Mapping[str, str]
    billing_target: str
    client_secret: str = field(repr=False)
    password_login_enabled: bool = False
    cors_allowed_origins: tuple[str, ...] = ()
    tls_self_signed: bool = False
    trusted_proxies: tuple[Network, ...] = ()
    limits: RequestLimits = field(default_factory=RequestLimits)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Settings":
        """Raises SettingsError, which names every fault."""
        env = Environment(environ)
        environment = env.choice("ENVIRONMENT", ENVIRONMENTS)
        password_login = env.flag("AUTH_PASSWORD_LOGIN_ENABLED")
        if password_login and environment == "prod":
            env.fault("AUTH_PASSWORD_LOGIN_ENABLED must not be true in production")
        settings = cls(
            environment=environment,
            host=env.require("HOST"),
            port=env.integer("PORT", minimum=1, maximum=65535),
            public_url=env.url("PUBLIC_URL"),
            log_format=env.choice("LOG_FORMAT", ("text", "json")),
            upstreams={
                name: env.url(f"{name.upper()}_URL")
                for name in ("auth", "patient", "analytics", "console")
            },
            billing_target=env.require("BILLING_TARGET"),
            client_secret=env.require("GATEWAY_CLIENT_SECRET"),
            password_login_enabled=password_login,
            cors_allowed_origins=_origins(env),
            tls_self_signed=env.flag("TLS_SELF_SIGNED"),
            trusted_proxies=_networks(env),
            limits=RequestLimits(
                body_bytes=env.integer(
                    "MAX_BODY_BYTES", minimum=1024, maximum=2**30, default=MAX_BODY_BYTES
                ),
                bundle_bytes=env.integer(
                    "MAX_BUNDLE_BYTES", minimum=1024, maximum=2**30, default=MAX_BUNDLE_BYTES
                ),
                requests_per_minute=env.integer(
                    "RATE_LIMIT_REQUESTS_PER_MINUTE",
                    minimum=1,
                    maximum=10_000_000,
                    default=RATE_LIMIT_REQUESTS_PER_MINUTE,
                ),
            ),
        )
        env.check()
        return settings


def _origins(env: Environment) -> tuple[str, ...]:
    origins = env.items("CORS_ALLOWED_ORIGINS")
    for origin in origins:
        parts = urlsplit(origin)
        if (
            parts.scheme not in ("http", "https")
            or not parts.hostname
            or f"{parts.scheme}://{parts.netloc}" != origin
        ):
            env.fault(
                f"CORS_ALLOWED_ORIGINS must list exact origins (scheme://host[:port]), not "
                f"{origin!r}"
            )
    return origins


def _networks(env: Environment) -> tuple[Network, ...]:
    networks: list[Network] = []
    for item in env.items("TRUSTED_PROXIES"):
        try:
            network = ip_network(item)
        except ValueError:
            env.fault(f"TRUSTED_PROXIES must list networks (10.0.0.0/16), not {item!r}")
            continue
        if network.prefixlen == 0:
            # Every caller could then write an address of their own into X-Forwarded-For.
            env.fault(f"TRUSTED_PROXIES must not trust every address: {item}")
        networks.append(network)
    return tuple(networks)
