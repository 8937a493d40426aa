"""Billing's settings, read once from its environment."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from apps.billing.money import is_supported
from apps.kit.broker import BrokerSettings, read_broker_settings
from apps.kit.database import DatabaseSettings, read_database_settings
from apps.kit.settings import ENVIRONMENTS, Environment
from apps.kit.shown_settings import ShownSetting, shown_settings
from apps.kit.token_verifier import VerifierSettings, read_verifier_settings

SERVICE = "billing"
CURRENCY = "USD"
PAYMENT_DAYS = 30
WRITE_OFF_LIMIT = 10_000
TAX_RATES = "exempt=0,reduced=700,standard=1900"
_TAX_RATE = re.compile(r"([a-z][a-z0-9_-]{0,31})=([0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class Seller:
    """The clinic, as its invoices name it (EN 16931, BG-4)."""

    name: str = "Example Clinic"
    street: str = "1 Example Street"
    postal_code: str = "12345"
    city: str = "Exampleton"
    country: str = "US"
    tax_id: str = "US000000000"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    environment: str
    host: str
    port: int
    log_format: str
    # The audience of people's and clients' tokens; a service's own token has `billing`.
    public_url: str
    database: DatabaseSettings
    verifier: VerifierSettings
    broker: BrokerSettings
    patient_topic: str
    dead_letter_topic: str
    billing_topic: str
    consumer_group: str
    # Of accounts that are opened without one.
    currency: str = CURRENCY
    payment_days: int = PAYMENT_DAYS
    # Minor units; what is more needs a second person.
    write_off_limit: int = WRITE_OFF_LIMIT
    # Basis points by tax category.
    tax_rates: Mapping[str, int] = field(default_factory=lambda: parse_tax_rates(TAX_RATES))
    seller: Seller = field(default_factory=Seller)
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
            verifier=read_verifier_settings(env, SERVICE, SERVICE),
            broker=read_broker_settings(env),
            patient_topic=env.require("TOPIC_PATIENT"),
            dead_letter_topic=env.require("TOPIC_PATIENT_DLQ"),
            billing_topic=env.require("TOPIC_BILLING"),
            consumer_group=env.require("KAFKA_CONSUMER_GROUP"),
            currency=env.optional("BILLING_CURRENCY", CURRENCY),
            payment_days=env.integer(
                "BILLING_PAYMENT_DAYS", minimum=0, maximum=365, default=PAYMENT_DAYS
            ),
            write_off_limit=env.integer(
                "BILLING_WRITE_OFF_LIMIT", minimum=0, maximum=10**12, default=WRITE_OFF_LIMIT
            ),
            tax_rates=parse_tax_rates(env.optional("BILLING_TAX_RATES", TAX_RATES)),
            seller=parse_seller(env.optional("BILLING_SELLER")) or Seller(),
            shown=shown_settings(SERVICE, env),
        )
        if settings.tax_rates.get("exempt") != 0:
            env.fault(
                "BILLING_TAX_RATES must be category=basis points,..., with exempt=0 among them"
            )
        if env.optional("BILLING_SELLER") and parse_seller(env.optional("BILLING_SELLER")) is None:
            env.fault("BILLING_SELLER must be name|street|postal code|city|country|tax id")
        if not is_supported(settings.currency):
            env.fault("BILLING_CURRENCY must be an ISO 4217 code, as USD")
        env.check()
        return settings


def parse_tax_rates(text: str) -> dict[str, int]:
    """Reads `category=basis points`, separated by commas; nothing at all where one of
    them is wrong.
    """
    rates: dict[str, int] = {}
    for pair in text.split(","):
        match = _TAX_RATE.fullmatch(pair.strip())
        if match is None or int(match[2]) > 10_000:
            return {}
        rates[match[1]] = int(match[2])
    return rates


def parse_seller(text: str) -> Seller | None:
    """Reads name, street, postal code, city, country and tax id, separated by `|`; None where
    one is missing.
    """
    parts = [part.strip() for part in text.split("|")]
    names = [field.name for field in fields(Seller)]
    if len(parts) != len(names) or not all(parts):
        return None
    return Seller(**dict(zip(names, parts, strict=True)))
