"""Analytics' settings, read once from its environment."""

from collections.abc import Mapping
from dataclasses import dataclass

from apps.kit.broker import BrokerSettings, read_broker_settings
from apps.kit.database import DatabaseSettings, read_database_settings
from apps.kit.settings import ENVIRONMENTS, Environment
from apps.kit.token_verifier import VerifierSettings, read_verifier_settings

SERVICE = "analytics"
SMALLEST_GROUP = 11


@dataclass(frozen=True, slots=True)
class Settings:
    environment: str
    host: str
    port: int
    log_format: str
    database: DatabaseSettings
    verifier: VerifierSettings
    broker: BrokerSettings
    topic: str
    dead_letter_topic: str
    consumer_group: str
    # A group of fewer people than this is not shown in a breakdown.
    smallest_group: int = SMALLEST_GROUP

    @property
    def emits_metrics(self) -> bool:
        """Whether its log lines are read by CloudWatch, which makes metrics of some."""
        return self.log_format == "json" and self.environment != "local"

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Settings":
        """Raises SettingsError, which names every fault."""
        env = Environment(environ)
        settings = cls(
            environment=env.choice("ENVIRONMENT", ENVIRONMENTS),
            host=env.require("HOST"),
            port=env.integer("PORT", minimum=1, maximum=65535),
            log_format=env.choice("LOG_FORMAT", ("text", "json")),
            database=read_database_settings(env, SERVICE),
            verifier=read_verifier_settings(env, SERVICE),
            broker=read_broker_settings(env),
            topic=env.require("TOPIC_PATIENT"),
            dead_letter_topic=env.require("TOPIC_PATIENT_DLQ"),
            consumer_group=env.require("KAFKA_CONSUMER_GROUP"),
            smallest_group=env.integer(
                "ANALYTICS_SMALLEST_GROUP", minimum=1, maximum=1000, default=SMALLEST_GROUP
            ),
        )
        env.check()
        return settings
