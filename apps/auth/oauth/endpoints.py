"""Revocation (RFC 7009), introspection (RFC 7662) and logout (OpenID Connect RP-Initiated
Logout), on Authlib.
"""

from typing import Any

from authlib.oauth2.rfc6749 import InvalidRequestError, OAuth2Request
from authlib.oauth2.rfc7009 import RevocationEndpoint as AuthlibRevocationEndpoint
from authlib.oauth2.rfc7662 import IntrospectionEndpoint as AuthlibIntrospectionEndpoint
from authlib.oidc.rpinitiated import EndSessionEndpoint as AuthlibEndSessionEndpoint

from apps.auth.audit import Event
from apps.auth.oauth.authlib_starlette import wait_for
from apps.auth.oauth.authorization_server import IdentityServer
from apps.auth.oauth.clients import Client
from apps.auth.oauth.device_grant import DeviceAuthorizationEndpoint
from apps.auth.oauth.found_tokens import AccessToken, find_token, read_id_token_hint
from apps.auth.oauth.grants import AUTH_METHODS, CONFIDENTIAL_METHODS
from apps.auth.oauth.refresh_tokens import RefreshToken
from apps.auth.oauth.revocations import insert_revocation, revoke_family
from apps.auth.people.users import select_active_user


class RevocationEndpoint(AuthlibRevocationEndpoint):  # type: ignore[misc]
    CLIENT_AUTH_METHODS = AUTH_METHODS
    server: IdentityServer

    def check_params(self, request: OAuth2Request, client: Client) -> None:
        """Asks for a token. A hint of an unknown type is ignored (RFC 7009, 2.2; RFC 7662, 2.1)."""
        if "token" not in request.form:
            raise InvalidRequestError("Missing 'token' in request.")

    def query_token(self, secret: str, hint: str | None) -> AccessToken | RefreshToken | None:
        return find_token(self.server, secret)

    def revoke_token(self, token: AccessToken | RefreshToken, request: OAuth2Request) -> None:
        """Revokes a refresh token with all that came of its sign-in, an access token alone."""
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
    CLIENT_AUTH_METHODS = CONFIDENTIAL_METHODS
    server: IdentityServer

    def check_params(self, request: OAuth2Request, client: Client) -> None:
        """Asks for a token. A hint of an unknown type is ignored (RFC 7009, 2.2; RFC 7662, 2.1)."""
        if "token" not in request.form:
            raise InvalidRequestError("Missing 'token' in request.")

    def query_token(self, secret: str, hint: str | None) -> AccessToken | RefreshToken | None:
        return find_token(self.server, secret)

    def check_permission(
        self, token: AccessToken | RefreshToken, client: Client, request: OAuth2Request
    ) -> bool:
        """Lets a client ask about its own tokens, and our services, which alone have audiences,
        about any.
        """
        return token.check_client(client) or bool(client.audiences)

    def introspect_token(self, token: AccessToken | RefreshToken) -> dict[str, Any]:
        if isinstance(token, RefreshToken):
            user = wait_for(select_active_user, self.server.connection, token.user_id)
            patient_id = (user.patient_id if user else None) or token.patient_id
            return {
                "active": user is not None,
                "token_type": "refresh_token",
                "client_id": token.client_id,
                "sub": token.user_id,
                "scope": token.scope,
                "iat": int(token.issued_at.timestamp()),
                "exp": int(token.expires_at.timestamp()),
                **({"patient": patient_id} if patient_id else {}),
                **({"encounter": token.encounter_id} if token.encounter_id else {}),
            }
        principal = token.principal
        # SMART App Launch 2.2, "Token introspection": what the token response told.
        context = {
            "patient": principal.patient_id,
            "encounter": principal.encounter_id,
            "fhirUser": principal.fhir_user,
        }
        bound = {"cnf": {"jkt": principal.key_thumbprint}} if principal.key_thumbprint else {}
        return {
            "active": True,
            "token_type": "DPoP" if principal.key_thumbprint else "Bearer",
            "iss": self.server.settings.issuer,
            "aud": principal.audience,
            "client_id": principal.client_id,
            "sub": principal.subject,
            "scope": " ".join(sorted(principal.scopes)),
            "jti": principal.token_id,
            "iat": principal.issued_at,
            "exp": principal.expires_at,
            **{name: value for name, value in context.items() if value},
            **bound,
        }

    def create_introspection_payload(
        self, token: AccessToken | RefreshToken | None
    ) -> dict[str, Any]:
        payload: dict[str, Any] = super().create_introspection_payload(token)
        # RFC 7662, 2.2: nothing else is told about a token that is not active.
        return payload if payload["active"] else {"active": False}


class EndSessionEndpoint(AuthlibEndSessionEndpoint):  # type: ignore[misc]
    server: IdentityServer

    def _validate_id_token_hint(self, id_token_hint: str) -> dict[str, Any]:
        claims = read_id_token_hint(id_token_hint, self.server)
        if claims is None:
            raise InvalidRequestError("'id_token_hint' is not an id token of ours")
        return claims

    def is_post_logout_redirect_uri_legitimate(
        self, request: OAuth2Request, uri: str, client: Client, logout_hint: str | None
    ) -> bool:
        """Takes an address without a hint, for the person is asked first; it is registered for the
        client that is named.
        """
        return True

    def end_session(self, end_session_request: Any) -> None:
        """Leaves it to the route: a cookie is a matter of the response."""


def register_endpoints(server: IdentityServer) -> None:
    server.register_endpoint(RevocationEndpoint)
    server.register_endpoint(IntrospectionEndpoint)
    server.register_endpoint(EndSessionEndpoint)
    server.register_endpoint(DeviceAuthorizationEndpoint)
