"""Libraries that others wrote, against the running platform: sign-in, refresh, user info,
introspection, revocation, logout.
"""

import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from authlib.integrations.httpx_client import OAuth2Client
from joserfc import jwt
from joserfc.jwk import KeySet
from requests_oauthlib import OAuth2Session

from tests.auth.clients.conversation import Person, run_nimbus, run_node
from tests.console.sessions import PASSWORD, make_users

pytestmark = pytest.mark.clients


CALLBACK = "https://app.example/callback"
GOODBYE = "https://app.example/goodbye"
SCOPE = "openid profile email offline_access user/Patient.rs"
DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"


@dataclass(frozen=True)
class Platform:
    url: str
    admin: httpx.Client
    user_id: str
    email: str
    people: list[Person] = field(default_factory=list)

    def person(self) -> tuple[str, Person]:
        """Gives the clinician's id, and a browser in which nobody is signed in."""
        person = Person(self.url, self.email, PASSWORD)
        self.people.append(person)
        return self.user_id, person

    def application(self, auth_method: str, *more_grants: str, **changes: Any) -> dict[str, Any]:
        body = {
            "name": "Ward rounds",
            "authMethod": auth_method,
            "grantTypes": ["authorization_code", "refresh_token", *more_grants],
            "scopes": SCOPE.split(),
            "redirectUris": [CALLBACK],
            "postLogoutRedirectUris": [GOODBYE],
            **changes,
        }
        made = self.admin.post("/auth/v1/clients", json=body).raise_for_status().json()
        return {
            "issuer": self.url,
            "clientId": made["id"],
            "secret": made.get("secret", ""),
            "callback": CALLBACK,
            "goodbye": GOODBYE,
            "scope": " ".join(body["scopes"]),
        }


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    url = os.environ["PLATFORM_URL"]
    login = {"email": os.environ["PLATFORM_USER"], "password": os.environ["PLATFORM_PASSWORD"]}
    with httpx.Client(base_url=url, timeout=30) as http:
        token = http.post("/auth/login", json=login).raise_for_status().json()["token"]
        http.headers["Authorization"] = f"Bearer {token}"
        clinician = {"name": "Ada", "roles": ["clinician"], "practitionerId": "p1"}
        (email,) = make_users(http, [clinician])
        found = http.get("/auth/v1/users", params={"q": email}).raise_for_status().json()
        platform = Platform(url, http, found["items"][0]["id"], email)
        yield platform
        for person in platform.people:
            person.http.close()


def test_openid_client_with_pushed_requests_and_dpop(platform: Platform) -> None:
    user_id, person = platform.person()
    settings = platform.application("client_secret_post", dpopBound=True, pushedRequestsOnly=True)
    result = run_node("openid-client.mjs", settings, person)
    assert result["subject"] == result["user"]["sub"] == user_id
    assert result["type"].lower() == "dpop" and result["user"]["name"] == "Ada"
    assert result["before"]["active"] and result["before"]["token_type"] == "DPoP"
    assert result["after"] == {"active": False}
    assert result["left"] == f"{GOODBYE}?state=bye"


@pytest.mark.parametrize("method", ["none", "client_secret_basic"])
def test_oauth4webapi_in_an_application_and_on_a_device(platform: Platform, method: str) -> None:
    user_id, person = platform.person()
    settings = platform.application(method, DEVICE_CODE)
    result = run_node("oauth4webapi.mjs", settings, person)
    assert result["subject"] == result["device"] == user_id
    assert result["user"]["email"].endswith("@example.org")
    assert result["user"]["email_verified"] is False
    assert result["refused"] == 401 and result["left"] == f"{GOODBYE}?state=bye"
    # A public client cannot ask about tokens (RFC 7662, 2.1).
    if method != "none":
        assert result["before"]["active"] and result["before"]["sub"] == user_id
        assert result["after"] == {"active": False}


def test_fhirclient_with_a_secret(platform: Platform) -> None:
    user_id, person = platform.person()
    scopes = [*SCOPE.split(), "fhirUser"]
    settings = platform.application("client_secret_basic", scopes=scopes)
    result = run_node("fhirclient.mjs", settings, person)
    assert result["subject"] == result["user"]["sub"] == user_id
    assert result["fhirUser"] == "Practitioner/p1" and result["type"] == "Bundle"
    assert result["renewed"] and result["before"]["active"]
    assert result["before"]["sub"] == user_id
    assert result["revoked"] == 200 and result["after"] == {"active": False}
    assert result["left"] == f"{GOODBYE}?state=bye"


