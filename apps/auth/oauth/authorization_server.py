"""The authorization server: Authlib's, with our clients, tokens and rules. One a request, on its transaction."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from authlib.oauth2 import OAuth2Request
from authlib.oauth2.rfc6749 import (
    InvalidClientError,
    InvalidRequestError,
    InvalidScopeError,
    OAuth2Error,
)

from apps.auth.audit import Event, insert_audit
from apps.auth.encryption import new_token
from apps.auth.keys import KeyRing
from apps.auth.oauth.authlib_starlette import StarletteAuthorizationServer, wait_for
from apps.auth.oauth.clients import Client, hold_active_client
from apps.auth.oauth.codes import AuthorizationCode
from apps.auth.oauth.refresh_tokens import RefreshToken, insert_refresh_token
from apps.auth.oauth.tokens import Grant, sign_access_token
from apps.auth.people.roles import intersect, scopes_of_client, scopes_of_roles
from apps.auth.people.sessions import Session
from apps.auth.people.users import User
from apps.auth.settings import Settings
from apps.kit.claims import ACCESS_TOKEN_SECONDS
from apps.kit.database import Connection


class InvalidTargetError(OAuth2Error):  # type: ignore[misc]
    """RFC 8707: a token for this audience is not to be had."""

    error = "invalid_target"


@dataclass(frozen=True, slots=True)
class Origin:
    """The sign-in that a person's token comes from, through a code or a refresh token."""

    family_id: str
    scope: str
    authenticated_at: datetime
    methods: tuple[str, ...]
    # Of the refresh token that is replaced.
    expires_at: datetime | None = None

    @classmethod
    def of(cls, credential: AuthorizationCode | RefreshToken) -> "Origin":
        return cls(
            credential.family_id, credential.scope, credential.authenticated_at, credential.methods
        )


class IdentityServer(StarletteAuthorizationServer):
    def __init__(
        self,
        settings: Settings,
        connection: Connection,
        ring: KeyRing,
        address: str,
        session: Session | None = None,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.connection = connection
        self.ring = ring
        self.address = address
        self.session = session
        # Set by the grants before the token is made.
        self.origin: Origin | None = None
        self.audience = settings.issuer
        self.register_token_generator("default", self.make_token)

    def session_of_user(self) -> Session:
        assert self.session is not None
        return self.session

    def query_client(self, client_id: str) -> Client | None:
        return wait_for(hold_active_client, self.connection, client_id)

    def authenticate_client(
        self, request: OAuth2Request, methods: list[str], endpoint: str = "token"
    ) -> Client:
        """By one method, and as nobody else than `client_id` says (RFC 6749, 2.3; RFC 7521, 4.2)."""
        form = request.form
        used = (
            "Authorization" in request.headers,
            "client_secret" in form,
            "client_assertion" in form or "client_assertion_type" in form,
        )
        if sum(used) > 1:
            raise InvalidRequestError("more than one way of client authentication")
        client: Client = super().authenticate_client(request, methods, endpoint)
        if form.get("client_id", client.id) != client.id:
            raise InvalidClientError("'client_id' is another client's")
        if endpoint == "token":
            self.audience = self.audience_of(form, client)
        return client

    def validate_requested_scope(self, scope: str | None) -> None:
        """No scope is right or wrong in itself: what is granted is what client and role may have."""

    def allowed_scopes(
        self, client: Client, user: User | None, asked: str | None
    ) -> frozenset[str]:
        """Raises InvalidScopeError where something is asked for and nothing of it may be had."""
        may_have = (
            intersect(client.scopes, scopes_of_roles(user.roles))
            if user
            else scopes_of_client(client.scopes)
        )
        if not asked:
            return may_have
        granted = intersect(asked.split(), may_have)
        if not granted:
            raise InvalidScopeError()
        return granted

    def audience_of(self, parameters: Mapping[str, str], client: Client) -> str:
        """The public URL, or for a service's own token the callee that it names; raises InvalidTargetError.

        `resource` (RFC 8707) says the same as `audience`.
        """
        asked = {parameters[name] for name in ("audience", "resource") if name in parameters}
        if not asked and not client.audiences:
            return self.settings.issuer
        if len(asked) != 1 or not asked <= set(client.audiences or (self.settings.issuer,)):
            raise InvalidTargetError("no token for this audience")
        return asked.pop()

    def make_token(
        self,
        grant_type: str,
        client: Client,
        user: User | None = None,
        scope: str | None = None,
        expires_in: int | None = None,
        include_refresh_token: bool = True,
    ) -> dict[str, Any]:
        """Authlib's token generator: the answer of the token endpoint."""
        grant = Grant(
            issuer=self.settings.issuer,
            audience=self.audience,
            client=client,
            user=user,
            scopes=self.allowed_scopes(client, user, scope),
        )
        origin = self.origin
        if origin:
            grant = replace(
                grant,
                family=origin.family_id,
                authenticated_at=origin.authenticated_at,
                methods=origin.methods,
            )
        token: dict[str, Any] = {
            "access_token": sign_access_token(self.ring.active, grant),
            "token_type": "Bearer",
            "expires_in": ACCESS_TOKEN_SECONDS,
            "scope": grant.scope,
        }
        if origin and include_refresh_token and "offline_access" in origin.scope.split():
            token["refresh_token"] = new_token()
        if user and user.patient_id:
            # SMART App Launch: the record that the application is to show.
            token["patient"] = user.patient_id
        return token

    def save_token(self, token: dict[str, Any], request: OAuth2Request) -> None:
        """The refresh token's hash; an access token is not stored. That they were given is recorded."""
        user_id = request.user.id if request.user else ""
        if "refresh_token" in token:
            assert self.origin is not None
            wait_for(
                insert_refresh_token,
                self.connection,
                token["refresh_token"],
                client_id=request.client.id,
                user_id=user_id,
                family_id=self.origin.family_id,
                scope=self.origin.scope,
                authenticated_at=self.origin.authenticated_at,
                methods=self.origin.methods,
                expires_at=self.origin.expires_at,
            )
        actor_id = user_id or request.client.id
        self.record(
            Event("token", reason=request.payload.grant_type, actor_id=actor_id, subject=user_id),
            request.client,
        )

    def record(self, event: Event, client: Client | None = None) -> None:
        known = replace(
            event, client_id=client.id if client else event.client_id, address=self.address
        )
        wait_for(insert_audit, self.connection, known)
