"""Sign-in by another OpenID provider: our own service, a second time, plays it."""

import time
from dataclasses import replace
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from apps.auth.people.external import ExternalSignInError, ProviderClient
from apps.auth.people.users import User
from tests.auth.browser import App, Browser
from tests.auth.conftest import Auth
from tests.auth.pages.external import person_of, sign_in, way_back
from tests.auth.pages.test_own_account import wait_for_mail
from tests.auth.pages.test_pages import enrol, next_code

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("closed_clients")]


def test_person_of_the_provider_gets_an_account_with_the_mapped_role(
    organization: Auth, provider: Auth
) -> None:
    person = person_of(provider, "Doctors")
    browser, page = sign_in(organization, provider, person.email)
    assert person.email in page.text and "Your account" in page.text
    row = organization.sql("SELECT id, roles, name FROM users WHERE email = $1", person.email)[0]
    assert (row["roles"], row["name"]) == (["clinician"], "Doctors")

    # The same person the next time, with another role, which ends what they held.
    provider.sql("UPDATE users SET name = 'Desk' WHERE id = $1", person.id)
    sign_in(organization, provider, person.email)
    rows = organization.sql("SELECT id, roles FROM users WHERE email = $1", person.email)
    assert [(each["id"], each["roles"]) for each in rows] == [(row["id"], ["registrar"])]
    assert "Sign in" in browser.get("/oauth2/account").text


def test_administrator_gives_no_password_to_a_person_of_the_provider(
    organization: Auth, provider: Auth
) -> None:
    person = person_of(provider, "Doctors")
    sign_in(organization, provider, person.email)
    row = organization.sql("SELECT id FROM users WHERE email = $1", person.email)[0]
    token = organization.login(organization.user("admin").email).json()["token"]
    answer = httpx.post(
        f"{organization.url}/auth/v1/users/{row['id']}/password-link",
        headers={"Authorization": f"Bearer {token}"},
    )
    assert (answer.status_code, answer.json()["code"]) == (409, "external_account")
    assert organization.sql("SELECT 1 FROM password_resets WHERE user_id = $1", row["id"]) == []


@pytest.fixture
def person_with_a_password(organization: Auth, provider: Auth) -> User:
    """Returns a person of the provider to whom an earlier release gave a password."""
    person = person_of(provider, "Doctors")
    sign_in(organization, provider, person.email)
    row = organization.sql(
        "UPDATE users SET password_hash = $2 WHERE email = $1 RETURNING id",
        person.email,
        person.password_hash,
    )[0]
    return replace(person, id=str(row["id"]))


def test_person_of_the_provider_signs_in_by_no_password(
    organization: Auth, person_with_a_password: User
) -> None:
    email = person_with_a_password.email
    wrong = organization.login(organization.user("analyst").email, "wrong")
    refused = organization.login(email)
    assert (refused.status_code, refused.json()["code"]) == (401, wrong.json()["code"])
    page = Browser(organization).sign_in(email)
    assert page.status_code == 400 and "is not right" in page.text


def test_link_of_before_gives_a_person_of_the_provider_no_password(
    organization: Auth, person_with_a_password: User
) -> None:
    own, browser = person_with_a_password, Browser(organization)
    link = organization.reset_link(own.id)
    token = link.rpartition("=")[2]
    other = organization.reset_link(organization.user("analyst").id)
    shown = browser.get(link)
    refused = browser.send(browser.get(other), token=token, new_password="a new and long secret")
    for answer in (shown, refused):
        assert answer.status_code == 409 and "You have no password here" in answer.text
    row = organization.sql("SELECT password_hash FROM users WHERE id = $1", own.id)[0]
    assert row["password_hash"] == own.password_hash


def test_person_who_lost_every_role_holds_nothing_any_more(
    organization: Auth, provider: Auth
) -> None:
    person = person_of(provider, "Doctors")
    browser, _ = sign_in(organization, provider, person.email)
    provider.sql("UPDATE users SET name = 'Gardeners' WHERE id = $1", person.id)
    _, page = sign_in(organization, provider, person.email)
    assert page.status_code == 403
    assert "Sign in" in browser.get("/oauth2/account").text


def test_applications_stay_connected_for_a_day_after_an_external_sign_in(
    organization: Auth, provider: Auth
) -> None:
    person = person_of(provider, "Doctors")
    browser, _ = sign_in(organization, provider, person.email)
    app = App(organization, trusted=True)
    first = app.redeem(app.authorize(browser))["refresh_token"]
    url = f"{organization.url}/oauth2/token"
    assert app.oauth.refresh_token(url, refresh_token=first)["refresh_token"]
    rows = organization.sql(
        "SELECT extract(epoch FROM expires_at - authenticated_at) / 3600 AS hours "
        "FROM refresh_tokens WHERE client_id = $1",
        app.client[0],
    )
    assert [row["hours"] for row in rows] == [24, 24]


def test_second_factor_of_ours_makes_the_connection_no_longer(
    organization: Auth, provider: Auth
) -> None:
    person = person_of(provider, "Doctors")
    browser, _ = sign_in(organization, provider, person.email)
    # As for a role that needs a second factor.
    organization.sql(
        "UPDATE sessions SET pending = true FROM users WHERE users.id = user_id AND email = $1",
        person.email,
    )
    secret, _ = enrol(browser)
    again, page = sign_in(organization, provider, person.email)
    for signed_in in (browser, again):
        app = App(organization, trusted=True)
        if signed_in is again:
            signed_in.send(page, code=next_code(organization, secret))
        assert app.redeem(app.authorize(signed_in))["refresh_token"]
        row = organization.sql(
            "SELECT methods, extract(epoch FROM expires_at - authenticated_at) / 3600 AS hours "
            "FROM refresh_tokens WHERE client_id = $1",
            app.client[0],
        )[0]
        assert (row["methods"], row["hours"]) == (["fed", "otp", "mfa"], 24)


