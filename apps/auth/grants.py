"""The grants: Authlib's, with our storage."""

from authlib.oauth2.rfc6749 import grants

from apps.auth.server import IdentityServer


class ClientCredentialsGrant(grants.ClientCredentialsGrant):  # type: ignore[misc]
    TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic",)
    server: IdentityServer

    def validate_token_request(self) -> None:
        super().validate_token_request()
        self.server.origin = {"audience": self.server.audience_of(self.request, self.request.client)}
