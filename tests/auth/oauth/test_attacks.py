"""The attack table: what somebody with bad intentions tries, and that it does not work. Tokens
forged by hand are in tests/kit/test_tokens.py, forged forms, sessions and open redirects in
test_pages.py.
"""

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from authlib.common.security import generate_token
from authlib.integrations.base_client import OAuthError
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from apps.auth.people.lockout import FREE_FAILURES, Attempt
from tests.auth.browser import CALLBACK, App, Browser, parameters
from tests.auth.conftest import PASSWORD, Auth

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("unhurried_pool")]


def visitor(auth: Auth, *roles: str) -> Browser:
    browser = Browser(auth)
    browser.sign_in(auth.user(*(roles or ("clinician",))).email)
    return browser


def authorize(auth: Auth, browser: Browser, app: App, **changes: str | None) -> httpx.Response:
    """An authorization request with something changed (None: left out)."""
    query = {
        "response_type": "code",
        "client_id": app.client[0],
        "redirect_uri": app.callback,
        "scope": "openid",
        "state": "s-1",
        "code_challenge": create_s256_code_challenge(app.verifier),
        "code_challenge_method": "S256",
        **changes,
    }
    return browser.get(
        str(
            httpx.URL("/oauth2/authorize", params={k: v for k, v in query.items() if v is not None})
        )
    )


def redeem(auth: Auth, app: App, code: str, **changes: str | None) -> httpx.Response:
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": app.callback,
        "code_verifier": app.verifier,
        **changes,
    }
    basic = app.client if app.client[1] else None
    if basic is None:
        form["client_id"] = app.client[0]
    return httpx.post(
        f"{auth.url}/oauth2/token",
        data={k: v for k, v in form.items() if v is not None},
        auth=basic,
    )


# PKCE downgrade


@pytest.mark.parametrize("secret", [True, False])
@pytest.mark.parametrize(
    "changes",
    [
        {"code_challenge": None, "code_challenge_method": None},
        {"code_challenge_method": None},
        {"code_challenge_method": "plain"},
        {"code_challenge_method": "s256"},
        {"code_challenge": None},
        {"code_challenge": "short"},
        {"code_challenge": "+" * 43},
    ],
)
def test_pkce_cannot_be_left_out_or_weakened(
    auth: Auth, secret: bool, changes: dict[str, str | None]
) -> None:
    app = App(auth, secret=secret, trusted=True)
    location = authorize(auth, visitor(auth), app, **changes).headers["location"]
    assert parameters(location)["error"] == "invalid_request" and "code" not in parameters(location)


@pytest.mark.parametrize("secret", [True, False])
@pytest.mark.parametrize("verifier", [None, "", "x" * 43, "short", "a" * 129])
def test_code_without_its_verifier_is_worthless(
    auth: Auth, secret: bool, verifier: str | None
) -> None:
    app = App(auth, secret=secret, trusted=True)
    code = parameters(app.authorize(visitor(auth)))["code"]
    assert redeem(auth, app, code, code_verifier=verifier).status_code == 400


# Codes


def test_replayed_code_revokes_what_the_first_use_gave(auth: Auth) -> None:
    app = App(auth, trusted=True)
    code = parameters(app.authorize(visitor(auth)))["code"]
    first = redeem(auth, app, code).json()
    assert redeem(auth, app, code).json()["error"] == "invalid_grant"
    for name in ("access_token", "refresh_token"):
        answer = app.oauth.introspect_token(f"{auth.url}/oauth2/introspect", first[name])
        assert answer.json() == {"active": False}


def test_code_sent_ten_times_at_once_is_redeemed_once(auth: Auth) -> None:
    app = App(auth, trusted=True)
    code = parameters(app.authorize(visitor(auth)))["code"]
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: redeem(auth, app, code).status_code, range(10)))
    assert sorted(answers) == [200] + [400] * 9


def test_code_injected_into_another_client_or_session_is_refused(auth: Auth) -> None:
    app, other = App(auth, trusted=True), App(auth, trusted=True)
    victims = parameters(app.authorize(visitor(auth)))["code"]
    assert (
        redeem(auth, other, victims, code_verifier=app.verifier).json()["error"] == "invalid_grant"
    )
    # The attacker's own request, the victim's code: another verifier.
    assert (
        redeem(auth, app, victims, code_verifier=generate_token(48)).json()["error"]
        == "invalid_grant"
    )
    assert redeem(auth, app, victims).status_code == 200


def test_code_is_good_for_a_minute(auth: Auth) -> None:
    app = App(auth, trusted=True)
    code = parameters(app.authorize(visitor(auth)))["code"]
    auth.sql(
        "UPDATE authorization_codes SET expires_at = now() WHERE client_id = $1", app.client[0]
    )
    assert redeem(auth, app, code).json()["error"] == "invalid_grant"


