"""The authorization server: Authlib's, with our clients, tokens and rules. One a request, on its transaction."""

from dataclasses import replace
from typing import Any

from authlib.oauth2 import OAuth2Request
from authlib.oauth2.rfc6749 import InvalidScopeError, OAuth2Error

from apps.auth.audit import Event, insert_audit
from apps.auth.authlib_starlette import StarletteAuthorizationServer, wait_for
from apps.auth.clients import Client, select_active_client
from apps.auth.keys import KeyRing
from apps.auth.roles import intersect, scopes_of_client, scopes_of_roles
from apps.auth.settings import Settings
from apps.auth.tokens import Grant, sign_access_token
from apps.auth.users import User
from apps.kit.database import Connection
from apps.kit.tokens import TOKEN_LIFE_SECONDS


class InvalidTargetError(OAuth2Error):  # type: ignore[misc]
    """RFC 8707: a token for this audience is not to be had."""

    error = "invalid_target"


class IdentityServer(StarletteAuthorizationServer):
    def __init__(self, settings: Settings, connection: Connection, ring: KeyRing, address: str) -> None:
        super().__init__()
        self.settings = settings
        self.connection = connection
        self.ring = ring
        self.address = address
        self.register_token_generator("default", self.make_token)
        # What the token under way comes from; set by the grants before the token is made.
        self.origin: dict[str, Any] = {}

    def query_client(self, client_id: str) -> Client | None:
        return wait_for(select_active_client, self.connection, client_id)

    def validate_requested_scope(self, scope: str | None) -> None:
        """Nothing is supported or not in itself: what is granted is what client and role may have."""

    def allowed_scopes(self, client: Client, user: User | None, asked: str | None) -> frozenset[str]:
        """Raises InvalidScopeError where something is asked for and nothing of it may be had."""
        may_have = intersect(client.scopes, scopes_of_roles(user.roles)) if user else scopes_of_client(client.scopes)
        if not asked:
            return may_have
        granted = intersect(asked.split(), may_have)
        if not granted:
            raise InvalidScopeError()
        return granted

    def audience_of(self, request: OAuth2Request, client: Client) -> str:
        """The public URL, or for a service's own token the callee that it names; raises InvalidTargetError."""
        asked = request.form.get("audience")
        allowed = client.audiences or (self.settings.issuer,)
        if asked is None and not client.audiences:
            return self.settings.issuer
        if asked not in allowed:
            raise InvalidTargetError("no token for this audience")
        return str(asked)

    def make_token(
        self,
        grant_type: str,
        client: Client,
        user: User | None = None,
        scope: str | None = None,
        expires_in: int | None = None,
        include_refresh_token: bool = True,
    ) -> dict[str, Any]:
        grant = Grant(
            issuer=self.settings.issuer,
            client=client,
            user=user,
            scopes=self.allowed_scopes(client, user, scope),
            **{"audience": self.settings.issuer, **self.origin},
        )
        return {
            "access_token": sign_access_token(self.ring.active, grant),
            "token_type": "Bearer",
            "expires_in": TOKEN_LIFE_SECONDS,
            "scope": grant.scope,
        }

    def save_token(self, token: dict[str, Any], request: OAuth2Request) -> None:
        """An access token is not stored; that it was given is recorded."""
        user_id = request.user.id if request.user else ""
        self.record(
            Event("token", reason=request.payload.grant_type, actor_id=user_id or request.client.id, subject=user_id),
            request.client,
        )

    def record(self, event: Event, client: Client | None = None) -> None:
        wait_for(
            insert_audit,
            self.connection,
            replace(event, client_id=client.id if client else event.client_id, address=self.address),
        )
