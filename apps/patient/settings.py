"""The patient service's settings, read once from its environment."""

from collections.abc import Mapping
from dataclasses import dataclass

from apps.kit.broker import BrokerSettings, read_broker_settings
from apps.kit.database import DatabaseSettings, read_database_settings
from apps.kit.settings import ENVIRONMENTS, Environment
from apps.kit.tokens import VerifierSettings, read_verifier_settings

SERVICE = "patient"


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
        )
        env.check()
        return settings
