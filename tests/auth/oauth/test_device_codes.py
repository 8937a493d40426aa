"""Device codes (RFC 8628)."""

import re
from typing import Any

import httpx
import pytest

from apps.auth.oauth.device_grant import ALPHABET, new_user_code, user_code_hash
from tests.auth.browser import App, Browser, signed_in
from tests.auth.conftest import Auth
from tests.auth.oauth.test_tokens import decode

pytestmark = pytest.mark.integration

DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"


def device_client(auth: Auth) -> tuple[str, str]:
    return auth.client(
        "openid",
        "offline_access",
        "user/Patient.rs",
        auth_method="none",
        grant_types=(DEVICE_CODE, "refresh_token"),
    )


def begin(auth: Auth, client: tuple[str, str], **changes: str) -> dict[str, Any]:
    form = {"client_id": client[0], "scope": "openid offline_access user/Patient.rs", **changes}
    answer = httpx.post(f"{auth.url}/oauth2/device_authorization", data=form)
    body: dict[str, Any] = answer.json()
    return body


def poll(auth: Auth, client: tuple[str, str], device_code: str) -> dict[str, Any]:
    form = {"grant_type": DEVICE_CODE, "device_code": device_code, "client_id": client[0]}
    body: dict[str, Any] = httpx.post(f"{auth.url}/oauth2/token", data=form).json()
    return body


def test_person_connects_a_device_by_its_code(auth: Auth) -> None:
    client, user, browser = device_client(auth), auth.user("clinician"), Browser(auth)
    begun = begin(auth, client)
    assert begun["verification_uri"] == f"{auth.url}/oauth2/device"
    assert poll(auth, client, begun["device_code"])["error"] == "authorization_pending"
    assert poll(auth, client, begun["device_code"])["error"] == "slow_down"

    page = browser.get(begun["verification_uri_complete"])
    assert "Sign in" in page.text
    page = browser.sign_in(user.email, page=page)
    assert begun["user_code"] in page.text
    page = browser.send(page, user_code=begun["user_code"].lower().replace("-", " "))
    assert "Read and search all records of the kind Patient" in page.text
    assert "connected" in browser.send(page, decision="allow").text
    token = poll(auth, client, begun["device_code"])
    assert decode(auth, token["access_token"]).claims["sub"] == user.id
    assert decode(auth, token["id_token"]).claims["amr"] == ["pwd"]
    assert token["refresh_token"]
    assert poll(auth, client, begun["device_code"])["error"] == "invalid_grant"


def test_device_that_is_refused_or_too_late_gets_nothing(auth: Auth) -> None:
    client = device_client(auth)
    browser, _ = signed_in(auth)
    begun = begin(auth, client)
    page = browser.send(browser.get("/oauth2/device"), user_code=begun["user_code"])
    assert "refused" in browser.send(page, decision="deny").text
    assert poll(auth, client, begun["device_code"])["error"] == "access_denied"
    late = begin(auth, client)
    auth.sql("UPDATE device_codes SET expires_at = now()")
    assert poll(auth, client, late["device_code"])["error"] == "expired_token"
    page = browser.send(browser.get("/oauth2/device"), user_code=late["user_code"])
    assert page.status_code == 400 and "No device" in page.text
    other = device_client(auth)
    assert poll(auth, other, begin(auth, client)["device_code"])["error"] == "unauthorized_client"


def test_guessing_user_codes_gets_slower(auth: Auth) -> None:
    browser, _ = signed_in(auth)
    page = browser.get("/oauth2/device")
    statuses = [browser.send(page, user_code="BCDF-GHJK").status_code for _ in range(8)]
    assert statuses[:4] == [400] * 4 and 429 in statuses


def test_client_that_was_not_registered_for_devices_gets_no_code(auth: Auth) -> None:
    app = App(auth, secret=False)
    assert begin(auth, app.client)["error"] == "unauthorized_client"
    assert begin(auth, ("nobody", ""))["error"] == "invalid_client"


def test_user_code_is_read_however_it_was_typed() -> None:
    code = new_user_code()
    assert re.fullmatch(f"[{ALPHABET}]{{4}}-[{ALPHABET}]{{4}}", code)
    for typed in (code.lower(), code.replace("-", ""), f" {code} ", code + "B"):
        assert user_code_hash(typed) == user_code_hash(code)
    assert user_code_hash(code[:-1]) != user_code_hash(code)
