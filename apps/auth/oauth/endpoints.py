"""Revocation (RFC 7009), introspection (RFC 7662) and logout (OpenID Connect RP-Initiated Logout), on Authlib."""

import time
from dataclasses import dataclass
from typing import Any

from authlib.oauth2.rfc6749 import InvalidRequestError, OAuth2Request, TokenMixin
from authlib.oauth2.rfc7009 import RevocationEndpoint as AuthlibRevocationEndpoint
from authlib.oauth2.rfc7662 import IntrospectionEndpoint as AuthlibIntrospectionEndpoint
from authlib.oidc.rpinitiated import EndSessionEndpoint as AuthlibEndSessionEndpoint
from joserfc import jws

from apps.auth.audit import Event
from apps.auth.oauth.authlib_starlette import wait_for
from apps.auth.oauth.authorization_server import IdentityServer
from apps.auth.oauth.clients import Client
from apps.auth.oauth.refresh_tokens import RefreshToken, select_refresh_token
from apps.auth.oauth.revocations import insert_revocation, revoke_family, select_revocations
from apps.auth.people.users import select_active_user
from apps.catalogue import SERVICES
from apps.kit.claims import ALGORITHMS, parse_keys, read_key_id, read_principal
from apps.kit.errors import Unauthorized
from apps.kit.scopes import Principal


@dataclass(frozen=True, slots=True)
class AccessToken(TokenMixin):  # type: ignore[misc]
    """A valid one, signed by us; `revoked` as the database has it now."""

    principal: Principal
    revoked: bool

    def check_client(self, client: Client) -> bool:
        return self.principal.client_id == client.id

    def is_expired(self) -> bool:
        return False

    def is_revoked(self) -> bool:
        return self.revoked


def find_token(server: IdentityServer, secret: str) -> AccessToken | RefreshToken | None:
    if secret.count(".") != 2:
        return wait_for(select_refresh_token, server.connection, secret)
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
    return AccessToken(principal, wait_for(select_revocations, server.connection).covers(principal))


class RevocationEndpoint(AuthlibRevocationEndpoint):  # type: ignore[misc]
    CLIENT_AUTH_METHODS = ("client_secret_basic", "private_key_jwt", "none")
    server: IdentityServer

    def query_token(self, secret: str, hint: str | None) -> AccessToken | RefreshToken | None:
        return find_token(self.server, secret)

    def revoke_token(self, token: AccessToken | RefreshToken, request: OAuth2Request) -> None:
        """A refresh token takes along all that came of its sign-in; an access token goes alone."""
        if isinstance(token, RefreshToken):
            wait_for(revoke_family, self.server.connection, token.family_id)
            subject = token.user_id
        else:
            wait_for(insert_revocation, self.server.connection, "token", token.principal.token_id)
            subject = token.principal.subject
        self.server.record(
            Event("token_revoked", actor_id=request.client.id, subject=subject), request.client
        )


class IntrospectionEndpoint(AuthlibIntrospectionEndpoint):  # type: ignore[misc]
    CLIENT_AUTH_METHODS = ("client_secret_basic", "private_key_jwt")
    server: IdentityServer

    def query_token(self, secret: str, hint: str | None) -> AccessToken | RefreshToken | None:
        return find_token(self.server, secret)

    def check_permission(
        self, token: AccessToken | RefreshToken, client: Client, request: OAuth2Request
    ) -> bool:
        """A client's own tokens; our services (which alone have audiences) may ask about any."""
        return token.check_client(client) or bool(client.audiences)

    def introspect_token(self, token: AccessToken | RefreshToken) -> dict[str, Any]:
        if isinstance(token, RefreshToken):
            user = wait_for(select_active_user, self.server.connection, token.user_id)
            return {
                "active": user is not None,
                "token_type": "refresh_token",
                "client_id": token.client_id,
                "sub": token.user_id,
                "scope": token.scope,
                "iat": int(token.issued_at.timestamp()),
                "exp": int(token.expires_at.timestamp()),
            }
        principal = token.principal
        return {
            "active": True,
            "token_type": "Bearer",
            "iss": self.server.settings.issuer,
            "aud": principal.audience,
            "client_id": principal.client_id,
            "sub": principal.subject,
            "scope": " ".join(sorted(principal.scopes)),
            "jti": principal.token_id,
            "iat": principal.issued_at,
            "exp": principal.expires_at,
        }

    def create_introspection_payload(
        self, token: AccessToken | RefreshToken | None
    ) -> dict[str, Any]:
        payload: dict[str, Any] = super().create_introspection_payload(token)
        # RFC 7662, 2.2: nothing else is told about a token that is not active.
        return payload if payload["active"] else {"active": False}


class EndSessionEndpoint(AuthlibEndSessionEndpoint):  # type: ignore[misc]
    server: IdentityServer

    def get_server_jwks(self) -> dict[str, Any]:
        return self.server.ring.published

    def get_algorithms(self) -> list[str]:
        return list(ALGORITHMS)

    def _validate_id_token_hint(self, id_token_hint: str) -> dict[str, Any]:
        """An id token's claims; an access token, signed with the same keys, is none."""
        claims: dict[str, Any] = super()._validate_id_token_hint(id_token_hint)
        kind = str(jws.extract_compact(id_token_hint.encode()).headers().get("typ", "JWT"))
        if kind.lower().removeprefix("application/") != "jwt":
            raise InvalidRequestError("'id_token_hint' is not an id token")
        return claims

    def end_session(self, end_session_request: Any) -> None:
        """The route ends it: a cookie is a matter of the response."""


def register_endpoints(server: IdentityServer) -> None:
    server.register_endpoint(RevocationEndpoint)
    server.register_endpoint(IntrospectionEndpoint)
    server.register_endpoint(EndSessionEndpoint)