def test_code_is_bound_to_its_redirect_uri(auth: Auth) -> None:
    app = App(auth, trusted=True)
    for redirect_uri in (CALLBACK + "/", None):
        code = parameters(app.authorize(visitor(auth)))["code"]
        assert redeem(auth, app, code, redirect_uri=redirect_uri).json()["error"] == "invalid_grant"


# Redirects


@pytest.mark.parametrize(
    "uri",
    [
        "https://evil.example/callback",
        "https://app.example/callback/",
        "https://app.example/callback?x=1",
        "https://app.example/callback#x",
        "https://app.example/CALLBACK",
        "https://app.example:443/callback",
        "http://app.example/callback",
        "https://app.example/callback/../evil",
        "https://app.example@evil.example/callback",
        "https://app.example.evil.example/callback",
        "//app.example/callback",
        "javascript:alert(1)",
        'https://app.example/callback"><script>',
        "",
        None,
    ],
)
def test_redirect_uri_must_be_the_registered_one_letter_by_letter(
    auth: Auth, uri: str | None
) -> None:
    app = App(auth, trusted=True)
    for changes in ({}, {"scope": "root"}, {"response_type": "token"}):
        answer = authorize(auth, visitor(auth), app, redirect_uri=uri, **changes)
        assert (
            answer.status_code == 400
            and "location" not in answer.headers
            and "<script>" not in answer.text
        )


def test_parameters_sent_twice_are_refused(auth: Auth) -> None:
    app, browser = App(auth, trusted=True), visitor(auth)
    for name, value in (
        ("redirect_uri", "https://evil.example/"),
        ("scope", "admin"),
        ("client_id", "x"),
    ):
        answer = browser.get(f"{app.url()}&{httpx.QueryParams({name: value})}")
        assert answer.status_code in (302, 400)
        assert "code=" not in answer.headers.get(
            "location", ""
        ) and "evil" not in answer.headers.get("location", "")
    form = "grant_type=client_credentials&grant_type=authorization_code"
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert (
        httpx.post(
            f"{auth.url}/oauth2/token", content=form, headers=headers, auth=app.client
        ).status_code
        == 400
    )


@pytest.mark.parametrize(
    "response_type", ["token", "id_token", "code token", "code id_token", "none", "", None]
)
def test_there_is_no_implicit_flow(auth: Auth, response_type: str | None) -> None:
    app = App(auth, trusted=True)
    answer = authorize(auth, visitor(auth), app, response_type=response_type)
    assert "access_token" not in answer.headers.get(
        "location", ""
    ) and "code=" not in answer.headers.get("location", "")


# Scopes and clients


def test_scope_cannot_be_raised_at_any_step(auth: Auth) -> None:
    app = App(auth, "openid", "offline_access", "user/Patient.rs", trusted=True)
    browser = visitor(auth, "registrar")
    location = app.authorize(
        browser, scope="openid offline_access user/*.cruds admin system/*.cruds billing.system"
    )
    token = redeem(auth, app, parameters(location)["code"], scope="admin").json()
    assert token["scope"] == "offline_access openid user/Patient.rs"
    for scope in ("admin", "user/Patient.cruds", "user/*.rs", "openid admin"):
        with pytest.raises(OAuthError, match="invalid_scope"):
            app.oauth.refresh_token(
                f"{auth.url}/oauth2/token", refresh_token=token["refresh_token"], scope=scope
            )
    location = authorize(auth, browser, app, scope="admin").headers["location"]
    assert parameters(location)["error"] == "invalid_scope"


def test_refresh_token_of_another_client_is_refused(auth: Auth) -> None:
    app, other = App(auth, trusted=True), App(auth, trusted=True)
    token = redeem(auth, app, parameters(app.authorize(visitor(auth)))["code"]).json()[
        "refresh_token"
    ]
    with pytest.raises(OAuthError, match="invalid_grant"):
        other.oauth.refresh_token(f"{auth.url}/oauth2/token", refresh_token=token)
    assert app.oauth.refresh_token(f"{auth.url}/oauth2/token", refresh_token=token)["access_token"]


def test_client_with_a_secret_cannot_pass_as_a_public_one(auth: Auth) -> None:
    app = App(auth, trusted=True)
    code = parameters(app.authorize(visitor(auth)))["code"]
    form = {
        "grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK,
        "client_id": app.client[0],
        "code_verifier": app.verifier,
    }  # fmt: skip
    answer = httpx.post(f"{auth.url}/oauth2/token", data=form)
    assert answer.json()["error"] == "invalid_client"


