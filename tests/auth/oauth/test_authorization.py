"""A person lets an application in: Authlib's own client against the running service."""

import httpx
import pytest
from authlib.integrations.base_client import OAuthError
from joserfc import jwt
from joserfc.jwk import KeySet

from tests.auth.browser import CALLBACK, App, Browser, parameters
from tests.auth.conftest import SERVICE_SECRET, Auth

pytestmark = pytest.mark.integration


def signed_in(auth: Auth, *roles: str, **changes: str) -> tuple[Browser, str]:
    user = auth.user(*(roles or ("clinician",)), **changes)
    browser = Browser(auth)
    assert "Your account" in browser.sign_in(user.email).text
    return browser, user.id


@pytest.mark.parametrize("secret", [True, False])
def test_code_with_pkce_gives_access_refresh_and_id_token(auth: Auth, secret: bool) -> None:
    app, user, browser = App(auth, secret=secret), auth.user("clinician", name="Ada"), Browser(auth)
    page = browser.get(app.url(nonce="n-1"))
    assert "Sign in" in page.text
    page = browser.sign_in(user.email, page=page)
    assert (
        "Test client" in page.text
        and "Read and search all records of the kind Patient" in page.text
    )
    location = browser.send(page, decision="allow").headers["location"]
    assert location.startswith(CALLBACK + "?") and parameters(location)["iss"] == auth.url
    token = app.redeem(location)
    assert set(token["scope"].split()) == set(app.scopes)
    keys = KeySet.import_key_set(httpx.get(f"{auth.url}/.well-known/jwks.json").json())
    claims = jwt.decode(token["id_token"], keys, algorithms=["RS256"]).claims
    assert (claims["iss"], claims["aud"], claims["sub"], claims["nonce"]) == (
        auth.url,
        app.client[0],
        user.id,
        "n-1",
    )
    assert (
        claims["name"] == "Ada"
        and claims["amr"] == ["pwd"]
        and claims["auth_time"]
        and claims["at_hash"]
    )
    info = app.oauth.get(f"{auth.url}/oauth2/userinfo").json()
    assert app.oauth.post(f"{auth.url}/oauth2/userinfo").json() == info
    assert (info["sub"], info["email"]) == (user.id, user.email)
    assert auth.sql(
        "SELECT count(*) FROM refresh_tokens WHERE token_hash::text LIKE $1", token["refresh_token"]
    )


def test_access_is_what_the_application_may_ask_for_and_the_role_may_have(auth: Auth) -> None:
    app = App(auth, "openid", "user/*.cruds", "admin", "billing.read")
    browser, _ = signed_in(auth, "registrar")
    assert app.redeem(app.authorize(browser))["scope"] == (
        "openid user/Appointment.crus user/Coverage.crus user/Patient.crus user/RelatedPerson.crus"
    )


def test_patients_application_learns_the_record_and_sees_it_alone(auth: Auth) -> None:
    app = App(auth, "openid", "fhirUser", "launch/patient", "patient/*.rs", "user/*.cruds")
    browser, _ = signed_in(auth, "patient", patient_id="record-9")
    token = app.redeem(app.authorize(browser))
    assert token["patient"] == "record-9" and "user/" not in token["scope"]
    assert (
        app.oauth.get(f"{auth.url}/oauth2/userinfo")
        .json()["fhirUser"]
        .endswith("/fhir/R4/Patient/record-9")
    )


def test_consent_is_asked_for_once_and_again_for_more(auth: Auth) -> None:
    app = App(auth)
    browser, _ = signed_in(auth)
    app.authorize(browser, scope="openid")
    assert browser.get(app.url(scope="openid")).is_redirect
    assert "Allow" in browser.get(app.url(scope="openid", prompt="consent")).text
    assert "Allow" in browser.get(app.url()).text


def test_denied_consent_tells_the_application(auth: Auth) -> None:
    app = App(auth)
    browser, _ = signed_in(auth)
    location = browser.send(browser.get(app.url()), decision="deny").headers["location"]
    assert (parameters(location)["error"], parameters(location)["state"]) == (
        "access_denied",
        app.state,
    )


