"""What somebody without a token may send: number, length and nesting are bounded, and the answer
comes at once.
"""

import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from apps.auth.oauth.authlib_starlette import MAX_PARAMETER_CHARS
from apps.auth.oauth.jwt_parameters import MAX_JWT_CHARS, is_acceptable_jwt
from apps.kit.scopes import MAX_SCOPES
from tests.auth.browser import App, Browser, parameters
from tests.auth.conftest import Auth

AT_ONCE_SECONDS = 1.0


def segment(content: Any) -> str:
    text = content if isinstance(content, str) else json.dumps(content)
    return urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def jwt_of(header: Any, payload: Any) -> str:
    return f"{segment(header)}.{segment(payload)}.{segment('signature')}"


NESTED = "[" * 9000 + "]" * 9000
MALFORMED: dict[str, str] = {
    "nested payload": jwt_of({"alg": "RS256", "kid": "k"}, f'{{"sub": {NESTED}}}'),
    "nested header": jwt_of(f'{{"alg": "RS256", "x": {NESTED}}}', {"sub": "a"}),
    "objects in crit": jwt_of({"alg": "RS256", "crit": [{}]}, {"sub": "a"}),
    "crit": jwt_of({"alg": "RS256", "crit": ["b64"], "b64": False}, {"sub": "a"}),
    "kid is a list": jwt_of({"alg": "RS256", "kid": []}, {"sub": "a"}),
    "alg is a number": jwt_of({"alg": 7}, {"sub": "a"}),
    "header is a list": jwt_of([], {"sub": "a"}),
    "payload is text": jwt_of({"alg": "RS256"}, "text"),
    "too long": jwt_of({"alg": "RS256"}, {"sub": "a" * MAX_JWT_CHARS}),
    "no base64": "a.b*.c",
    "many dots": "." * 5000,
    "empty": "..",
}
HEADER, CLAIMS = {"alg": "RS256", "kid": "k", "typ": "JWT"}, {"sub": "a", "aud": ["b", "c"]}


def test_plain_token_is_acceptable() -> None:
    assert is_acceptable_jwt(jwt_of(HEADER, CLAIMS))


@pytest.mark.parametrize("name", MALFORMED)
def test_token_that_nobody_would_make_is_not_acceptable(name: str) -> None:
    assert not is_acceptable_jwt(MALFORMED[name])


def assertion_form(text: str) -> dict[str, str]:
    return {
        "grant_type": "client_credentials",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": text,
    }


@pytest.mark.integration
@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_tokens_are_refused_wherever_one_is_sent(auth: Auth, name: str) -> None:
    text = MALFORMED[name]
    client = auth.client("system/*.rs")
    proof = {"DPoP": text}
    form = {"grant_type": "client_credentials"}
    answers = [
        httpx.post(f"{auth.url}/oauth2/token", data=assertion_form(text)),
        httpx.post(f"{auth.url}/oauth2/revoke", data=assertion_form(text) | {"token": "x"}),
        httpx.post(f"{auth.url}/oauth2/par", data=assertion_form(text)),
        httpx.post(f"{auth.url}/oauth2/token", auth=client, data=form, headers=proof),
        httpx.get(f"{auth.url}/oauth2/logout", params={"id_token_hint": text}),
    ]
    assert [answer.status_code for answer in answers] == [400] * 5
    for url in ("introspect", "revoke"):
        answer = httpx.post(f"{auth.url}/oauth2/{url}", auth=client, data={"token": text})
        expected = 200 if len(text) <= MAX_PARAMETER_CHARS else 400
        assert answer.status_code == expected
    answer = httpx.get(f"{auth.url}/oauth2/userinfo", headers={"Authorization": f"Bearer {text}"})
    assert answer.status_code == 401


def scopes_of(count: int) -> str:
    return " ".join(f"user/Type{number}.rs" for number in range(count))


