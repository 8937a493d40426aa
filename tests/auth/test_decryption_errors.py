"""Under another AUTH_KEY_ENCRYPTION_KEY than the one that sealed: refused with a word to
operators, never a 500.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import asyncpg
import httpx
import pyotp
import pytest

from apps.auth.app import create_app
from apps.auth.encryption import digest, encrypt
from apps.auth.keys import advance_keys, withdraw_keys
from apps.auth.settings import Settings
from apps.kit.http_server import serve_http
from tests.auth.browser import Browser
from tests.auth.conftest import Auth, make_settings, run
from tests.ports import free_port

pytestmark = pytest.mark.integration

FORMER = b"f" * 32
WAIT_SECONDS = 15.0
MakeDatabase = Callable[[str], AbstractContextManager[tuple[str, str]]]


def test_code_for_a_sealed_second_factor_is_a_wrong_one_and_operators_are_told(
    auth: Auth, caplog: pytest.LogCaptureFixture
) -> None:
    user, secret = auth.user("clinician"), pyotp.random_base32()
    sealed = encrypt(FORMER, secret.encode(), f"totp:{user.id}")
    auth.sql(
        "UPDATE users SET totp_secret = $2, totp_enabled = true WHERE id = $1", user.id, sealed
    )
    auth.sql(
        "INSERT INTO recovery_codes (user_id, code_hash) VALUES ($1, $2)",
        user.id,
        digest("recover"),
    )
    browser = Browser(auth)
    page = browser.sign_in(user.email)
    with caplog.at_level(logging.ERROR):
        answer = browser.send(page, code=pyotp.TOTP(secret).now())
    assert answer.status_code == 400 and "The code is not right" in answer.text
    (line,) = [record for record in caplog.records if "AUTH_KEY_ENCRYPTION_KEY" in record.message]
    assert line.__dict__["user"] == user.id and user.email not in str(line.__dict__)
    (row,) = auth.sql(
        "SELECT reason FROM audit WHERE subject = $1 AND outcome = 'failure'", user.id
    )
    assert row["reason"] == "second_factor_sealed"
    assert "Your account" in browser.send(answer, code="recover").text


def test_enrolment_begun_under_the_former_key_begins_again(auth: Auth) -> None:
    user = auth.user("analyst")
    sealed = encrypt(FORMER, b"A" * 32, f"totp:{user.id}")
    browser = Browser(auth)
    browser.sign_in(user.email)
    page = browser.enrolment()
    auth.sql("UPDATE users SET totp_secret = $2 WHERE id = $1", user.id, sealed)
    answer = browser.send(page, code="000000")
    assert answer.status_code == 400 and "The code is not right" in answer.text
    assert (
        auth.sql("SELECT totp_secret FROM users WHERE id = $1", user.id)[0]["totp_secret"] != sealed
    )


@pytest.fixture
def sealed_settings(make_database: MakeDatabase) -> Iterator[Settings]:
    with make_database("auth") as (url, _):
        run(change(url, advance_keys, FORMER))
        yield make_settings(url, free_port())


async def change(url: str, act: Callable[..., object], key: bytes) -> None:
    connection = await asyncpg.connect(url)
    await act(connection, key, "RS256")  # type: ignore[misc]
    await connection.close()


def test_start_with_a_sealed_signing_key_says_what_to_do_and_goes_on_once_it_was_done(
    sealed_settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings, stop, loop = sealed_settings, asyncio.Event(), asyncio.new_event_loop()

    async def main() -> None:
        await serve_http(create_app(settings), settings.host, settings.port, stop)

    def ready_until(status: int, text: str) -> httpx.Response:
        for _ in range(int(WAIT_SECONDS / 0.1)):
            answer = client.get("/readyz")
            if answer.status_code == status and text in answer.text:
                return answer
            threading.Event().wait(0.1)
        raise AssertionError(answer.text)

    thread = threading.Thread(target=loop.run_until_complete, args=(main(),), daemon=True)
    thread.start()
    try:
        with httpx.Client(
            base_url=settings.issuer, transport=httpx.HTTPTransport(retries=20)
        ) as client:
            ready_until(503, "AUTH_KEY_ENCRYPTION_KEY")
            assert client.get("/.well-known/jwks.json").status_code == 503
            headers = {"Authorization": "Bearer eyJhbGciOiJSUzI1NiIsImtpZCI6IngifQ.e30.AA"}
            assert client.get("/auth/v1/users", headers=headers).status_code in (401, 503)
            run(change(settings.database.url, withdraw_keys, settings.key_encryption_key))
            ready_until(200, "ok")
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(timeout=30)
        loop.close()
    (line,) = [record for record in caplog.records if "AUTH_KEY_ENCRYPTION_KEY" in record.message]
    assert "keys withdraw" in line.message and line.levelno == logging.ERROR
