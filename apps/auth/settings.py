"""Settings of the auth service, read from environment variables.

The life of an access token is no setting: see ACCESS_TOKEN_SECONDS in `apps/kit/claims.py`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from apps.auth.people.external import ExternalProvider
from apps.auth.people.mail import MailSettings
from apps.auth.people.roles import ROLES
from apps.auth.people.sessions import IDLE_SECONDS, IdleTimes
from apps.catalogue import UNSET
from apps.kit.claims import ALGORITHMS
from apps.kit.database import DatabaseSettings, read_database_settings
from apps.kit.encryption_keys import read_keys
from apps.kit.settings import ENVIRONMENTS, Environment
from apps.kit.shown_settings import ShownSetting, shown_settings

ROLE_SECONDS = re.compile(r"([a-z_]+)=([0-9]{2,6})")
ROLE_MAP = re.compile(r"([^=;]{1,100})=([a-z_]+)")


@dataclass(frozen=True, slots=True)
class Settings:
    """`issuer` is the public URL: the `iss` of every token and the base of every address that
    is handed out.
    """

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
    mail: MailSettings = field(default_factory=MailSettings)
    idle: IdleTimes = field(default_factory=IdleTimes)
    external: ExternalProvider | None = None
    # Where the page on which a clinician chooses a patient looks names up.
    patient_url: str = ""
    # For administrators to look at.
    shown: tuple[ShownSetting, ...] = ()

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
        # Local and preview stacks hold synthetic data: there no role must have a second factor.
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
            key_encryption_key=read_keys(env, "AUTH_KEY_ENCRYPTION_KEY"),
            signing_algorithm=env.choice("AUTH_SIGNING_ALGORITHM", ALGORITHMS, "RS256"),
            password_login_enabled=password_login_enabled,
            mfa_required_roles=mfa_required_roles,
            mail=read_mail(env, environment),
            idle=read_idle_times(env),
            external=read_external_provider(env, environment),
            patient_url=env.optional("PATIENT_URL", ""),
            shown=shown_settings("auth", env),
        )
        env.check()
        return settings


def read_operators_secret(env: Environment, name: str) -> str:
    """Returns a secret that an operator may set; empty if nobody did."""
    value = env.optional(name)
    return "" if value == UNSET else value


def read_mail(env: Environment, environment: str) -> MailSettings:
    """Reads AUTH_SMTP_URL, AUTH_MAIL_FROM and AUTH_MAIL_FOLDER."""
    smtp_url = read_operators_secret(env, "AUTH_SMTP_URL")
    if smtp_url and not smtp_url.startswith(("smtp://", "smtps://")):
        env.fault("AUTH_SMTP_URL must be smtp://... (with STARTTLS) or smtps://...")
    sender = env.optional("AUTH_MAIL_FROM", "no-reply@localhost")
    if "@" not in sender or not sender.isprintable():
        env.fault("AUTH_MAIL_FROM must be an e-mail address")
    folder = env.optional("AUTH_MAIL_FOLDER", "")
    if folder and environment != "local":
        # Whoever reads the logs there could use the links.
        env.fault("AUTH_MAIL_FOLDER is for a platform on one machine: it writes links to the log")
    return MailSettings(smtp_url=smtp_url, sender=sender, folder=folder)


def read_idle_times(env: Environment) -> IdleTimes:
    """Reads AUTH_SESSION_IDLE_SECONDS and, as `clinician=900,admin=900`,
    AUTH_SESSION_IDLE_SECONDS_BY_ROLE.
    """
    default = env.integer(
        "AUTH_SESSION_IDLE_SECONDS", minimum=60, maximum=8 * 60 * 60, default=IDLE_SECONDS
    )
    by_role: dict[str, int] = {}
    for part in env.optional("AUTH_SESSION_IDLE_SECONDS_BY_ROLE", "").split(","):
        if not part.strip():
            continue
        found = ROLE_SECONDS.fullmatch(part.strip())
        if found is None or found[1] not in ROLES:
            env.fault("AUTH_SESSION_IDLE_SECONDS_BY_ROLE is a list as clinician=900,admin=900")
        else:
            by_role[found[1]] = int(found[2])
    return IdleTimes(default_seconds=default, by_role=by_role)


def read_external_provider(env: Environment, environment: str) -> ExternalProvider | None:
    """Reads AUTH_EXTERNAL_ISSUER and what belongs to it; None without an issuer."""
    issuer = env.optional("AUTH_EXTERNAL_ISSUER", "").rstrip("/")
    if not issuer:
        return None
    if not issuer.startswith("https://") and environment != "local":
        env.fault("AUTH_EXTERNAL_ISSUER must be an https URL")
    client_secret = read_operators_secret(env, "AUTH_EXTERNAL_CLIENT_SECRET")
    if not client_secret:
        env.fault("AUTH_EXTERNAL_CLIENT_SECRET is required with AUTH_EXTERNAL_ISSUER")
    roles: dict[str, str] = {}
    for part in env.optional("AUTH_EXTERNAL_ROLES", "").split(";"):
        if not part.strip():
            continue
        found = ROLE_MAP.fullmatch(part.strip())
        if found is None or found[2] not in ROLES or found[2] == "patient":
            env.fault("AUTH_EXTERNAL_ROLES is a list as Doctors=clinician;Desk=registrar")
        else:
            roles[found[1]] = found[2]
    return ExternalProvider(
        issuer=issuer,
        client_id=env.require("AUTH_EXTERNAL_CLIENT_ID"),
        client_secret=client_secret,
        name=env.optional("AUTH_EXTERNAL_NAME", ""),
        roles_claim=env.optional("AUTH_EXTERNAL_ROLES_CLAIM", "groups"),
        roles=roles,
    )
