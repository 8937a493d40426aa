"""The grants and what is plugged into them: Authlib's, with our storage and no way around PKCE."""

import re
from dataclasses import replace
from typing import Any

from authlib.oauth2.rfc6749 import (
    InvalidRequestError,
    InvalidScopeError,
    OAuth2Request,
    grants,
)
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oidc.core import OpenIDCode

from apps.auth.audit import Event
from apps.auth.encryption import new_token
from apps.auth.oauth.authlib_starlette import wait_for
from apps.auth.oauth.authorization_server import IdentityServer
from apps.auth.oauth.clients import Client
from apps.auth.oauth.codes import AuthorizationCode, insert_code, select_code, use_code
from apps.auth.oauth.device_grant import DeviceGrant
from apps.auth.oauth.dpop import InvalidProofError
from apps.auth.oauth.logout_notices import insert_session_client
from apps.auth.oauth.origin import Origin
from apps.auth.oauth.refresh_tokens import (
    RefreshToken,
    derive_successor,
    is_used,
    rotate_refresh_token,
    select_refresh_token,
)
from apps.auth.oauth.revocations import revoke_family
from apps.auth.oauth.token_exchange import TokenExchangeGrant
from apps.auth.oauth.tokens import user_info
from apps.auth.people.roles import intersect
from apps.auth.people.sessions import Session
from apps.auth.people.users import User, select_active_user
from apps.kit.claims import Key
from apps.kit.context import new_id

CONFIDENTIAL_METHODS = ("client_secret_basic", "client_secret_post", "private_key_jwt")
AUTH_METHODS = (*CONFIDENTIAL_METHODS, "none")
CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")


class AuthorizationCodeGrant(grants.AuthorizationCodeGrant):  # type: ignore[misc]
    TOKEN_ENDPOINT_AUTH_METHODS = AUTH_METHODS
    server: IdentityServer

    @staticmethod
    def validate_authorization_redirect_uri(request: OAuth2Request, client: Client) -> str:
        """Returns the address, which must be sent and registered; an error is shown here and
        never sent there.
        """
        uri = request.payload.redirect_uri
        if not uri or not client.check_redirect_uri(uri):
            raise InvalidRequestError("'redirect_uri' is missing or not registered")
        return str(uri)

    def generate_authorization_code(self) -> str:
        return new_token()

    def save_authorization_code(self, secret: str, request: OAuth2Request) -> None:
        user: User = request.user
        session: Session = self.server.session_of_user()
        launch = self.server.launch
        scopes = self.server.allowed_scopes(
            request.client, user, request.scope, launched=launch.patient_id is not None
        )
        code = AuthorizationCode(
            client_id=request.client.id,
            user_id=user.id,
            family_id=new_id(),
            redirect_uri=request.payload.redirect_uri,
            scope=" ".join(sorted(scopes)),
            nonce=request.payload.data.get("nonce"),
            code_challenge=request.payload.data["code_challenge"],
            authenticated_at=session.authenticated_at,
            methods=session.methods,
            patient_id=launch.patient_id,
            encounter_id=launch.encounter_id,
            session_id=session.public_id,
            dpop_jkt=request.payload.data.get("dpop_jkt"),
        )
        wait_for(insert_code, self.server.connection, secret, code)
        wait_for(
            insert_session_client,
            self.server.connection,
            session_id=session.public_id,
            client_id=request.client.id,
            user_id=user.id,
        )
        self.server.record(
            Event("authorization", actor_id=user.id, subject=user.id), request.client
        )

    def query_authorization_code(self, secret: str, client: Client) -> AuthorizationCode | None:
        code = wait_for(select_code, self.server.connection, secret, client.id)
        if code is not None and code.used_at is not None:
            # RFC 6749, 4.1.2: whoever comes second may be the one that it belongs to; nobody
            # keeps anything.
            wait_for(revoke_family, self.server.connection, code.family_id)
            event = Event("code_replayed", "failure", actor_id=client.id, subject=code.user_id)
            self.server.record(event, client)
            return None
        if code is not None:
            if code.dpop_jkt and code.dpop_jkt != self.server.dpop_jkt:
                raise InvalidProofError("the code is for another key")
            self.server.origin = Origin.of(code)
        return code

    def authenticate_user(self, code: AuthorizationCode) -> User | None:
        return wait_for(select_active_user, self.server.connection, code.user_id)

    def delete_authorization_code(self, code: AuthorizationCode) -> None:
        wait_for(use_code, self.server.connection, code.family_id)


