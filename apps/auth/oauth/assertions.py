"""Clients that prove who they are with a key of their own: private_key_jwt (RFC 7523, OpenID
Connect Core 9).
"""

import time
from typing import Any

from authlib.oauth2.rfc6749 import InvalidClientError
from authlib.oauth2.rfc7523 import JWTBearerClientAssertion
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from apps.auth.client_keys import CLIENT_ALGORITHMS
from apps.auth.oauth.assertion_ids import insert_assertion_id
from apps.auth.oauth.authlib_starlette import wait_for
from apps.auth.oauth.authorization_server import IdentityServer
from apps.auth.oauth.clients import Client
from apps.auth.oauth.jwt_parameters import is_acceptable_jwt

# SMART App Launch: no more than five minutes in the future.
MAX_LIFE_SECONDS = 300
LEEWAY_SECONDS = 10


class ClientAssertion(JWTBearerClientAssertion):  # type: ignore[misc]
    CLIENT_AUTH_METHOD = "private_key_jwt"

    def __init__(self, server: IdentityServer) -> None:
        super().__init__(leeway=LEEWAY_SECONDS)
        self.server = server

    def get_audiences(self) -> list[str]:
        issuer = self.server.settings.issuer
        return [issuer, f"{issuer}/oauth2/token"]

    def extract_assertion(self, assertion: str) -> Any:
        if not is_acceptable_jwt(assertion):
            raise InvalidClientError("Invalid JWT assertion.")
        return super().extract_assertion(assertion)

    def resolve_client_public_key(self, client: Client) -> KeySet:
        # A set by URL was fetched before the transaction began.
        jwks = self.server.client_keys.known(client.jwks_uri) if client.jwks_uri else client.jwks
        if jwks is None:
            raise InvalidClientError("The client has no keys.")
        return KeySet.import_key_set(jwks)  # type: ignore[arg-type]

    def process_assertion_claims(self, assertion: str, resolve_key: KeySet) -> dict[str, Any]:
        try:
            token = jwt.decode(assertion, resolve_key, algorithms=CLIENT_ALGORITHMS)
        except (JoseError, ValueError, TypeError, RecursionError):
            raise InvalidClientError("The assertion's signature is wrong.") from None
        expires_at = token.claims.get("exp")
        if (
            not isinstance(expires_at, (int, float))
            or expires_at > time.time() + MAX_LIFE_SECONDS + LEEWAY_SECONDS
        ):
            raise InvalidClientError("The assertion lives too long.")
        self.verify_claims(token.claims)
        return dict(token.claims)

    def validate_jti(self, claims: dict[str, Any], jti: Any) -> bool:
        return wait_for(
            insert_assertion_id,
            self.server.connection,
            str(claims["sub"]),
            str(jti),
            MAX_LIFE_SECONDS + 2 * LEEWAY_SECONDS,
        )