def test_person_without_a_mapped_role_gets_none(organization: Auth, provider: Auth) -> None:
    person = person_of(provider, "Gardeners")
    _, page = sign_in(organization, provider, person.email)
    assert page.status_code == 403
    assert organization.sql("SELECT 1 FROM users WHERE email = $1", person.email) == []


def test_account_of_the_same_address_is_not_taken_over(organization: Auth, provider: Auth) -> None:
    known = organization.user("admin")
    person = person_of(provider, "Doctors", email=known.email)
    _, page = sign_in(organization, provider, person.email)
    assert page.status_code == 403
    assert organization.sql("SELECT 1 FROM external_identities WHERE user_id = $1", known.id) == []


def test_address_that_the_provider_did_not_verify_gives_no_account(
    organization: Auth, provider: Auth
) -> None:
    person = provider.user("clinician", name="Doctors")
    _, page = sign_in(organization, provider, person.email)
    assert page.status_code == 403


def test_disabled_person_stays_out(organization: Auth, provider: Auth) -> None:
    person = person_of(provider, "Doctors")
    sign_in(organization, provider, person.email)
    organization.sql("UPDATE users SET disabled_at = now() WHERE email = $1", person.email)
    _, page = sign_in(organization, provider, person.email)
    assert page.status_code == 403


def test_answer_is_good_once_and_in_its_own_browser(organization: Auth, provider: Auth) -> None:
    person = person_of(provider, "Doctors")
    browser, path = way_back(organization, provider, person.email)

    stranger = Browser(organization)
    stranger.get("/oauth2/sign-in")
    assert stranger.get(path).status_code == 403
    assert "Your account" in browser.get(path).text
    assert browser.get(path).status_code == 403


@pytest.mark.parametrize(("seconds", "status"), [(590, 200), (601, 403)])
def test_sign_in_under_way_is_good_for_ten_minutes(
    organization: Auth, provider: Auth, seconds: int, status: int
) -> None:
    person = person_of(provider, "Doctors")
    browser, path = way_back(organization, provider, person.email)
    organization.sql(
        "UPDATE external_sign_ins SET expires_at = expires_at - make_interval(secs => $1)",
        float(seconds),
    )
    assert browser.get(path).status_code == status


@pytest.mark.parametrize("query", ["", "?state=x&code=y", "?error=access_denied&state=x"])
def test_answer_that_nobody_asked_for_is_refused(organization: Auth, query: str) -> None:
    browser = Browser(organization)
    browser.get("/oauth2/sign-in")
    assert browser.get(f"/oauth2/external/callback{query}").status_code == 403


def test_without_a_provider_there_is_no_such_page(auth: Auth) -> None:
    assert Browser(auth).get("/oauth2/external").status_code == 404


@pytest.mark.parametrize("has_password", [False, True])
def test_person_of_the_provider_is_mailed_no_link_to_set_a_password(
    organization: Auth, person_with_a_password: User, has_password: bool
) -> None:
    person = person_with_a_password
    if not has_password:
        organization.sql("UPDATE users SET password_hash = NULL WHERE id = $1", person.id)
    browser = Browser(organization)
    # Whoever asks after them has the mail when their request is worked off.
    other = organization.user("analyst")
    for email in (person.email, other.email):
        browser.send(browser.get("/oauth2/forgotten"), email=email)
    assert wait_for_mail(organization, other.email)
    sent = organization.sql("SELECT subject FROM mails WHERE recipient = $1", person.email)
    assert "Set a new password" not in [mail["subject"] for mail in sent]


@pytest.mark.parametrize("verified", [False, "false"])
def test_claim_of_an_unverified_address_is_refused(organization: Auth, verified: object) -> None:
    assert organization.settings.external
    client = ProviderClient(organization.settings.external, session=None)  # type: ignore[arg-type]
    claims = {"sub": "1", "email": "a@example.org", "email_verified": verified, "name": "Doctors"}
    with pytest.raises(ExternalSignInError, match="no verified"):
        client.read_person(claims)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, ""),
        ({"nonce": "another"}, "another nonce"),
        ({"nonce": None}, "another nonce"),
        ({"iss": "https://other.example"}, "another issuer"),
        ({"aud": "somebody-else"}, "another audience"),
        ({"aud": ["{us}", "somebody-else"]}, "another authorized party"),
        ({"exp": 1}, "expired"),
        ({"exp": None}, "expired"),
    ],
)
def test_id_token_of_the_provider_is_for_this_sign_in_at_this_service(
    organization: Auth, changes: dict[str, Any], reason: str
) -> None:
    provider = organization.settings.external
    assert provider
    key = ECKey.generate_key("P-256", {"kid": "k"})
    client = ProviderClient(provider, session=None)  # type: ignore[arg-type]
    client._keys = KeySet([key])
    claims: dict[str, Any] = {
        "iss": provider.issuer,
        "aud": provider.client_id,
        "exp": int(time.time()) + 60,
        "nonce": "ours",
        "sub": "1",
        "email": "a@example.org",
        "name": "Doctors",
    }
    claims |= changes
    if isinstance(claims["aud"], list):
        claims["aud"] = [each.format(us=provider.client_id) for each in claims["aud"]]
    token = jwt.encode({"alg": "ES256", "kid": "k"}, claims, key, ["ES256"])
    if not reason:
        assert client.read_id_token(token, "ours").roles == ("clinician",)
        return
    with pytest.raises(ExternalSignInError, match=reason):
        client.read_id_token(token, "ours")