def test_oidc_client_ts_with_a_secret(platform: Platform) -> None:
    user_id, person = platform.person()
    # It revokes by the form alone.
    settings = platform.application("client_secret_post")
    result = run_node("oidc-client-ts.mjs", settings, person)
    assert (result["state"], result["user"]["sub"]) == ("mine", user_id)
    assert result["user"]["email"] == person.fields["email"]
    assert result["renewed"] and result["before"]["active"]
    assert result["after"] == {"active": False}
    assert result["left"] == GOODBYE and result.get("error") is None


def test_nimbus(platform: Platform) -> None:
    user_id, person = platform.person()
    result = run_nimbus(platform.application("client_secret_basic"), person)
    assert result["subject"] == user_id and result["email"] == person.fields["email"]
    assert result["before"] and not result["after"]
    assert result["left"].startswith(f"{GOODBYE}?state=")


def test_authlib(platform: Platform) -> None:
    user_id, person = platform.person()
    settings = platform.application("client_secret_basic")
    found = httpx.get(f"{platform.url}/.well-known/openid-configuration").json()
    with OAuth2Client(
        settings["clientId"],
        settings["secret"],
        scope=SCOPE,
        redirect_uri=CALLBACK,
        code_challenge_method="S256",
        token_endpoint=found["token_endpoint"],
    ) as application:
        verifier = secrets.token_urlsafe(48)
        url, state = application.create_authorization_url(
            found["authorization_endpoint"], code_verifier=verifier, nonce="n"
        )
        token = application.fetch_token(
            authorization_response=person.open(url), state=state, code_verifier=verifier
        )
        keys = KeySet.import_key_set(httpx.get(found["jwks_uri"]).json())
        claims = jwt.decode(token["id_token"], keys, algorithms=["RS256", "ES256"]).claims
        assert (claims["sub"], claims["nonce"]) == (user_id, "n")
        assert application.get(found["userinfo_endpoint"]).json()["sub"] == user_id
        renewed = application.refresh_token(
            found["token_endpoint"], refresh_token=token["refresh_token"]
        )
        endpoint = found["introspection_endpoint"]
        assert application.introspect_token(endpoint, renewed["access_token"]).json()["active"]
        application.revoke_token(found["revocation_endpoint"], renewed["refresh_token"])
        answer = application.introspect_token(endpoint, renewed["access_token"]).json()
        assert answer == {"active": False}
        query = httpx.QueryParams(
            {"id_token_hint": token["id_token"], "post_logout_redirect_uri": GOODBYE}
        )
        assert person.open(f"{found['end_session_endpoint']}?{query}") == GOODBYE


def test_requests_oauthlib(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    # It refuses http otherwise. A scope that changed would raise: what is granted is spelt as it
    # was asked for.
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    user_id, person = platform.person()
    settings = platform.application("client_secret_basic")
    found = httpx.get(f"{platform.url}/.well-known/openid-configuration").json()
    with OAuth2Session(
        settings["clientId"], redirect_uri=CALLBACK, scope=SCOPE.split(), pkce="S256"
    ) as application:
        url, _ = application.authorization_url(found["authorization_endpoint"])
        token = application.fetch_token(
            found["token_endpoint"],
            authorization_response=person.open(url),
            client_secret=settings["secret"],
        )
        info = application.get(found["userinfo_endpoint"]).json()
        assert info["sub"] == user_id and info["email"] == person.fields["email"]
        renewed = application.refresh_token(
            found["token_endpoint"],
            refresh_token=token["refresh_token"],
            auth=(settings["clientId"], settings["secret"]),
        )
        assert renewed["access_token"] != token["access_token"]
        credentials = (settings["clientId"], settings["secret"])

        def ask_about(secret: str) -> Any:
            answer = application.post(
                found["introspection_endpoint"], data={"token": secret}, auth=credentials
            )
            return answer.json()

        assert ask_about(renewed["access_token"])["active"]
        url, headers, body = application._client.prepare_token_revocation_request(
            found["revocation_endpoint"], renewed["refresh_token"], "refresh_token"
        )
        revoked = application.post(url, headers=headers, data=body, auth=credentials)
        assert revoked.status_code == 200
        assert ask_about(renewed["access_token"]) == {"active": False}
        query = httpx.QueryParams(
            {"id_token_hint": token["id_token"], "post_logout_redirect_uri": GOODBYE}
        )
        assert person.open(f"{found['end_session_endpoint']}?{query}") == GOODBYE