def test_trusted_application_needs_no_consent(auth: Auth) -> None:
    app = App(auth, trusted=True)
    browser, _ = signed_in(auth)
    assert browser.get(app.url()).is_redirect


@pytest.mark.parametrize(
    "callback", ["http://127.0.0.1:8400/callback", "org.example.app:/callback"]
)
def test_application_on_a_device_asks_each_time_even_a_trusted_one(
    auth: Auth, callback: str
) -> None:
    app = App(auth, secret=False, trusted=True, callback=callback)
    browser, _ = signed_in(auth)
    for _ in range(2):
        page = browser.get(app.url())
        assert "decision" in page.text
        assert browser.send(page, decision="allow").headers["location"].startswith(callback)


def test_prompt_none_answers_without_a_page(auth: Auth) -> None:
    app, browser = App(auth), Browser(auth)
    location = browser.get(app.url(prompt="none")).headers["location"]
    assert parameters(location)["error"] == "login_required"
    browser, _ = signed_in(auth)
    location = browser.get(app.url(prompt="none")).headers["location"]
    assert (parameters(location)["error"], parameters(location)["state"]) == (
        "consent_required",
        app.state,
    )
    app.authorize(browser)
    assert "code" in parameters(browser.get(app.url(prompt="none")).headers["location"])


@pytest.mark.parametrize("wish", [{"prompt": "login"}, {"max_age": "0"}])
def test_application_may_ask_for_a_fresh_sign_in(auth: Auth, wish: dict[str, str]) -> None:
    app, user, browser = App(auth, trusted=True), auth.user("clinician"), Browser(auth)
    browser.sign_in(user.email)
    page = browser.get(app.url(**wish))
    assert "Sign in" in page.text
    assert "code" in parameters(browser.sign_in(user.email, page=page).headers["location"])


def test_refresh_rotates_and_keeps_the_sign_in(auth: Auth) -> None:
    app = App(auth)
    browser, user_id = signed_in(auth)
    first = app.redeem(app.authorize(browser))
    second = app.oauth.refresh_token(
        f"{auth.url}/oauth2/token", refresh_token=first["refresh_token"]
    )
    assert second["refresh_token"] != first["refresh_token"] and second["scope"] == first["scope"]
    narrow = app.oauth.refresh_token(
        f"{auth.url}/oauth2/token", refresh_token=second["refresh_token"], scope="user/Patient.rs"
    )
    assert narrow["scope"] == "user/Patient.rs" and narrow["refresh_token"]
    families = auth.sql(
        "SELECT DISTINCT family_id, expires_at FROM refresh_tokens WHERE user_id = $1", user_id
    )
    assert len(families) == 1


def test_old_refresh_token_serves_in_its_grace_and_then_ends_the_family(auth: Auth) -> None:
    app = App(auth)
    browser, user_id = signed_in(auth)
    first = app.redeem(app.authorize(browser))["refresh_token"]
    url = f"{auth.url}/oauth2/token"
    second = app.oauth.refresh_token(url, refresh_token=first)["refresh_token"]
    third = app.oauth.refresh_token(url, refresh_token=first)["refresh_token"]
    auth.sql(
        "UPDATE refresh_tokens SET rotated_at = rotated_at - interval '31 seconds' WHERE user_id = "
        "$1",
        user_id,
    )
    for token in (first, second, third):
        with pytest.raises(OAuthError, match="invalid_grant"):
            app.oauth.refresh_token(url, refresh_token=token)
    family = auth.sql("SELECT family_id FROM refresh_tokens WHERE user_id = $1", user_id)[0][
        "family_id"
    ]
    assert auth.sql("SELECT 1 FROM revocations WHERE kind = 'family' AND id = $1", str(family))
    assert auth.sql(
        "SELECT 1 FROM audit WHERE event = 'refresh_token_reused' AND subject = $1", user_id
    )


def test_no_refresh_token_without_offline_access(auth: Auth) -> None:
    app = App(auth, "openid", "user/*.rs")
    browser, _ = signed_in(auth)
    assert "refresh_token" not in app.redeem(app.authorize(browser))


