"""The console's settings, read once from its environment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from babel.core import get_global

from apps.kit.database import DatabaseSettings, read_database_settings
from apps.kit.encryption_keys import read_keys
from apps.kit.settings import ENVIRONMENTS, Environment
from apps.kit.shown_settings import ShownSetting, shown_settings
from apps.kit.token_verifier import VerifierSettings, read_verifier_settings

SERVICE = "console"
IDLE_MINUTES = 30
# As billing's.
CURRENCY = "USD"


@dataclass(frozen=True, slots=True)
class Application:
    """A SMART application that is launched from a chart: its client at the auth service, and
    where it starts.
    """

    client_id: str
    name: str
    launch_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """`public_url`: the address of the platform. `upstreams`: base URLs of auth,
    patient, analytics.
    """

    environment: str
    host: str
    port: int
    public_url: str
    log_format: str
    database: DatabaseSettings
    verifier: VerifierSettings
    upstreams: Mapping[str, str]
    billing_target: str
    client_secret: str = field(repr=False)
    key: bytes = field(repr=False)
    clinic_name: str = ""
    time_zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    currency: str = CURRENCY
    idle_minutes: int = IDLE_MINUTES
    applications: tuple[Application, ...] = ()
    # For administrators to look at.
    shown: tuple[ShownSetting, ...] = ()

    @property
    def secure(self) -> bool:
        """Tells whether people reach it over TLS: cookies then carry the `__Host-` prefix."""
        return self.public_url.startswith("https:")

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Settings":
        """Reads and checks everything; raises SettingsError, which names every fault."""
        env = Environment(environ)
        settings = cls(
            environment=env.choice("ENVIRONMENT", ENVIRONMENTS),
            host=env.require("HOST"),
            port=env.integer("PORT", minimum=1, maximum=65535),
            public_url=env.url("PUBLIC_URL"),
            log_format=env.choice("LOG_FORMAT", ("text", "json")),
            database=read_database_settings(env, SERVICE),
            verifier=read_verifier_settings(env, SERVICE),
            upstreams={
                name: env.url(f"{name.upper()}_URL") for name in ("auth", "patient", "analytics")
            },
            billing_target=env.require("BILLING_TARGET"),
            client_secret=env.require("CONSOLE_CLIENT_SECRET"),
            key=read_keys(env, "CONSOLE_KEY_ENCRYPTION_KEY"),
            clinic_name=env.optional("CLINIC_NAME"),
            time_zone=_read_time_zone(env),
            currency=env.optional("BILLING_CURRENCY", CURRENCY),
            idle_minutes=env.integer(
                "CONSOLE_IDLE_MINUTES", minimum=1, maximum=480, default=IDLE_MINUTES
            ),
            applications=_read_applications(env),
            shown=shown_settings(SERVICE, env),
        )
        if settings.currency not in get_global("all_currencies"):
            env.fault("BILLING_CURRENCY must be an ISO 4217 code, as USD")
        env.check()
        return settings


def _read_applications(env: Environment) -> tuple[Application, ...]:
    """Reads `client id|name|launch address`, with commas between."""
    found = []
    for item in env.items("CONSOLE_APPLICATIONS"):
        parts = [part.strip() for part in item.split("|")]
        if len(parts) != 3 or not all(parts) or not is_web_address(parts[2]):
            env.fault("CONSOLE_APPLICATIONS must list client id|name|address, with commas between")
            continue
        found.append(Application(*parts))
    return tuple(found)


def is_web_address(text: str) -> bool:
    """Tells whether a launch address is HTTPS, or HTTP on the loopback."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    is_loopback = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost")
    return bool(parts.hostname) and (parts.scheme == "https" or is_loopback)


def _read_time_zone(env: Environment) -> ZoneInfo:
    name = env.optional("CLINIC_TIME_ZONE", "UTC")
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        env.fault(f"CLINIC_TIME_ZONE must be a time zone such as Europe/Madrid, not {name!r}")
        return ZoneInfo("UTC")
