"""The authorization server: Authlib's, with our clients, tokens and rules. One a request, on
its transaction.
"""

import time
from collections.abc import Mapping
from dataclasses import replace
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
from apps.auth.oauth.authlib_starlette import (
    StarletteAuthorizationServer,
    StarletteOAuth2Request,
    wait_for,
)
from apps.auth.oauth.clients import Client, hold_active_client
from apps.auth.oauth.dpop import InvalidProofError, read_new_proof
from apps.auth.oauth.launches import LaunchContext
from apps.auth.oauth.origin import Origin, end_of_federated
from apps.auth.oauth.refresh_tokens import (
    insert_refresh_token,
    select_client_of_refresh_token,
)
from apps.auth.oauth.tokens import Grant, sign_access_token
from apps.auth.outbound import ClientKeys
from apps.auth.people.roles import (
    TooManyScopesError,
    intersect,
    scopes_of_client,
    scopes_of_roles,
    split_scopes,
)
from apps.auth.people.sessions import Session
from apps.auth.people.users import User
from apps.auth.settings import Settings
from apps.kit.claims import ACCESS_TOKEN_SECONDS
from apps.kit.database import Connection
from apps.kit.operation_outcomes import FHIR_PATH


class InvalidTargetError(OAuth2Error):  # type: ignore[misc]
    """RFC 8707: a token for this audience is not to be had."""

    error = "invalid_target"


