"""Authorization codes: good once, for a minute, for one client, one address and one
verifier (PKCE).
"""

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from authlib.oidc.core import AuthorizationCodeMixin

from apps.auth.encryption import digest
from apps.auth.oauth.token_families import hold_origin
from apps.kit.database import Connection

CODE_LIFE_SECONDS = 60


@dataclass(frozen=True, slots=True)
class AuthorizationCode(AuthorizationCodeMixin):  # type: ignore[misc]
    """`family_id`: of all tokens that come of it. `methods`: how the person proved who they
    are (RFC 8176).
    """

    client_id: str
    user_id: str
    family_id: str
    redirect_uri: str
    scope: str
    nonce: str | None
    code_challenge: str
    authenticated_at: datetime
    methods: tuple[str, ...]
    used_at: datetime | None = None
    patient_id: str | None = None
    encounter_id: str | None = None
    session_id: str | None = None
    # RFC 9449, 10: the key that the tokens will be bound to, where the request named one.
    dpop_jkt: str | None = None

    # What Authlib asks of a code.

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope

    def get_nonce(self) -> str | None:
        return self.nonce

    def get_auth_time(self) -> int:
        return int(self.authenticated_at.timestamp())

    def get_acr(self) -> str | None:
        return None

    def get_amr(self) -> list[str]:
        return list(self.methods)


async def insert_code(connection: Connection, secret: str, code: AuthorizationCode) -> None:
    await connection.execute(
        "INSERT INTO authorization_codes (code_hash, client_id, user_id, family_id, redirect_uri, "
        "scope, nonce, "
        "code_challenge, authenticated_at, methods, expires_at, patient_id, encounter_id, "
        "session_id, dpop_jkt) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, now() + make_interval(secs => $11), $12, "
        "$13, $14, $15)",
        digest(secret),
        code.client_id,
        code.user_id,
        code.family_id,
        code.redirect_uri,
        code.scope,
        code.nonce,
        code.code_challenge,
        code.authenticated_at,
        list(code.methods),
        float(CODE_LIFE_SECONDS),
        code.patient_id,
        code.encounter_id,
        code.session_id,
        code.dpop_jkt,
    )


async def select_code(
    connection: Connection, secret: str, client_id: str
) -> AuthorizationCode | None:
    """Locks its family until the end of the transaction: of two exchanges at once the second
    finds it used.
    """
    await hold_origin(connection, "authorization_codes", "code_hash", digest(secret))
    row = await connection.fetchrow(
        "SELECT * FROM authorization_codes WHERE code_hash = $1 AND client_id = $2 "
        "AND (expires_at > now() OR used_at IS NOT NULL)",
        digest(secret),
        client_id,
    )
    if row is None:
        return None
    values: dict[str, Any] = {field.name: row[field.name] for field in fields(AuthorizationCode)}
    ids = {name: str(row[name]) for name in ("user_id", "family_id")}
    return AuthorizationCode(**values | ids | {"methods": tuple(row["methods"])})


async def use_code(connection: Connection, family_id: str) -> None:
    """Marks it as used, and keeps it for a while, to know it when it comes a second time."""
    await connection.execute(
        "UPDATE authorization_codes SET used_at = now() WHERE family_id = $1", family_id
    )
