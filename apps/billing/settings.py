"""Billing's settings, read once from its environment."""

from collections.abc import Mapping
from dataclasses import dataclass

from apps.kit.database import DatabaseSettings, read_database_settings
from apps.kit.settings import ENVIRONMENTS, Environment
from apps.kit.token_verifier import VerifierSettings, read_verifier_settings

SERVICE = "billing"


@dataclass(frozen=True, slots=True)
class Settings:
    environment: str
    host: str
    port: int
    log_format: str
    # The audience of people's and clients' tokens; a service's own token has `billing`.
    public_url: str
    database: DatabaseSettings
    verifier: VerifierSettings

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
        )
        env.check()
        return settings