class RequiredS256(CodeChallenge):  # type: ignore[misc]
    """PKCE for every client, by S256 only: Authlib would let confidential clients go without,
    and take `plain`.
    """

    SUPPORTED_CODE_CHALLENGE_METHOD = ("S256",)
    CODE_CHALLENGE_METHODS = {"S256": CodeChallenge.CODE_CHALLENGE_METHODS["S256"]}

    def validate_code_challenge(self, grant: Any, redirect_uri: str) -> None:
        data = grant.request.payload.data
        if data.get("code_challenge_method") != "S256" or not CHALLENGE.fullmatch(
            data.get("code_challenge", "")
        ):
            raise InvalidRequestError("PKCE is required: a 'code_challenge' of the method S256")
        super().validate_code_challenge(grant, redirect_uri)

    def get_authorization_code_challenge_method(self, code: AuthorizationCode) -> str:
        return "S256"


class IdToken(OpenIDCode):  # type: ignore[misc]
    def __init__(self, server: IdentityServer) -> None:
        super().__init__()
        self.server = server

    def get_authorization_code_claims(self, authorization_code: AuthorizationCode) -> Any:
        claims = super().get_authorization_code_claims(authorization_code)
        if authorization_code.session_id:
            claims["sid"] = authorization_code.session_id
        return claims

    def exists_nonce(self, nonce: str, request: OAuth2Request) -> bool:
        """Leaves the comparison to the client (OpenID Connect Core, 15.5.2)."""
        return False

    def resolve_client_private_key(self, client: Client) -> Key:
        return self.server.ring.active.key

    def get_client_algorithm(self, client: Client) -> str:
        return self.server.ring.active.algorithm

    def get_encode_header(self, client: Client) -> dict[str, str]:
        return {"alg": self.server.ring.active.algorithm, "kid": self.server.ring.active.id}

    def get_client_claims(self, client: Client) -> dict[str, Any]:
        return {"iss": self.server.settings.issuer, "aud": client.id}

    def generate_user_info(self, user: User, scope: str) -> dict[str, Any]:
        return user_info(user, scope.split(), self.server.settings.issuer)


class RefreshTokenGrant(grants.RefreshTokenGrant):  # type: ignore[misc]
    TOKEN_ENDPOINT_AUTH_METHODS = AUTH_METHODS
    INCLUDE_NEW_REFRESH_TOKEN = True
    server: IdentityServer

    def authenticate_refresh_token(self, secret: str) -> RefreshToken | None:
        token = wait_for(select_refresh_token, self.server.connection, secret)
        if token is None or not token.check_client(self.request.client) or token.revoked_at:
            return None
        if token.dpop_jkt and token.dpop_jkt != self.server.dpop_jkt:
            raise InvalidProofError("the refresh token is bound to another key")

        successor = derive_successor(self.server.settings.key_encryption_key, secret)
        successor_used = token.rotated and wait_for(is_used, self.server.connection, successor)
        if token.stale or successor_used:
            # RFC 9700, 4.14.2: two parties have it, and one of them is a thief.
            wait_for(revoke_family, self.server.connection, token.family_id)
            event = Event(
                "refresh_token_reused", "failure", actor_id=token.client_id, subject=token.user_id
            )
            self.server.record(event, self.request.client)
            return None
        self.server.origin = replace(
            Origin.of(token), expires_at=token.expires_at, successor=successor
        )
        return token

    def _validate_token_scope(self, token: RefreshToken) -> None:
        """Narrows: `user/Patient.r` may be asked for where `user/*.cruds` was granted
        (RFC 6749, 6).
        """
        granted = token.scope.split()
        asked = self.server.split_scope(self.request.payload.scope)
        if any(intersect([scope], granted) != {scope} for scope in asked):
            raise InvalidScopeError()

    def authenticate_user(self, token: RefreshToken) -> User | None:
        return wait_for(select_active_user, self.server.connection, token.user_id)

    def revoke_old_credential(self, token: RefreshToken) -> None:
        wait_for(rotate_refresh_token, self.server.connection, token)


class ClientCredentialsGrant(grants.ClientCredentialsGrant):  # type: ignore[misc]
    TOKEN_ENDPOINT_AUTH_METHODS = CONFIDENTIAL_METHODS
    server: IdentityServer


def register_grants(server: IdentityServer) -> None:
    server.register_grant(AuthorizationCodeGrant, [RequiredS256(required=True), IdToken(server)])
    server.register_grant(RefreshTokenGrant)
    server.register_grant(ClientCredentialsGrant)
    server.register_grant(DeviceGrant, [IdToken(server)])
    server.register_grant(TokenExchangeGrant)