@pytest.mark.integration
@pytest.mark.parametrize(
    "scope",
    [
        " ".join(f"user/{letter}{number}x.rs" for letter in "AB" for number in range(525)),
        scopes_of(MAX_SCOPES + 1),
        "x" * 10_000,
        " ".join("x" for _ in range(3000)) + " " + scopes_of(MAX_SCOPES + 1),
        "user/Observation.rs?" + "&".join(f"category=c{number}" for number in range(900)),
    ],
)
def test_more_scopes_than_anybody_needs_are_invalid_at_once(auth: Auth, scope: str) -> None:
    app = App(auth)
    device = auth.client(
        "openid", auth_method="none", grant_types=("urn:ietf:params:oauth:grant-type:device_code",)
    )
    confidential = auth.client("system/*.rs")
    calls: list[Callable[[], httpx.Response]] = [
        lambda: httpx.get(app.url(scope=scope)),
        lambda: auth.token_for(confidential, scope=scope),
        lambda: httpx.post(
            f"{auth.url}/oauth2/device_authorization",
            data={"client_id": device[0], "scope": scope},
        ),
        lambda: httpx.post(
            f"{auth.url}/oauth2/token",
            auth=app.client,
            data={"grant_type": "refresh_token", "refresh_token": "x", "scope": scope},
        ),
    ]
    errors = []
    for call in calls:
        started = time.monotonic()
        answer = call()
        assert time.monotonic() - started < AT_ONCE_SECONDS
        if answer.is_redirect:
            errors.append(parameters(answer.headers["location"])["error"])
        else:
            errors.append(answer.json()["error"])
    assert errors[:3] == ["invalid_scope"] * 3 and errors[3] == "invalid_grant"


@pytest.mark.integration
def test_token_never_outgrows_what_services_accept(auth: Auth) -> None:
    wide = [
        f"system/{name}.rs?category=c{n}" for name in ("Observation", "Goal") for n in range(40)
    ]
    client = auth.client(*wide)
    refused = auth.token_for(client)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_scope")
    token = auth.token_for(client, scope=" ".join(wide[:30])).json()["access_token"]
    assert len(token) < 4000
    unknown = auth.token_for(auth.client("system/*.rs"), scope="system/Madeup.rs")
    assert unknown.json()["error"] == "invalid_scope"


@pytest.mark.integration
@pytest.mark.parametrize(
    "pairs",
    [
        [("x", "y" * (MAX_PARAMETER_CHARS + 1))],
        [(f"p{number}", "1") for number in range(60)],
        [("grant_type", 'client"credentials')],
        [("grant_type", "client\\credentials")],
        [("token_type_hint", '"')],
    ],
)
def test_parameters_are_bounded_in_number_length_and_characters(
    auth: Auth, pairs: list[tuple[str, str]]
) -> None:
    client = auth.client("system/*.rs")
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    for name in ("token", "revoke", "introspect", "par", "device_authorization"):
        answer = httpx.post(
            f"{auth.url}/oauth2/{name}", auth=client, content=urlencode(pairs), headers=headers
        )
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request"), name


@pytest.mark.integration
def test_form_has_at_most_64_kib(auth: Auth) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answers = [
        httpx.post(f"{auth.url}/oauth2/token", content=b"x" * size, headers=headers)
        for size in (64 * 1024, 64 * 1024 + 1)
    ]
    assert [answer.status_code for answer in answers] == [400, 413]


@pytest.mark.integration
def test_response_type_with_quotes_is_refused(auth: Auth) -> None:
    answer = httpx.get(App(auth).url() + "&response_type=%22%5C")
    assert answer.status_code == 400


@pytest.mark.integration
@pytest.mark.parametrize("name", ["nonce", "prompt", "max_age", "code_challenge", "aud", "claims"])
def test_parameter_that_comes_twice_is_invalid(auth: Auth, name: str) -> None:
    app, browser = App(auth), Browser(auth)
    values = {"prompt": "login", "max_age": "5"}
    url = app.url() + "".join(f"&{name}={values.get(name, 'a')}" for _ in range(2))
    error = parameters(browser.get(url).headers["location"])
    assert error["error"] == "invalid_request" and error["state"] == app.state


@pytest.mark.integration
def test_resource_may_come_twice(auth: Auth) -> None:
    base = f"{auth.url}/fhir/R4"
    url = App(auth).url() + f"&resource={base}&resource={auth.url}"
    assert "Sign in" in Browser(auth).get(url).text
