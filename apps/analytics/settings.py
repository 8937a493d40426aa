"""Analytics' settings, read once from its environment."""

from collections.abc import Mapping
from dataclasses import dataclass

from apps.analytics.events.billing import parse_billing_event
from apps.analytics.events.patient import parse_event
from apps.kit.broker import BrokerSettings, read_broker_settings
from apps.kit.database import DatabaseSettings, read_database_settings
from apps.kit.event_batch import Source
from apps.kit.event_consumer import ConsumerSettings
from apps.kit.settings import ENVIRONMENTS, Environment
from apps.kit.shown_settings import ShownSetting, shown_settings
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
    billing_topic: str
    billing_dead_letter_topic: str
    consumer_group: str
    # Groups of fewer people than this are hidden in breakdowns.
    smallest_group: int = SMALLEST_GROUP
    # For administrators to look at.
    shown: tuple[ShownSetting, ...] = ()

    @property
    def consumer(self) -> ConsumerSettings:
        """Returns the topics that it reads, with their parsers."""
        return ConsumerSettings(
            broker=self.broker,
            group=self.consumer_group,
            sources=(
                Source(topic=self.topic, dead_letters=self.dead_letter_topic, parse=parse_event),
                Source(
                    topic=self.billing_topic,
                    dead_letters=self.billing_dead_letter_topic,
                    parse=parse_billing_event,
                ),
            ),
        )

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Settings":
        """Returns the settings; raises SettingsError, which names every fault."""
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
            billing_topic=env.require("TOPIC_BILLING"),
            billing_dead_letter_topic=env.require("TOPIC_BILLING_DLQ"),
            consumer_group=env.require("KAFKA_CONSUMER_GROUP"),
            smallest_group=env.integer(
                "ANALYTICS_SMALLEST_GROUP", minimum=1, maximum=1000, default=SMALLEST_GROUP
            ),
            shown=shown_settings(SERVICE, env),
        )
        env.check()
        return settings
