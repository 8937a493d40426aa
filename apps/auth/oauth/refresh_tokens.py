"""Refresh tokens: each is used once and replaced; using an old one shows that somebody else has it too."""

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
# A client that did not get the answer may ask again with the old one.
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
    # Replaced longer ago than the grace.
    stale: bool

    # What Authlib asks of a token.

    def check_client(self, client: Client) -> bool:
        return self.client_id == client.id

    def get_scope(self) -> str:
        return self.scope

    def is_expired(self) -> bool:
        """An expired one is never read."""
        return False

    def is_revoked(self) -> bool:
        return self.revoked_at is not None or self.stale


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
) -> None:
    """`expires_at`: of the one that it replaces."""
    await connection.execute(
        "INSERT INTO refresh_tokens (token_hash, family_id, client_id, user_id, scope, authenticated_at, methods, "
        "expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, coalesce($8, now() + make_interval(days => $9)))",
        digest(secret),
        family_id,
        client_id,
        user_id,
        scope,
        authenticated_at,
        list(methods),
        expires_at,
        FAMILY_LIFE_DAYS,
    )


async def select_refresh_token(connection: Connection, secret: str) -> RefreshToken | None:
    """Locked until the end of the transaction: two renewals of one token come one after the other."""
    await hold_origin(connection, "refresh_tokens", "token_hash", digest(secret))
    row = await connection.fetchrow(
        "SELECT *, coalesce(rotated_at < now() - make_interval(secs => $2), false) AS stale "
        "FROM refresh_tokens WHERE token_hash = $1 AND expires_at > now() FOR UPDATE",
        digest(secret),
        float(GRACE_SECONDS),
    )
    if row is None:
        return None
    values: dict[str, Any] = {field.name: row[field.name] for field in fields(RefreshToken)}
    ids = {name: str(row[name]) for name in ("user_id", "family_id")}
    return RefreshToken(**values | ids | {"methods": tuple(row["methods"])})


async def rotate_refresh_token(connection: Connection, token: RefreshToken) -> None:
    await connection.execute(
        "UPDATE refresh_tokens SET rotated_at = coalesce(rotated_at, now()) WHERE token_hash = $1",
        token.token_hash,
    )