class IdentityServer(StarletteAuthorizationServer):
    def __init__(
        self,
        settings: Settings,
        connection: Connection,
        ring: KeyRing,
        client_keys: ClientKeys,
        address: str,
        session: Session | None = None,
    ) -> None:
        super().__init__()
        self.client_keys = client_keys
        self.settings = settings
        self.connection = connection
        self.ring = ring
        self.address = address
        self.session = session
        # Set by the grants before the token is made.
        self.origin: Origin | None = None
        self.audience = settings.issuer
        # What the person's application was launched for: set by the authorization endpoint before
        # the code is made.
        self.launch = LaunchContext()
        # RFC 9449: the key that the request proved to hold.
        self.dpop_jkt: str | None = None
        # RFC 8693: the client that acts for the person, and until when the token that it
        # showed is valid.
        self.actor: tuple[str, int] | None = None
        self.register_token_generator("default", self.make_token)

    def session_of_user(self) -> Session:
        assert self.session is not None
        return self.session

    def query_client(self, client_id: str) -> Client | None:
        return wait_for(hold_active_client, self.connection, client_id)

    def authenticate_client(
        self, request: OAuth2Request, methods: list[str], endpoint: str = "token"
    ) -> Client:
        """Returns the client. It uses one method, and `client_id` names nobody else (RFC 6749, 2.3;
        RFC 7521, 4.2).
        """
        form = request.form
        used = (
            "Authorization" in request.headers,
            "client_secret" in form,
            "client_assertion" in form or "client_assertion_type" in form,
        )
        if sum(used) > 1:
            raise InvalidRequestError("more than one way of client authentication")
        if form.get("grant_type") == "refresh_token" and not any((*used, "client_id" in form)):
            self.assume_client_of_token(request)
        client: Client = super().authenticate_client(request, methods, endpoint)
        if form.get("client_id", client.id) != client.id:
            raise InvalidClientError("'client_id' is another client's")
        if endpoint == "token":
            self.audience = self.audience_of(request.payload.datalist, client)
            self.check_proof(request, client)
        return client

    def assume_client_of_token(self, request: StarletteOAuth2Request) -> None:
        """Lets a public client renew without saying which one it is: the token shows it. No
        other client gains.
        """
        client_id = wait_for(
            select_client_of_refresh_token, self.connection, request.form.get("refresh_token", "")
        )
        if client_id:
            request.assume_client(client_id)

    def check_proof(self, request: OAuth2Request, client: Client) -> None:
        """Reads the DPoP proof of a token request (RFC 9449, 5). A client that was registered so
        must send one.
        """
        text = request.headers.get("Dpop")
        if text is None:
            if client.dpop_bound:
                raise InvalidProofError("a DPoP proof is required")
            return
        url = f"{self.settings.issuer}/oauth2/token"
        self.dpop_jkt = read_new_proof(self.connection, text, method="POST", url=url)

    def validate_requested_scope(self, scope: str | None) -> None:
        """Refuses more scopes than any application needs. What is granted is what client and
        role may have.
        """
        self.split_scope(scope)

    def split_scope(self, scope: str | None) -> tuple[str, ...]:
        try:
            return split_scopes(scope or "")
        except TooManyScopesError:
            raise InvalidScopeError("too many scopes, or too long") from None

    def allowed_scopes(
        self, client: Client, user: User | None, asked: str | None, *, launched: bool = False
    ) -> frozenset[str]:
        """Returns what of `asked` is granted; everything that may be had, if nothing is asked for.

        `launched`: staff chose a patient for the application. Raises InvalidScopeError where
        something is asked for and nothing of it may be had, and for more than fits into a token.
        """
        wanted = self.split_scope(asked)
        try:
            may_have = (
                intersect(client.scopes, scopes_of_roles(user.roles, launched=launched))
                if user
                else scopes_of_client(client.scopes)
            )
            granted = intersect(wanted, may_have) if wanted else may_have
            split_scopes(" ".join(granted))
        except TooManyScopesError:
            raise InvalidScopeError("too many scopes for one token: ask for fewer") from None
        if wanted and not granted:
            raise InvalidScopeError()
        return granted

    def audience_of(self, parameters: Mapping[str, list[str]], client: Client) -> str:
        """Returns the public URL, or for a service's own token the callee that it names; raises
        InvalidTargetError.

        `resource` (RFC 8707) says the same as `audience`, and the base of the FHIR interface as
        the public URL.
        """
        stated = {value for name in ("audience", "resource") for value in parameters.get(name, ())}
        fhir_base = self.settings.issuer + FHIR_PATH
        asked = {
            self.settings.issuer
            if value.rstrip("/") in (fhir_base, self.settings.issuer)
            else value
            for value in stated
        }
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
        """Returns the answer of the token endpoint: this is Authlib's token generator."""
        origin = self.origin
        patient_id = (user.patient_id if user else None) or (origin.patient_id if origin else None)
        encounter_id = origin.encounter_id if origin else None
        launched = patient_id is not None
        grant = Grant(
            issuer=self.settings.issuer,
            audience=self.audience,
            client=client,
            user=user,
            scopes=self.allowed_scopes(client, user, scope, launched=launched),
            patient_id=patient_id,
            encounter_id=encounter_id,
            dpop_jkt=self.dpop_jkt,
        )
        if origin:
            grant = replace(
                grant,
                family=origin.family_id,
                authenticated_at=origin.authenticated_at,
                methods=origin.methods,
            )
        expires_in = ACCESS_TOKEN_SECONDS
        if self.actor:
            actor_id, expires_at = self.actor
            grant = replace(grant, actor_id=actor_id, expires_at=expires_at)
            expires_in = max(0, min(expires_in, expires_at - int(time.time())))

        token: dict[str, Any] = {
            "access_token": sign_access_token(self.ring.active, grant),
            "token_type": "DPoP" if self.dpop_jkt else "Bearer",
            "expires_in": expires_in,
            "scope": grant.scope,
        }
        if origin and include_refresh_token and "offline_access" in origin.scope.split():
            token["refresh_token"] = origin.successor or new_token()
        # SMART App Launch: the record and the encounter that the application is to show.
        if patient_id:
            token["patient"] = patient_id
        if encounter_id:
            token["encounter"] = encounter_id
        return token

    def save_token(self, token: dict[str, Any], request: OAuth2Request) -> None:
        """Stores the refresh token's hash, and records that tokens were given; an access
        token is not stored.
        """
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
                expires_at=self.origin.expires_at or end_of_federated(self.origin),
                patient_id=self.origin.patient_id,
                encounter_id=self.origin.encounter_id,
                session_id=self.origin.session_id,
                dpop_jkt=self.origin.dpop_jkt or self.dpop_jkt,
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
