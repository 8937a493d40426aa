"""The patient service's settings, read once from its environment."""

from collections.abc import Mapping
from dataclasses import dataclass

from apps.kit.broker import BrokerSettings, read_broker_settings
from apps.kit.database import DatabaseSettings, read_database_settings
from apps.kit.settings import ENVIRONMENTS, Environment
from apps.kit.shown_settings import ShownSetting, shown_settings
from apps.kit.token_verifier import VerifierSettings, read_verifier_settings
from apps.kit.web import MAX_BODY_BYTES

SERVICE = "patient"
MAX_BUNDLE_BYTES = 16 * 1024 * 1024
MAX_BUNDLE_ENTRIES = 5_000


@dataclass(frozen=True, slots=True)
class Settings:
    environment: str
    host: str
    port: int
    log_format: str
    # What people and clients call: the base of every link, and the audience of their tokens.
    public_url: str
    database: DatabaseSettings
    verifier: VerifierSettings
    broker: BrokerSettings
    topic: str
    billing_target: str
    max_body_bytes: int = MAX_BODY_BYTES
    max_bundle_bytes: int = MAX_BUNDLE_BYTES
    max_bundle_entries: int = MAX_BUNDLE_ENTRIES
    # For administrators to look at.
    shown: tuple[ShownSetting, ...] = ()

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Settings":
        """Raises SettingsError, which names every fault."""
        env = Environment(environ)
        settings = cls(
            environment=env.choice("ENVIRONMENT", ENVIRONMENTS),
            host=env.require("HOST"),
            port=env.integer("PORT", minimum=1, maximum=65535),
            log_format=env.choice("LOG_FORMAT", ("text", "json")),
            public_url=env.url("PUBLIC_URL"),
            database=read_database_settings(env, SERVICE),
            verifier=read_verifier_settings(env, SERVICE),
            broker=read_broker_settings(env),
            topic=env.require("TOPIC_PATIENT"),
            billing_target=env.require("BILLING_TARGET"),
            max_body_bytes=env.integer(
                "MAX_BODY_BYTES", minimum=1024, maximum=2**30, default=MAX_BODY_BYTES
            ),
            max_bundle_bytes=env.integer(
                "MAX_BUNDLE_BYTES", minimum=1024, maximum=2**30, default=MAX_BUNDLE_BYTES
            ),
            max_bundle_entries=env.integer(
                "MAX_BUNDLE_ENTRIES", minimum=1, maximum=10_000, default=MAX_BUNDLE_ENTRIES
            ),
            shown=shown_settings(SERVICE, env),
        )
        env.check()
        return settings
