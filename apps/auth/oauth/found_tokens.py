"""Tokens that are shown to the service itself: for introspection, revocation,
exchange and as hints.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from authlib.oauth2.rfc6749 import TokenMixin
from joserfc import jws, jwt
from joserfc.errors import JoseError

from apps.auth.oauth.authlib_starlette import wait_for
from apps.auth.oauth.authorization_server import IdentityServer
from apps.auth.oauth.clients import Client
from apps.auth.oauth.jwt_parameters import is_acceptable_jwt, read_unverified_claims
from apps.auth.oauth.refresh_tokens import RefreshToken, select_refresh_token
from apps.auth.oauth.revocations import select_revocations
from apps.catalogue import SERVICES
from apps.kit.claims import ALGORITHMS, parse_keys, read_key_id, read_principal
from apps.kit.errors import Unauthorized
from apps.kit.scopes import Principal


@dataclass(frozen=True, slots=True)
class AccessToken(TokenMixin):  # type: ignore[misc]
    """A valid one, signed by us; `revoked` as the database has it now."""

    principal: Principal
    revoked: bool
    authenticated_at: datetime | None
    methods: tuple[str, ...]

    def check_client(self, client: Client) -> bool:
        return self.principal.client_id == client.id

    def is_expired(self) -> bool:
        return False

    def is_revoked(self) -> bool:
        return self.revoked


def find_token(server: IdentityServer, secret: str) -> AccessToken | RefreshToken | None:
    """Returns the token, or None if it is not one of ours or no longer valid. For a
    worker thread.
    """
    if secret.count(".") == 2:
        return find_access_token(server, secret)
    return wait_for(select_refresh_token, server.connection, secret)


def find_access_token(server: IdentityServer, secret: str) -> AccessToken | None:
    if not is_acceptable_jwt(secret):
        return None
    try:
        key = parse_keys(server.ring.published).get(read_key_id(secret))
        if key is None:
            return None
        issuer = server.settings.issuer
        # Services' own tokens too, whoever they are for.
        principal = read_principal(
            secret, key, issuer=issuer, audiences=(issuer, *SERVICES), now=time.time()
        )
    except Unauthorized:
        return None

    revoked = wait_for(select_revocations, server.connection).covers(principal)
    # Verified above: these are the claims that we wrote.
    claims = read_unverified_claims(secret)
    signed_in = claims.get("auth_time")
    return AccessToken(
        principal=principal,
        revoked=revoked,
        authenticated_at=datetime.fromtimestamp(signed_in, UTC) if signed_in else None,
        methods=tuple(claims.get("amr", ())),
    )


def read_id_token_hint(hint: str, server: IdentityServer) -> dict[str, Any] | None:
    """Returns the claims of an id token that we signed, also an expired one; None for
    anything else.

    An access token, signed with the same keys, is no id token.
    """
    if not is_acceptable_jwt(hint):
        return None
    try:
        header = jws.extract_compact(hint.encode()).headers()
        key = parse_keys(server.ring.published).get(str(header.get("kid")))
        if key is None:
            return None
        claims: dict[str, Any] = jwt.decode(hint, key, algorithms=ALGORITHMS).claims
    except (JoseError, ValueError, TypeError, KeyError):
        return None

    kind = str(header.get("typ", "JWT")).lower().removeprefix("application/")
    if kind != "jwt" or claims.get("iss") != server.settings.issuer:
        return None
    return claims