def test_role_taken_away_is_gone_with_the_next_refresh_and_a_disabled_user_gets_none(
    auth: Auth,
) -> None:
    app = App(auth, "offline_access", "user/*.cruds", "billing.read")
    browser, user_id = signed_in(auth, "admin")
    token = app.redeem(app.authorize(browser))
    assert "billing.read" in token["scope"]
    auth.sql("UPDATE users SET roles = '{registrar}' WHERE id = $1", user_id)
    url = f"{auth.url}/oauth2/token"
    token = app.oauth.refresh_token(url, refresh_token=token["refresh_token"])
    assert token["scope"].split() == [
        "offline_access",
        *(f"user/{name}.crus" for name in ("Appointment", "Coverage", "Patient", "RelatedPerson")),
    ]
    auth.sql("UPDATE users SET disabled_at = now() WHERE id = $1", user_id)
    with pytest.raises(OAuthError):
        app.oauth.refresh_token(url, refresh_token=token["refresh_token"])


def test_revoked_refresh_token_takes_its_access_tokens_along(auth: Auth) -> None:
    app = App(auth)
    browser, _ = signed_in(auth)
    token = app.redeem(app.authorize(browser))
    assert (
        app.oauth.revoke_token(f"{auth.url}/oauth2/revoke", token["refresh_token"]).status_code
        == 200
    )
    for name in ("refresh_token", "access_token"):
        answer = app.oauth.introspect_token(f"{auth.url}/oauth2/introspect", token[name])
        assert answer.json() == {"active": False}


def test_revoked_access_token_goes_alone(auth: Auth) -> None:
    app = App(auth)
    browser, _ = signed_in(auth)
    token = app.redeem(app.authorize(browser))
    introspect = f"{auth.url}/oauth2/introspect"
    before = app.oauth.introspect_token(introspect, token["access_token"]).json()
    assert before["active"] and before["client_id"] == app.client[0]
    app.oauth.revoke_token(f"{auth.url}/oauth2/revoke", token["access_token"])
    assert app.oauth.introspect_token(introspect, token["access_token"]).json() == {"active": False}
    assert app.oauth.introspect_token(introspect, token["refresh_token"]).json()["active"]


def test_others_tokens_are_not_told_about_nor_revoked_but_services_may_ask(auth: Auth) -> None:
    app, other = App(auth), App(auth)
    browser, _ = signed_in(auth)
    token = app.redeem(app.authorize(browser))["access_token"]
    introspect = f"{auth.url}/oauth2/introspect"
    assert other.oauth.introspect_token(introspect, token).json() == {"active": False}
    assert other.oauth.revoke_token(f"{auth.url}/oauth2/revoke", token).status_code == 400
    service = ("service-billing", SERVICE_SECRET)
    assert httpx.post(introspect, auth=service, data={"token": token}).json()["active"]
    assert httpx.post(
        introspect, data={"token": token, "client_id": app.client[0]}
    ).status_code in (400, 401)


def test_logout_with_an_id_token_returns_to_the_application(auth: Auth) -> None:
    app = App(auth, post_logout_redirect_uris=("https://app.example/bye",))
    browser, _ = signed_in(auth)
    hint = app.redeem(app.authorize(browser))["id_token"]
    url = f"/oauth2/logout?id_token_hint={hint}&post_logout_redirect_uri=https://app.example/bye&state=s"
    assert browser.get(url).headers["location"] == "https://app.example/bye?state=s"
    assert "Sign in" in browser.get("/oauth2/account").text


def test_logout_without_an_id_token_asks_first_and_goes_nowhere_else(auth: Auth) -> None:
    browser, _ = signed_in(auth)
    page = browser.get("/oauth2/logout?post_logout_redirect_uri=https://evil.example/")
    assert "Sign out?" in page.text and "Your account" in browser.get("/oauth2/account").text
    assert "You are signed out" in browser.send(page).text
    assert "Sign in" in browser.get("/oauth2/account").text
