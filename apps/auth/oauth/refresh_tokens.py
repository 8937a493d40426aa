"""Refresh tokens: each is used once and replaced; using an old one shows that somebody
else has it too.
"""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from authlib.oauth2.rfc6749 import TokenMixin

from apps.auth.encryption import digest
from apps.auth.oauth.clients import Client
from apps.auth.oauth.token_families import hold_origin
from apps.kit.database import Connection

# Of the family, from the sign-in on: renewing does not lengthen it.
FAMILY_LIFE_DAYS = 30
# A client that did not get the answer may ask again with the old one, and is given the
# same successor.
GRACE_SECONDS = 30


@dataclass(frozen=True, slots=True)
class RefreshToken(TokenMixin):  # type: ignore[misc]
    token_hash: bytes
    client_id: str
    user_id: str
    family_id: str
    scope: str
    authenticated_at: datetime
    methods: tuple[str, ...]
    issued_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    patient_id: str | None
    encounter_id: str | None
    session_id: str | None
    dpop_jkt: str | None
    # Replaced before; and longer ago than the grace.
    rotated: bool
    stale: bool

    # What Authlib asks of a token.

    def check_client(self, client: Client) -> bool:
        return self.client_id == client.id

    def get_scope(self) -> str:
        return self.scope

    def is_expired(self) -> bool:
        """Denies it: an expired one is never read."""
        return False

    def is_revoked(self) -> bool:
        return self.revoked_at is not None or self.stale


def derive_successor(key: bytes, secret: str) -> str:
    """Returns the token that replaces `secret`. Of a token there is one successor, however
    often it is sent.

    Only who has the service's key can derive it, and it is stored nowhere.
    """
    mac = hmac.new(key, b"refresh-token:" + secret.encode("utf-8", "surrogatepass"), hashlib.sha256)
    return urlsafe_b64encode(mac.digest()).rstrip(b"=").decode()


async def insert_refresh_token(
    connection: Connection,
    secret: str,
    *,
    client_id: str,
    user_id: str,
    family_id: str,
    scope: str,
    authenticated_at: datetime,
    methods: tuple[str, ...],
    expires_at: datetime | None = None,
    patient_id: str | None = None,
    encounter_id: str | None = None,
    session_id: str | None = None,
    dpop_jkt: str | None = None,
) -> None:
    """Stores the token's hash; within the grace it may be there. `expires_at`: of the one
    that it replaces.
    """
    await connection.execute(
        "INSERT INTO refresh_tokens (token_hash, family_id, client_id, user_id, scope, "
        "authenticated_at, methods, "
        "expires_at, patient_id, encounter_id, session_id, dpop_jkt) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, coalesce($8, now() + make_interval(days => $9)), $10, "
        "$11, $12, $13) "
        "ON CONFLICT (token_hash) DO NOTHING",
        digest(secret),
        family_id,
        client_id,
        user_id,
        scope,
        authenticated_at,
        list(methods),
        expires_at,
        FAMILY_LIFE_DAYS,
        patient_id,
        encounter_id,
        session_id,
        dpop_jkt,
    )


async def select_refresh_token(connection: Connection, secret: str) -> RefreshToken | None:
    """Locks its family until the end of the transaction: two renewals of one token come one
    after the other.
    """
    await hold_origin(connection, "refresh_tokens", "token_hash", digest(secret))
    row = await connection.fetchrow(
        "SELECT *, rotated_at IS NOT NULL AS rotated, "
        "coalesce(rotated_at < now() - make_interval(secs => $2), false) AS stale "
        "FROM refresh_tokens WHERE token_hash = $1 AND expires_at > now()",
        digest(secret),
        float(GRACE_SECONDS),
    )
    if row is None:
        return None
    values: dict[str, Any] = {field.name: row[field.name] for field in fields(RefreshToken)}
    ids = {name: str(row[name]) for name in ("user_id", "family_id")}
    return RefreshToken(**values | ids | {"methods": tuple(row["methods"])})


async def is_used(connection: Connection, secret: str) -> bool:
    """Tells whether the token was replaced or revoked."""
    return bool(
        await connection.fetchval(
            "SELECT rotated_at IS NOT NULL OR revoked_at IS NOT NULL FROM refresh_tokens WHERE "
            "token_hash = $1",
            digest(secret),
        )
    )


async def select_client_of_refresh_token(connection: Connection, secret: str) -> str | None:
    """Returns the id of the client that the token was given to."""
    client_id: str | None = await connection.fetchval(
        "SELECT client_id FROM refresh_tokens WHERE token_hash = $1", digest(secret)
    )
    return client_id


async def rotate_refresh_token(connection: Connection, token: RefreshToken) -> None:
    await connection.execute(
        "UPDATE refresh_tokens SET rotated_at = coalesce(rotated_at, now()) WHERE token_hash = $1",
        token.token_hash,
    )
