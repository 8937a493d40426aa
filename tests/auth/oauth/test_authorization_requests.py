"""When a person has to sign in again for an application, and how it may ask for that."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
from authlib.oauth2.rfc6749 import InvalidRequestError

from apps.auth.oauth import authorization_requests
from apps.auth.oauth.authlib_starlette import StarletteOAuth2Request
from apps.auth.oauth.authorization_requests import must_sign_in, read_prompts

NOW = 1_800_000_000


def request(**parameters: str) -> StarletteOAuth2Request:
    return StarletteOAuth2Request("GET", "https://a.example/", {}, [*parameters.items()], [])


@pytest.mark.parametrize(
    ("parameters", "age_seconds", "must"),
    [
        ({}, 10**6, False),
        # OpenID Connect Core, 3.1.2.1: when more time has passed.
        ({"max_age": "10"}, 10, False),
        ({"max_age": "10"}, 11, True),
        ({"max_age": "0"}, 1, True),
        ({"max_age": "9999999999"}, 10**6, False),
        ({"prompt": "login"}, 0, True),
        ({"prompt": "consent select_account"}, 0, True),
        ({"prompt": "consent"}, 10**6, False),
        ({"prompt": "none", "max_age": "10"}, 11, True),
    ],
)
def test_person_signs_in_again_where_that_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, parameters: dict[str, str], age_seconds: int, must: bool
) -> None:
    monkeypatch.setattr(
        authorization_requests, "time", SimpleNamespace(time=lambda: float(NOW + age_seconds))
    )
    session = SimpleNamespace(authenticated_at=datetime.fromtimestamp(NOW, UTC))
    asked = request(**parameters)
    assert must_sign_in(asked, cast(Any, session), read_prompts(asked)) is must


@pytest.mark.parametrize(
    "parameters",
    [
        {"prompt": "create"},
        {"prompt": "none consent"},
        {"max_age": "-1"},
        {"max_age": "1.5"},
        {"max_age": ""},
        {"max_age": "99999999990"},
    ],
)
def test_wish_of_another_form_is_refused(parameters: dict[str, str]) -> None:
    with pytest.raises(InvalidRequestError):
        read_prompts(request(**parameters))
