"""Who comes second waits: each test holds a row or a lock, and asks for it once more."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any

import asyncpg
import pytest

from apps.auth.cleanup import BATCH_ROWS, delete_expired
from apps.auth.encryption import digest, encrypt, new_token
from apps.auth.keys import advance_keys, withdraw_keys
from apps.auth.oauth.client_changes import create_client
from apps.auth.oauth.clients import hold_active_client, lock_client
from apps.auth.oauth.device_grant import _insert, _poll, select_user_code
from apps.auth.oauth.launches import select_launch
from apps.auth.oauth.pushed_requests import PREFIX, select_pushed_request
from apps.auth.oauth.registration import DEVICE_CODE
from apps.auth.oauth.revocations import revoke_client
from apps.auth.oauth.token_families import lock_family
from apps.auth.people.external_identities import select_user_id
from apps.auth.people.mail import Mail, claim_mails, insert_mail, insert_mail_with_link
from apps.auth.people.passkeys import (
    PasskeyError,
    RelyingParty,
    save_challenge,
    verify_passkey,
)
from apps.auth.people.users import create_user, has_administrator, hold_user, lock_user
from apps.auth.reencryption import reencrypt_secrets
from tests.auth.people.test_mail import KEY
from tests.undone import undone
from tests.waiting import until_blocked

pytestmark = pytest.mark.integration
Ask = Callable[[Any], Awaitable[object]]
MAIL = Mail(recipient="a@example.org", subject="s", body="b")


@pytest.fixture(scope="module")
def url(make_database: Any) -> Iterator[str]:
    with make_database("auth") as (runtime_url, _):
        yield runtime_url


@pytest.fixture
async def connection(url: str) -> AsyncIterator[Any]:
    """A connection whose every statement is committed."""
    connection = await asyncpg.connect(url)
    yield connection
    await connection.close()


async def waits(url: str, first: Ask, second: Ask) -> bool:
    """Tells whether `second` waits for the transaction that did `first`."""
    async with undone(url) as holding, undone(url) as asking:
        await asking.execute("SET LOCAL lock_timeout = '100ms'")
        await first(holding)
        try:
            await second(asking)
        except asyncpg.LockNotAvailableError:
            return True
        return False


async def test_user_is_held_for_a_change_by_one_and_against_it_by_many(
    connection: Any, url: str
) -> None:
    user = await create_user(connection, email="held@example.org", roles=("analyst",))
    hold: Ask = lambda each: hold_user(each, user.id)  # noqa: E731
    lock: Ask = lambda each: lock_user(each, user.id)  # noqa: E731
    assert not await waits(url, hold, hold)
    assert await waits(url, hold, lock)
    assert await waits(url, lock, hold)
    assert await waits(url, lock, lock)


async def test_client_is_held_for_a_change_by_one_and_against_it_by_many(
    connection: Any, url: str
) -> None:
    client, _ = await create_client(
        connection, name="Held", grant_types=("client_credentials",), scopes=("analytics.read",)
    )
    hold: Ask = lambda each: hold_active_client(each, client.id)  # noqa: E731
    lock: Ask = lambda each: lock_client(each, client.id)  # noqa: E731
    revoke: Ask = lambda each: revoke_client(each, client.id)  # noqa: E731
    assert not await waits(url, hold, hold)
    for change in (lock, revoke):
        assert await waits(url, hold, change)
        assert await waits(url, change, hold)
        assert await waits(url, change, lock)


async def test_what_is_used_once_is_looked_at_by_one_at_a_time(connection: Any, url: str) -> None:
    user = await create_user(connection, email="once@example.org", roles=("analyst",))
    client, _ = await create_client(
        connection,
        name="Once",
        grant_types=("authorization_code",),
        scopes=("openid",),
        redirect_uris=("https://a.example/cb",),
    )
    secret = new_token()
    await connection.execute(
        "INSERT INTO launches (token_hash, user_id, client_id, patient_id, encounter_id, "
        "expires_at) VALUES ($1, $2, $3, 'p', NULL, now() + interval '1 minute')",
        digest(secret),
        user.id,
        client.id,
    )
    await connection.execute(
        "INSERT INTO pushed_requests (uri_hash, client_id, parameters, expires_at) "
        "VALUES ($1, $2, 'scope=openid', now() + interval '1 minute')",
        digest(secret),
        client.id,
    )
    await connection.execute(
        "INSERT INTO external_identities (issuer, subject, user_id) VALUES ('i', 's', $1)", user.id
    )
    await connection.execute(
        "INSERT INTO passkeys (id, user_id, credential_id, public_key, sign_count, name) "
        "VALUES (gen_random_uuid(), $1, 'held', '', 0, 'n')",
        user.id,
    )
    await _insert(
        connection,
        device_code=secret,
        user_code="BCDFGHJK",
        client_id=client.id,
        scope="openid",
    )

    async def sign_in(each: Any) -> None:
        browser = new_token()
        await save_challenge(each, browser, "sign-in", b"c")
        with suppress(PasskeyError):
            party = RelyingParty("https://a.example")
            await verify_passkey(each, party, browser, {"id": "aGVsZA"})

    asks: dict[str, Ask] = {
        "launch": lambda each: select_launch(each, secret, user_id=user.id, client_id=client.id),
        "pushed request": lambda each: select_pushed_request(
            each, PREFIX + secret, client.id, locked=True
        ),
        "person of a provider": lambda each: select_user_id(each, "i", "s"),
        "user code": lambda each: select_user_code(each, "BCDF-GHJK"),
        "device code": lambda each: _poll(each, secret),
        "family": lambda each: lock_family(each, secret),
        "passkey": sign_in,
        "first administrator": has_administrator,
    }
    for name, ask in asks.items():
        assert await waits(url, ask, ask), name


async def test_keys_are_changed_by_one_at_a_time(connection: Any, url: str) -> None:
    # There is a key, and nothing is due: nobody waits for a row.
    await advance_keys(connection, KEY, "ES256")
    advance: Ask = lambda each: advance_keys(each, KEY, "ES256")  # noqa: E731
    withdraw: Ask = lambda each: withdraw_keys(each, KEY, "ES256")  # noqa: E731
    for first in (advance, withdraw):
        for second in (advance, withdraw):
            assert await waits(url, first, second)


async def test_secret_is_not_changed_while_it_moves_to_another_key(
    connection: Any, url: str
) -> None:
    await advance_keys(connection, KEY, "ES256")
    user = await create_user(connection, email="totp@example.org", roles=("analyst",))
    await connection.execute(
        "UPDATE users SET totp_enabled = true, totp_secret = $2 WHERE id = $1",
        user.id,
        encrypt(KEY, b"secret", f"totp:{user.id}"),
    )
    async with connection.transaction():
        await insert_mail_with_link(connection, MAIL, KEY)

    def change(statement: str) -> Ask:
        return lambda each: each.execute(statement)

    for statement in (
        "UPDATE signing_keys SET state = state",
        "UPDATE users SET name = name WHERE totp_enabled",
        "UPDATE mails SET attempts = attempts WHERE sealed_body IS NOT NULL",
    ):
        assert await waits(url, lambda each: reencrypt_secrets(each, KEY), change(statement))


async def test_mails_are_claimed_by_one_and_the_others_are_not_kept_waiting(
    connection: Any, url: str
) -> None:
    async with connection.transaction():
        for _ in range(4):
            await insert_mail(connection, MAIL)
    async with undone(url) as first, undone(url) as second:
        await second.execute("SET LOCAL lock_timeout = '100ms'")
        claimed = [
            {mail.id for mail in await claim_mails(each, 2, 60.0)} for each in (first, second)
        ]
    assert [len(ids) for ids in claimed] == [2, 2]
    assert not claimed[0] & claimed[1]


async def test_cleaning_passes_over_what_somebody_holds(connection: Any, url: str) -> None:
    await connection.execute(
        "INSERT INTO attempts (kind, key, failures, locked_until, expires_at) "
        "SELECT 'pair', uuid_send(gen_random_uuid()), 1, now(), now() - interval '1 hour' "
        "FROM generate_series(1, 3)"
    )
    async with undone(url) as holding, undone(url) as cleaning:
        await cleaning.execute("SET LOCAL lock_timeout = '100ms'")
        await holding.fetch("SELECT 1 FROM attempts LIMIT 1 FOR UPDATE")
        assert await delete_expired(cleaning, "attempts") == 2
    assert await delete_expired(connection, "attempts") == 3 < BATCH_ROWS


async def test_poll_of_a_device_knows_of_the_one_before_it(connection: Any, url: str) -> None:
    client, _ = await create_client(
        connection, name="Device", grant_types=(DEVICE_CODE,), scopes=("openid",)
    )
    code = new_token()
    await _insert(
        connection, device_code=code, user_code="LMNPQRST", client_id=client.id, scope="openid"
    )
    other = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            first = await _poll(connection, code)
            second = asyncio.create_task(_poll(other, code))
            await until_blocked(connection, other, second)
        polled = await second
    finally:
        await other.close()
    assert first and polled
    assert (first.is_early, polled.is_early) == (False, True)
