"""The applications that may ask for tokens."""

import hmac
import re
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec
from authlib.oauth2.rfc6749 import ClientMixin

from apps.auth.encryption import digest
from apps.auth.people.roles import TooManyScopesError, intersect, split_scopes
from apps.kit.database import Connection

LOOPBACK = re.compile(r"http://(127\.0\.0\.1|\[::1\])(?::[0-9]{1,5})?(/[^#]*|)")
PASSWORD_LOGIN = "password-login"  # noqa: S105  # a name


@dataclass(frozen=True, slots=True)
class Client(ClientMixin):  # type: ignore[misc]  # Authlib carries no types
    """`audiences`: the callees whose tokens it may have; without one it has tokens for the
    public interface.
    """

    id: str
    name: str
    auth_method: str
    secret_hash: bytes | None
    # While a secret is replaced: the one before works until its time is over.
    previous_secret_hash: bytes | None
    previous_secret_expires_at: datetime | None
    jwks: dict[str, Any] | None
    jwks_uri: str | None
    grant_types: tuple[str, ...]
    redirect_uris: tuple[str, ...]
    post_logout_redirect_uris: tuple[str, ...]
    backchannel_logout_uri: str | None
    scopes: tuple[str, ...]
    audiences: tuple[str, ...]
    trusted: bool
    # RFC 9449: its access tokens are bound to a key. RFC 9126: it pushes its
    # authorization requests.
    dpop_bound: bool
    pushed_requests_only: bool
    disabled_at: datetime | None
    created_at: datetime
    version: int

    # From here on: what Authlib asks of a client.

    @property
    def client_metadata(self) -> dict[str, Any]:
        return {"post_logout_redirect_uris": list(self.post_logout_redirect_uris)}

    def get_client_id(self) -> str:
        return self.id

    def get_default_redirect_uri(self) -> str | None:
        # Never guessed: a request names where it wants to go.
        return None

    def get_allowed_scope(self, scope: str | None) -> str | None:
        """Returns what it may have of `scope` (of all, if nothing is asked for), or None, an
        error, for nothing.
        """
        try:
            asked = split_scopes(scope or "")
            allowed = intersect(asked, self.scopes) if asked else frozenset(self.scopes)
        except TooManyScopesError:
            return None
        return " ".join(sorted(allowed)) if allowed or not asked else None

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        """Tells whether the address is registered: letter by letter, but for the port of a
        loopback address.

        A native application listens on a port that it gets at that moment (RFC 8252, 7.3).
        """
        if redirect_uri in self.redirect_uris:
            return True
        asked = _without_port(redirect_uri)
        return asked is not None and any(asked == _without_port(uri) for uri in self.redirect_uris)

    def check_client_secret(self, client_secret: str) -> bool:
        sent = digest(client_secret)
        if self.secret_hash is not None and hmac.compare_digest(self.secret_hash, sent):
            return True
        until = self.previous_secret_expires_at
        return (
            self.previous_secret_hash is not None
            and until is not None
            and until > datetime.now(UTC)
            and hmac.compare_digest(self.previous_secret_hash, sent)
        )

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == self.auth_method

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code" and "authorization_code" in self.grant_types

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in self.grant_types


def _without_port(uri: str) -> tuple[str, str] | None:
    """Returns host and rest of an http URI of a loopback address; None for any other."""
    match = LOOPBACK.fullmatch(uri)
    return (match[1], match[2]) if match else None


def client_of(row: Any) -> Client:
    values: dict[str, Any] = {field.name: row[field.name] for field in fields(Client)}
    values["jwks"] = msgspec.json.decode(row["jwks"]) if row["jwks"] else None
    frozen: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
    }
    return Client(**frozen)


async def select_client(connection: Connection, client_id: str) -> Client | None:
    if not client_id.isprintable():
        # PostgreSQL takes no NUL and no lone surrogate.
        return None
    row = await connection.fetchrow("SELECT * FROM clients WHERE id = $1", client_id)
    return client_of(row) if row else None


async def select_active_client(connection: Connection, client_id: str) -> Client | None:
    client = await select_client(connection, client_id)
    return client if client and client.disabled_at is None else None


async def hold_active_client(connection: Connection, client_id: str) -> Client | None:
    """Holds it against change until the end of the transaction, beside others who do: a revocation
    waits for them.
    """
    if not client_id.isprintable():
        return None
    row = await connection.fetchrow(
        "SELECT * FROM clients WHERE id = $1 AND disabled_at IS NULL FOR SHARE", client_id
    )
    return client_of(row) if row else None


async def lock_client(connection: Connection, client_id: str) -> Client | None:
    """Holds it until the end of the transaction."""
    if await select_client(connection, client_id) is None:
        return None
    row = await connection.fetchrow("SELECT * FROM clients WHERE id = $1 FOR UPDATE", client_id)
    return client_of(row) if row else None


async def select_clients(
    connection: Connection, after: str, limit: int, text: str = ""
) -> list[Client]:
    """Returns clients after an id, by id. With `text`: whose id or name contains it."""
    rows = await connection.fetch(
        "SELECT * FROM clients WHERE id > $1 AND (position(lower($3) IN lower(id)) > 0 "
        "OR position(lower($3) IN lower(name)) > 0) ORDER BY id LIMIT $2",
        after,
        limit,
        text,
    )
    return [client_of(row) for row in rows]


async def select_origins(connection: Connection) -> list[str]:
    """Returns the origins of the addresses that active clients' people are sent to, sorted."""
    rows = await connection.fetch(
        "SELECT DISTINCT unnest(redirect_uris) AS uri FROM clients "
        "WHERE disabled_at IS NULL AND 'authorization_code' = ANY(grant_types)"
    )
    found = set()
    for row in rows:
        parts = urlsplit(row["uri"])
        # An application's own scheme has no origin that a browser would name.
        if parts.scheme in ("https", "http"):
            found.add(f"{parts.scheme}://{parts.netloc.lower()}")
    return sorted(found)
