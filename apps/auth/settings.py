"""Settings of the auth service, read from environment variables.

The life of an access token is no setting: see ACCESS_TOKEN_SECONDS in `apps/kit/claims.py`.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field

from apps.auth.people.roles import ROLES
from apps.kit.claims import ALGORITHMS
from apps.kit.database import DatabaseSettings, read_database_settings
from apps.kit.settings import ENVIRONMENTS, Environment

KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Settings:
    """`issuer` is the public URL: the `iss` of every token and the base of every address that is handed out."""

    environment: str
    host: str
    port: int
    issuer: str
    log_format: str
    database: DatabaseSettings
    key_encryption_key: bytes = field(repr=False)
    signing_algorithm: str = "RS256"
    password_login_enabled: bool = False
    mfa_required_roles: frozenset[str] = frozenset()
    # Where the page on which a clinician chooses a patient looks names up.
    patient_url: str = ""

    @property
    def secure(self) -> bool:
        return self.issuer.startswith("https:")

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Settings":
        """Raises SettingsError, naming every variable that is amiss."""
        env = Environment(environ)
        environment = env.choice("ENVIRONMENT", ENVIRONMENTS)
        issuer = env.url("PUBLIC_URL")
        password_login_enabled = env.flag("AUTH_PASSWORD_LOGIN_ENABLED")
        if password_login_enabled and environment == "prod":
            env.fault("AUTH_PASSWORD_LOGIN_ENABLED must not be true in prod")
        if issuer.startswith("http:") and environment != "local":
            env.fault("PUBLIC_URL must be an https URL")
        # Where nobody is real one password lets all who try it out in; else whoever sees many records proves more.
        mfa_default = "" if environment in ("local", "preview") else "admin,clinician"
        mfa_required_roles = frozenset(
            role.strip()
            for role in env.optional("AUTH_MFA_REQUIRED_ROLES", mfa_default).split(",")
            if role.strip()
        )
        for role in sorted(mfa_required_roles - ROLES.keys()):
            env.fault(f"AUTH_MFA_REQUIRED_ROLES names no role: {role!r}")
        settings = cls(
            environment=environment,
            host=env.optional("HOST", "127.0.0.1"),
            port=env.integer("PORT", minimum=1, maximum=65535),
            issuer=issuer,
            log_format=env.choice("LOG_FORMAT", ("text", "json"), "json"),
            database=read_database_settings(env, "auth"),
            key_encryption_key=read_key(env, "AUTH_KEY_ENCRYPTION_KEY"),
            signing_algorithm=env.choice("AUTH_SIGNING_ALGORITHM", ALGORITHMS, "RS256"),
            password_login_enabled=password_login_enabled,
            mfa_required_roles=mfa_required_roles,
            patient_url=env.optional("PATIENT_URL", ""),
        )
        env.check()
        return settings


def read_key(env: Environment, name: str) -> bytes:
    """32 bytes in base64url, with or without its padding."""
    text = env.require(name)
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if text and len(key) != KEY_BYTES:
        env.fault(f"{name} must be {KEY_BYTES} bytes in base64url")
    return key