def test_client_gets_only_the_grants_that_it_is_registered_for(auth: Auth) -> None:
    app = App(auth, trusted=True)
    assert auth.token_for(app.client).json()["error"] == "unauthorized_client"
    machine = auth.client("system/*.rs")
    app.client, app.callback = machine, CALLBACK
    assert authorize(auth, visitor(auth), app).status_code == 400


# Lockout


def failed_before(auth: Auth, counter: tuple[str, bytes]) -> None:
    """As many failures as are free, so that the next one locks."""
    auth.sql(
        "INSERT INTO attempts (kind, key, failures, locked_until, expires_at) "
        "VALUES ($1, $2, $3, now(), now() + interval '1 hour')",
        *counter,
        FREE_FAILURES[counter[0]] + 5,
    )


def test_wrong_passwords_of_one_address_do_not_keep_others_out(auth: Auth) -> None:
    address, user = "198.51.100.40", auth.user("clinician")
    with ThreadPoolExecutor(8) as pool:
        list(
            pool.map(
                lambda n: auth.login(f"guess{n}@example.org", "wrong password 1", address),
                range(60),
            )
        )
    assert auth.login(user.email, PASSWORD, address).status_code == 200


def test_guesses_from_many_addresses_lock_an_account_but_not_a_browser_it_signed_in_with(
    auth: Auth,
) -> None:
    user, known, unknown = auth.user("clinician"), Browser(auth), Browser(auth)
    known.sign_in(user.email)
    known.http.cookies.delete("session")
    failed_before(auth, Attempt(user.email, "").counters()[1])
    assert auth.login(user.email, "wrong password 1").status_code == 401
    assert auth.login(user.email, PASSWORD).status_code == 429
    assert unknown.sign_in(user.email).status_code == 429
    assert "Your account" in known.sign_in(user.email).text


def test_browser_that_is_known_may_not_guess_on_and_on(auth: Auth) -> None:
    user, other, browser = auth.user("clinician"), auth.user("clinician"), Browser(auth)
    browser.sign_in(user.email)
    browser.http.cookies.delete("session")
    statuses = [browser.sign_in(user.email, "wrong password 1").status_code for _ in range(8)]
    assert statuses[:5] == [400] * 5 and 429 in statuses[5:]
    counted = {kind for kind, _ in Attempt(other.email, "", device="x").counters()}
    assert counted == {"device"}


def test_right_passwords_sent_at_once_are_all_welcome(auth: Auth) -> None:
    user = auth.user("clinician")
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: auth.login(user.email).status_code, range(24)))
    assert answers == [200] * 24


def test_right_guess_among_many_at_once_is_not_told(auth: Auth) -> None:
    user = auth.user("clinician")
    kind, key = Attempt(user.email, "").counters()[1]
    # The first failure locks for minutes: the second that the fifth would lock for may be over on
    # a slow machine.
    auth.sql(
        "INSERT INTO attempts (kind, key, failures, locked_until, expires_at) "
        "VALUES ($1, $2, 12, now(), now() + interval '1 hour')",
        kind,
        key,
    )
    guesses = [f"wrong {number} password" for number in range(30)] + [PASSWORD]
    # By one client, or making a client for each would mix up their order.
    with httpx.Client(timeout=30) as client, ThreadPoolExecutor(len(guesses)) as pool:
        answers = list(
            pool.map(
                lambda guess: auth.login(user.email, guess, client=client).status_code, guesses
            )
        )
    assert answers[-1] == 429 and answers.count(200) == 0


def test_lockout_is_not_passed_by_spelling_or_by_haste(auth: Auth) -> None:
    user = auth.user("clinician")
    spellings = [user.email, user.email.upper(), f" {user.email} ", user.email.title()]
    with ThreadPoolExecutor(12) as pool:
        answers = list(
            pool.map(
                lambda n: (
                    auth.login(spellings[n % 4], f"wrong {n} password", "10.1.1.1").status_code
                ),
                range(24),
            )
        )
    assert answers.count(401) <= 8 and answers.count(429) >= 16


def test_one_address_cannot_try_one_password_on_everybody(auth: Auth) -> None:
    address = "198.51.100.7"
    failed_before(auth, Attempt("a", address).counters()[2])
    statuses = [
        auth.login(f"user{n}@spray.example", "wrong password 1", address).status_code
        for n in range(3)
    ]
    assert statuses == [401, 429, 429]
    assert (
        auth.login("another@spray.example", "wrong password 1", "198.51.100.8").status_code == 401
    )


def test_address_is_the_one_the_gateway_wrote(auth: Auth) -> None:
    user = auth.user("clinician")
    auth.login(user.email, "wrong password 1", "6.6.6.6, 203.0.113.77")
    rows = auth.sql("SELECT address FROM audit WHERE subject = $1", user.id)
    assert rows[0]["address"] == "203.0.113.77"
