"""Token exchange (RFC 8693): a service gets a narrower token to act for the person whose
token it was shown.
"""

from typing import Any

from authlib.oauth2.rfc6749 import (
    BaseGrant,
    InvalidGrantError,
    InvalidRequestError,
    InvalidScopeError,
    TokenEndpointMixin,
    UnauthorizedClientError,
)

from apps.auth.oauth.authlib_starlette import wait_for
from apps.auth.oauth.authorization_server import IdentityServer
from apps.auth.oauth.dpop import InvalidProofError
from apps.auth.oauth.found_tokens import AccessToken, find_access_token
from apps.auth.oauth.origin import Origin
from apps.auth.oauth.registration import TOKEN_EXCHANGE
from apps.auth.people.roles import intersect
from apps.auth.people.users import select_active_user

ACCESS_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105  # a name


class TokenExchangeGrant(BaseGrant, TokenEndpointMixin):  # type: ignore[misc]
    """The new token is the person's, names the service in `act`, and lives no longer than the one
    that was shown.

    It allows what the shown token, the service and the person's roles all allow. It is of the same
    family: revoking the sign-in revokes it. Only registered confidential clients may exchange, and
    only tokens of persons. A token that is bound to a key is exchanged with a proof of that key,
    and the new one is bound to it too.
    """

    GRANT_TYPE = TOKEN_EXCHANGE
    TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic", "client_secret_post", "private_key_jwt")
    server: IdentityServer

    def validate_token_request(self) -> None:
        client = self.authenticate_token_endpoint_client()
        self.request.client = client
        if not client.check_grant_type(self.GRANT_TYPE):
            raise UnauthorizedClientError("this client was not registered for token exchange")

        form = self.request.form
        if form.get("subject_token_type") != ACCESS_TOKEN_TYPE:
            raise InvalidRequestError(f"the only 'subject_token_type' is {ACCESS_TOKEN_TYPE}")
        if form.get("requested_token_type", ACCESS_TOKEN_TYPE) != ACCESS_TOKEN_TYPE:
            raise InvalidRequestError(f"the only 'requested_token_type' is {ACCESS_TOKEN_TYPE}")
        if "actor_token" in form:
            raise InvalidRequestError("the actor is the client itself: no 'actor_token'")

        shown = find_access_token(self.server, form.get("subject_token", ""))
        if shown is None or shown.is_revoked():
            raise InvalidGrantError("the subject token is not valid")
        bound_to = shown.principal.key_thumbprint
        if bound_to and bound_to != self.server.dpop_jkt:
            # Exchanged without its key, a stolen token would become one that needs none.
            raise InvalidProofError("the subject token is bound to another key")
        self.subject = shown

    def create_token_response(self) -> tuple[int, dict[str, Any], Any]:
        principal = self.subject.principal
        user = wait_for(select_active_user, self.server.connection, principal.subject)
        if user is None or principal.audience != self.server.settings.issuer:
            raise InvalidGrantError("the subject token is not a person's")

        scope = self._scope(self.subject)
        self.request.user = user
        self.server.actor = (self.request.client.id, principal.expires_at)
        if principal.family and self.subject.authenticated_at:
            self.server.origin = Origin(
                family_id=principal.family,
                scope=scope,
                authenticated_at=self.subject.authenticated_at,
                methods=self.subject.methods,
                patient_id=principal.patient_id,
                encounter_id=principal.encounter_id,
            )
        token = self.generate_token(user=user, scope=scope, include_refresh_token=False)
        self.save_token(token)
        token["issued_token_type"] = ACCESS_TOKEN_TYPE
        return 200, token, self.TOKEN_RESPONSE_HEADER

    def _scope(self, shown: AccessToken) -> str:
        held = shown.principal.scopes
        asked = self.server.split_scope(self.request.payload.scope)
        scopes = intersect(intersect(asked, held) if asked else held, self.request.client.scopes)
        # Staying connected is the application's, not the service's.
        scopes -= {"offline_access"}
        if not scopes:
            raise InvalidScopeError()
        return " ".join(sorted(scopes))
