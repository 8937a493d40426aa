"""Makes, changes and deletes the applications that may ask for tokens."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from apps.auth.encryption import digest, new_token
from apps.auth.oauth.clients import Client, client_of
from apps.kit.context import new_id
from apps.kit.database import Connection

# How long two secrets may be valid at once.
MAX_OVERLAP_SECONDS = 7 * 24 * 60 * 60
SECRET_METHODS = ("client_secret_basic", "client_secret_post")


async def create_client(
    connection: Connection,
    *,
    name: str,
    scopes: Iterable[str],
    grant_types: Iterable[str],
    client_id: str | None = None,
    auth_method: str = "client_secret_basic",
    redirect_uris: Iterable[str] = (),
    post_logout_redirect_uris: Iterable[str] = (),
    jwks: Mapping[str, Any] | None = None,
    jwks_uri: str | None = None,
    backchannel_logout_uri: str | None = None,
    dpop_bound: bool = False,
    pushed_requests_only: bool = False,
    audiences: Iterable[str] = (),
    trusted: bool = False,
    secret: str | None = None,
) -> tuple[Client, str | None]:
    """Returns the client and its secret, which is told here only; None for one that has none.

    `secret` sets a known one.
    """
    if auth_method not in SECRET_METHODS:
        secret = None
    elif secret is None:
        secret = new_token()
    row = await connection.fetchrow(
        "INSERT INTO clients (id, name, auth_method, secret_hash, jwks, grant_types, "
        "redirect_uris, "
        "post_logout_redirect_uris, scopes, audiences, trusted, jwks_uri, backchannel_logout_uri, "
        "dpop_bound, "
        "pushed_requests_only) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) RETURNING *",
        client_id or new_id(),
        name,
        auth_method,
        digest(secret) if secret else None,
        msgspec.json.encode(jwks).decode() if jwks else None,
        list(grant_types),
        list(redirect_uris),
        list(post_logout_redirect_uris),
        sorted(set(scopes)),
        list(audiences),
        trusted,
        jwks_uri,
        backchannel_logout_uri,
        dpop_bound,
        pushed_requests_only,
    )
    return client_of(row), secret


async def rotate_client_secret(
    connection: Connection, client_id: str, *, overlap_seconds: int = 0
) -> str | None:
    """Sets a new secret and returns it; None for an unknown client or one without a secret.

    The secret before it works for `overlap_seconds` more, so that calls go on while it is replaced.
    """
    secret = new_token()
    row = await connection.fetchrow(
        "UPDATE clients SET secret_hash = $2, "
        "previous_secret_hash = CASE WHEN $3 > 0 THEN secret_hash END, "
        "previous_secret_expires_at = CASE WHEN $3 > 0 THEN now() + make_interval(secs => $3) END, "
        "updated_at = now(), version = version + 1 "
        "WHERE id = $1 AND auth_method LIKE 'client_secret_%' RETURNING id",
        client_id,
        digest(secret),
        float(overlap_seconds),
    )
    return secret if row else None


async def update_client(
    connection: Connection,
    client_id: str,
    *,
    name: str,
    scopes: Iterable[str],
    redirect_uris: Iterable[str],
    post_logout_redirect_uris: Iterable[str],
    jwks: Mapping[str, Any] | None,
    jwks_uri: str | None,
    backchannel_logout_uri: str | None,
    dpop_bound: bool,
    pushed_requests_only: bool,
    trusted: bool,
) -> Client:
    """Changes what may change of a client; how it proves itself and what it asks for stay."""
    row = await connection.fetchrow(
        "UPDATE clients SET name = $2, scopes = $3, redirect_uris = $4, "
        "post_logout_redirect_uris = $5, jwks = $6, trusted = $7, jwks_uri = $8, "
        "backchannel_logout_uri = $9, dpop_bound = $10, pushed_requests_only = $11, updated_at = "
        "now(), "
        "version = version + 1 WHERE id = $1 RETURNING *",
        client_id,
        name,
        sorted(set(scopes)),
        list(redirect_uris),
        list(post_logout_redirect_uris),
        msgspec.json.encode(jwks).decode() if jwks else None,
        trusted,
        jwks_uri,
        backchannel_logout_uri,
        dpop_bound,
        pushed_requests_only,
    )
    return client_of(row)


async def delete_client(connection: Connection, client_id: str) -> None:
    """Deletes the client and all that it holds."""
    await connection.execute("DELETE FROM clients WHERE id = $1", client_id)


async def set_client_disabled(
    connection: Connection, client_id: str, disabled: bool
) -> Client | None:
    row = await connection.fetchrow(
        "UPDATE clients SET disabled_at = CASE WHEN $2 THEN coalesce(disabled_at, now()) END, "
        "updated_at = now(), "
        "version = version + 1 WHERE id = $1 RETURNING *",
        client_id,
        disabled,
    )
    return client_of(row) if row else None
