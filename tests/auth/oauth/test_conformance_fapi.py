"""What the OpenID conformance suite sends in its plan "FAPI 2.0 Security Profile", of what
is claimed here.

The client of these tests pushes its requests, proves itself with a key, and binds its
tokens by DPoP.
"""

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc import jwt
from joserfc.jwk import OctKey

from tests.auth.browser import CALLBACK, Browser, parameters
from tests.auth.conftest import Auth
from tests.auth.oauth.test_assertions import KEY, assertion
from tests.auth.oauth.test_bound_tokens import Holder
from tests.auth.oauth.test_tokens import decode

pytestmark = pytest.mark.integration

PROOF_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@dataclass
class Fapi:
    """A client and a person's browser. Each method sends one request of the flow, with what a test
    changes of it.
    """

    auth: Auth
    holder: Holder = field(default_factory=Holder)
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48))

    def __post_init__(self) -> None:
        self.client_id = self.auth.client(
            "openid",
            "offline_access",
            "user/Patient.rs",
            grant_types=("authorization_code", "refresh_token"),
            auth_method="private_key_jwt",
            jwks={"keys": [KEY.as_dict(private=False)]},
            redirect_uris=(CALLBACK,),
            dpop_bound=True,
            pushed_requests_only=True,
            trusted=True,
        )[0]
        self.browser = Browser(self.auth)
        self.browser.sign_in(self.auth.user("clinician").email)

    def post(
        self,
        path: str,
        form: Mapping[str, str | None],
        *,
        proof: str | None = None,
        claims: Mapping[str, Any] | None = None,
    ) -> httpx.Response:
        """Sends the form with an assertion; a parameter that is None is left out. `claims`: of
        the assertion.
        """
        made = assertion(self.auth, self.client_id, **{"aud": self.auth.url, **(claims or {})})
        sent = {"client_assertion_type": PROOF_TYPE, "client_assertion": made, **form}
        data = {name: value for name, value in sent.items() if value is not None}
        headers = {"DPoP": proof} if proof else {}
        return httpx.post(f"{self.auth.url}{path}", data=data, headers=headers)

    def push(
        self,
        *,
        proof: str | None = None,
        claims: Mapping[str, Any] | None = None,
        **changes: str | None,
    ) -> httpx.Response:
        form = {
            "client_id": self.client_id,
            "response_type": "code",
            "redirect_uri": CALLBACK,
            "scope": "openid offline_access user/Patient.rs",
            "state": "s",
            "nonce": "n",
            "code_challenge": create_s256_code_challenge(self.verifier),
            "code_challenge_method": "S256",
            **changes,
        }
        return self.post("/oauth2/par", form, proof=proof, claims=claims)

    def authorize(self, pushed: httpx.Response, **changes: str) -> httpx.Response:
        query = {"client_id": self.client_id, "request_uri": pushed.json()["request_uri"]}
        return self.browser.get(f"/oauth2/authorize?{httpx.QueryParams({**query, **changes})}")

    def code(self) -> str:
        return parameters(self.authorize(self.push()).headers["location"])["code"]

    def redeem(
        self,
        code: str,
        *,
        holder: Holder | None = None,
        proof: Mapping[str, Any] | None = None,
        claims: Mapping[str, Any] | None = None,
        **changes: str | None,
    ) -> httpx.Response:
        """`proof`: claims of the DPoP proof that are changed."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": CALLBACK,
            "code_verifier": self.verifier,
            **changes,
        }
        made = (holder or self.holder).proof(
            "POST", f"{self.auth.url}/oauth2/token", **(proof or {})
        )
        return self.post("/oauth2/token", form, proof=made, claims=claims)

    def userinfo(self, token: str, scheme: str = "DPoP") -> int:
        url = f"{self.auth.url}/oauth2/userinfo"
        headers = {"Authorization": f"{scheme} {token}"}
        return httpx.get(
            url, headers={**headers, "DPoP": self.holder.proof("GET", url, token)}
        ).status_code


@pytest.fixture
def fapi(auth: Auth) -> Fapi:
    return Fapi(auth)


def error_of(answer: httpx.Response) -> str:
    assert answer.status_code in (400, 401), answer.text
    return str(answer.json()["error"])


# happy-flow, ensure-authorization-request-without-state-success, -without-nonce-success,
# -with-64-char-nonce-success, -with-long-nonce, -with-long-state, ensure-other-scope-order-succeeds
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"state": None},
        {"nonce": None},
        {"nonce": "n" * 64},
        {"nonce": "n" * 384},
        {"state": "s" * 384},
        {"scope": "user/Patient.rs offline_access openid"},
    ],
    ids=str,
)
def test_request_is_answered_with_what_it_sent(fapi: Fapi, changes: dict[str, Any]) -> None:
    location = fapi.authorize(fapi.push(**changes)).headers["location"]
    answer = parameters(location)
    assert answer.get("state") == changes.get("state", "s") and answer["iss"] == fapi.auth.url
    token = fapi.redeem(answer["code"]).json()
    assert token["token_type"] == "DPoP"
    claims = decode(fapi.auth, token["id_token"]).claims
    assert claims.get("nonce") == changes.get("nonce", "n")


# user-rejects-authentication
def test_person_who_refuses_is_told_to_the_client(auth: Auth, fapi: Fapi) -> None:
    auth.sql("UPDATE clients SET trusted = false WHERE id = $1", fapi.client_id)
    page = fapi.authorize(fapi.push())
    answer = parameters(fapi.browser.send(page, decision="deny").headers["location"])
    assert (answer["error"], answer["state"], answer["iss"]) == ("access_denied", "s", auth.url)


# access-token-type-header-case-sensitivity
@pytest.mark.parametrize("scheme", ["DPoP", "dpop", "DPOP"])
def test_name_of_the_scheme_has_no_case(fapi: Fapi, scheme: str) -> None:
    token = fapi.redeem(fapi.code()).json()["access_token"]
    assert fapi.userinfo(token, scheme) == 200


# check-dpop-proof-nbf-exp, ensure-dpop-proof-with-iat-10seconds-before-succeeds, -after-succeeds
@pytest.mark.parametrize("shift", [-10, 10])
def test_proof_of_a_clock_that_differs_a_little_is_fine(fapi: Fapi, shift: int) -> None:
    now = time.time()
    proof = {"iat": now + shift, "nbf": now - 30, "exp": now + 30}
    assert fapi.redeem(fapi.code(), proof=proof).status_code == 200


# dpop-negative-tests
@pytest.mark.parametrize(
    "proof",
    [
        {"htm": "GET"},
        {"htm": None},
        {"htu": "https://evil.example/oauth2/token"},
        {"htu": None},
        {"iat": None},
        {"iat": 1.0},
        {"jti": None},
    ],
    ids=str,
)
def test_wrong_proof_gives_no_token(fapi: Fapi, proof: dict[str, Any]) -> None:
    code = fapi.code()
    assert error_of(fapi.redeem(code, proof=proof)) == "invalid_dpop_proof"
    assert fapi.redeem(code).status_code == 200, "what failed used nothing up"


def test_proof_that_is_signed_by_a_shared_secret_gives_no_token(fapi: Fapi) -> None:
    key = OctKey.generate_key(256)
    url = f"{fapi.auth.url}/oauth2/token"
    claims = {"jti": "j", "htm": "POST", "htu": url, "iat": time.time()}
    header = {"typ": "dpop+jwt", "alg": "HS256", "jwk": key.as_dict()}
    form = {
        "grant_type": "authorization_code",
        "code": fapi.code(),
        "redirect_uri": CALLBACK,
        "code_verifier": fapi.verifier,
    }
    answer = fapi.post("/oauth2/token", form, proof=jwt.encode(header, claims, key, ["HS256"]))
    assert error_of(answer) == "invalid_dpop_proof"


# ensure-holder-of-key-required
def test_token_is_asked_for_with_a_proof(fapi: Fapi) -> None:
    form = {
        "grant_type": "authorization_code",
        "code": fapi.code(),
        "redirect_uri": CALLBACK,
        "code_verifier": fapi.verifier,
    }
    assert error_of(fapi.post("/oauth2/token", form)) == "invalid_dpop_proof"


# ensure-mismatched-dpop-jkt-fails, ensure-token-endpoint-fails-with-mismatched-dpop-proof-jkt,
# -dpop-jkt, ensure-dpop-proof-at-par-endpoint-binding-success,
# ensure-dpop-auth-code-binding-success
def test_code_is_bound_to_the_key_of_the_pushed_request(fapi: Fapi) -> None:
    url, other = f"{fapi.auth.url}/oauth2/par", Holder()
    jkt = fapi.holder.key.thumbprint()
    mismatched = fapi.push(proof=other.proof("POST", url), dpop_jkt=jkt)
    assert error_of(mismatched) in ("invalid_request", "invalid_dpop_proof")
    for bound in (
        {"proof": fapi.holder.proof("POST", url)},
        {"dpop_jkt": jkt},
        {"proof": fapi.holder.proof("POST", url), "dpop_jkt": jkt},
    ):
        pushed = fapi.push(**bound)  # type: ignore[arg-type]
        code = parameters(fapi.authorize(pushed).headers["location"])["code"]
        assert error_of(fapi.redeem(code, holder=other)) == "invalid_dpop_proof"
        assert fapi.redeem(code).status_code == 200


# par-ensure-pkce-required, par-ensure-plain-pkce-rejected,
# ensure-request-object-without-redirect-uri-fails, ensure-registered-redirect-uri,
# ensure-response-type-token-fails, -code-idtoken-fails,
# par-authorization-request-containing-request_uri-form-param
@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_challenge": None, "code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"redirect_uri": None}, "invalid_request"),
        ({"redirect_uri": CALLBACK + "/x"}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": "code id_token"}, "unsupported_response_type"),
        ({"request_uri": "urn:ietf:params:oauth:request_uri:x"}, "invalid_request"),
    ],
    ids=str,
)
def test_wrong_pushed_request_is_refused(fapi: Fapi, changes: dict[str, Any], error: str) -> None:
    assert error_of(fapi.push(**changes)) == error


# par-pushed-authorization-url-reject-invalid-http-verb
def test_requests_are_pushed_by_post_alone(auth: Auth) -> None:
    for method in ("GET", "PUT", "DELETE", "PATCH"):
        assert httpx.request(method, f"{auth.url}/oauth2/par").status_code == 405


# par-ensure-pkce-code-verifier-required, par-incorrect-pkce-code-verifier-rejected
@pytest.mark.parametrize("verifier", [None, "v" * 64])
def test_code_needs_its_verifier(fapi: Fapi, verifier: str | None) -> None:
    answer = fapi.redeem(fapi.code(), code_verifier=verifier)
    assert error_of(answer) in ("invalid_grant", "invalid_request")


# ensure-unsigned-authorization-request-without-using-par-fails
def test_request_in_the_address_is_refused(fapi: Fapi) -> None:
    query = {
        "client_id": fapi.client_id,
        "response_type": "code",
        "redirect_uri": CALLBACK,
        "scope": "openid",
        "code_challenge": create_s256_code_challenge(fapi.verifier),
        "code_challenge_method": "S256",
    }
    answer = fapi.browser.get(f"/oauth2/authorize?{httpx.QueryParams(query)}")
    assert parameters(answer.headers["location"])["error"] == "invalid_request"


# par-without-duplicate-parameters, state-only-outside-request-object-not-used
def test_what_stands_beside_the_reference_does_not_count(fapi: Fapi) -> None:
    pushed = fapi.push(state=None)
    answer = fapi.authorize(pushed, state="outside", redirect_uri="https://evil.example/")
    assert answer.headers["location"].startswith(CALLBACK)
    assert "state" not in parameters(answer.headers["location"])


# par-ensure-reused-request-uri-prior-to-auth-completion-succeeds, par-attempt-reuse-request_uri
def test_reference_may_be_opened_twice_before_it_is_used_up(fapi: Fapi) -> None:
    pushed, person = fapi.push(), fapi.browser
    fapi.browser = Browser(fapi.auth)
    assert "Sign in" in fapi.authorize(pushed).text
    fapi.browser = person
    assert "code" in parameters(fapi.authorize(pushed).headers["location"])
    again = fapi.authorize(pushed)
    assert again.status_code == 400 and not again.is_redirect


# par-ensure-request-uri-is-bound-to-client
def test_reference_is_of_the_client_that_pushed(fapi: Fapi) -> None:
    answer = fapi.authorize(fapi.push(), client_id=Fapi(fapi.auth).client_id)
    assert answer.status_code == 400 and not answer.is_redirect


# ensure-authorization-code-is-bound-to-client
def test_code_is_of_the_client_that_asked(fapi: Fapi) -> None:
    other = Fapi(fapi.auth, verifier=fapi.verifier)
    code = fapi.code()
    assert error_of(other.redeem(code)) == "invalid_grant"
    assert fapi.redeem(code).status_code == 200


# par-ensure-jwt-client-assertion-nbf-8-seconds-in-future-accepted
def test_assertion_of_a_clock_that_is_a_little_ahead_is_fine(fapi: Fapi) -> None:
    ahead = int(time.time()) + 8
    assert fapi.push(claims={"iat": ahead, "nbf": ahead}).status_code == 201


# par-ensure-jwt-client-assertion-nbf-is-over-60-seconds-in-future-fails,
# ensure-client-assertion-with-exp-is-5-minutes- in-past-fails, -with-wrong-aud-fails,
# -with-no-sub-fails
@pytest.mark.parametrize(
    "claims",
    [
        {"iat": 65, "nbf": 65},
        {"nbf": 65},
        {"exp": -300},
        {"aud": "https://other.example"},
        {"sub": None},
    ],
    ids=str,
)
def test_wrong_assertion_proves_nothing(fapi: Fapi, claims: dict[str, Any]) -> None:
    now = int(time.time())
    stated = {
        name: now + value if isinstance(value, int) else value for name, value in claims.items()
    }
    assert error_of(fapi.push(claims=stated)) == "invalid_client"
    assert error_of(fapi.redeem(fapi.code(), claims=stated)) == "invalid_client"


# refresh-token
def test_refresh_token_is_of_its_client_and_key(fapi: Fapi) -> None:
    refresh_token = fapi.redeem(fapi.code()).json()["refresh_token"]
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
    url = f"{fapi.auth.url}/oauth2/token"
    other = Fapi(fapi.auth)
    by_another = other.post("/oauth2/token", form, proof=other.holder.proof("POST", url))
    assert error_of(by_another) == "invalid_grant"
    without_assertion = {"client_assertion": None, "client_assertion_type": None}
    proof = fapi.holder.proof("POST", url)
    unproven = fapi.post("/oauth2/token", {**form, **without_assertion}, proof=proof)
    assert error_of(unproven) == "invalid_client"
    answer = fapi.post("/oauth2/token", form, proof=fapi.holder.proof("POST", url))
    assert fapi.userinfo(answer.json()["access_token"]) == 200
