"""What is revoked or changed while a sign-in or a renewal is under way does not survive it."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import httpx
import pytest

from apps.auth.audit import insert_audit
from apps.auth.encryption import digest
from apps.auth.oauth import legacy_login_routes
from apps.auth.oauth.client_changes import set_client_disabled
from apps.auth.oauth.clients import hold_active_client
from apps.auth.oauth.logout_notices import take_notices
from apps.auth.oauth.refresh_tokens import (
    insert_refresh_token,
    rotate_refresh_token,
    select_refresh_token,
)
from apps.auth.oauth.revocations import (
    CLOCK_SKEW_SECONDS,
    insert_revocation,
    revoke_client,
    revoke_family,
    revoke_subject,
)
from apps.auth.oauth.token_families import lock_family
from apps.auth.people.passwords import Hashing, hash_password
from tests.auth.browser import App, Browser
from tests.auth.conftest import Auth
from tests.waiting import until_somebody_waits

pytestmark = pytest.mark.integration

CHANGES = {
    "disabled": "UPDATE users SET disabled_at = now() WHERE id = $1",
    "other password": "UPDATE users SET password_hash = '%s' WHERE id = $1",
    "other roles": "UPDATE users SET roles = '{analyst}' WHERE id = $1",
}


def change_while_hashing(
    monkeypatch: pytest.MonkeyPatch, auth: Auth, change: str, user_id: str
) -> None:
    verify = Hashing.verify
    query = CHANGES[change].replace("%s", hash_password("the next good phrase"))

    async def slow(self: Hashing, *arguments: Any) -> bool:
        right = await verify(self, *arguments)
        auth.sql(query, user_id)
        return right

    monkeypatch.setattr(Hashing, "verify", slow)


@pytest.mark.parametrize("change", CHANGES)
def test_short_login_gives_no_token_for_what_changed_while_it_was_hashing(
    auth: Auth, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    user = auth.user("registrar")
    change_while_hashing(monkeypatch, auth, change, user.id)
    answer = auth.login(user.email)
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_credentials")
    (row,) = auth.sql("SELECT outcome, reason FROM audit WHERE subject = $1", user.id)
    assert tuple(row) == ("failure", "changed_meanwhile")


@pytest.mark.parametrize("change", CHANGES)
def test_page_begins_no_session_for_what_changed_while_it_was_hashing(
    auth: Auth, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    user, browser = auth.user("registrar"), Browser(auth)
    change_while_hashing(monkeypatch, auth, change, user.id)
    assert "is not right" in browser.sign_in(user.email).text
    assert not auth.sql("SELECT 1 FROM sessions WHERE user_id = $1", user.id)


def test_short_login_holds_its_user_until_it_is_recorded(
    auth: Auth, monkeypatch: pytest.MonkeyPatch
) -> None:
    user, refused = auth.user("registrar"), []

    async def recording(*arguments: Any) -> None:
        async with connected(auth) as other:
            await other.execute("SET lock_timeout = '100ms'")
            try:
                await other.execute(CHANGES["disabled"], user.id)
            except asyncpg.LockNotAvailableError:
                refused.append(user.id)
        await insert_audit(*arguments)

    monkeypatch.setattr(legacy_login_routes, "insert_audit", recording)
    assert auth.login(user.email).status_code == 200
    assert refused == [user.id]


@asynccontextmanager
async def connected(auth: Auth) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(auth.settings.database.url)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.mark.parametrize("kind", ["subject", "client", "family"])
async def test_revocation_sees_the_token_of_a_renewal_under_way(auth: Auth, kind: str) -> None:
    app, user = App(auth, trusted=True), auth.user("registrar")
    token = app.redeem(app.authorize_as(Browser(auth), user.email))["refresh_token"]
    revoke: Callable[[Any, str], Awaitable[None]]
    async with connected(auth) as renewing, connected(auth) as revoking:
        async with renewing.transaction():
            await hold_active_client(renewing, app.client[0])
            old = await select_refresh_token(renewing, token)
            assert old
            await rotate_refresh_token(renewing, old)
            await insert_refresh_token(
                renewing, "successor-of-" + token, client_id=old.client_id, user_id=old.user_id,
                family_id=old.family_id, scope=old.scope, authenticated_at=old.authenticated_at,
                methods=old.methods,
            )  # fmt: skip
            revoke, id = {
                "subject": (revoke_subject, user.id),
                "client": (revoke_client, app.client[0]),
                "family": (revoke_family, old.family_id),
            }[kind]

            async def run_revocation() -> None:
                async with revoking.transaction():
                    await revoke(revoking, id)

            task = asyncio.create_task(run_revocation())
            await until_somebody_waits(auth.settings.database.url, task.done)
        await task
        revoked = await revoking.fetchval(
            "SELECT revoked_at FROM refresh_tokens WHERE token_hash = $1",
            digest("successor-of-" + token),
        )
    assert revoked is not None


async def test_renewal_waits_for_the_revocation_of_its_family(auth: Auth) -> None:
    app, user = App(auth, trusted=True), auth.user("registrar")
    token = app.redeem(app.authorize_as(Browser(auth), user.email))["refresh_token"]
    (row,) = auth.sql("SELECT family_id FROM refresh_tokens WHERE token_hash = $1", digest(token))
    async with connected(auth) as holding, connected(auth) as renewing, holding.transaction():
        await lock_family(holding, str(row["family_id"]))
        await renewing.execute("SET lock_timeout = '100ms'")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await select_refresh_token(renewing, token)


async def test_replicas_that_send_notices_take_different_ones_and_do_not_wait(auth: Auth) -> None:
    async with connected(auth) as first, connected(auth) as second:
        # More than both take and the service that runs here.
        await first.execute(
            "INSERT INTO logout_notices (id, client_id, user_id, session_id, expires_at) "
            "SELECT gen_random_uuid(), $1, 'u', 's', now() + interval '1 minute' "
            "FROM generate_series(1, 40)",
            auth.client("openid")[0],
        )
        async with first.transaction(), second.transaction():
            await second.execute("SET LOCAL lock_timeout = '1s'")
            taken = [{notice.id for notice in await take_notices(each)} for each in (first, second)]
        await first.execute("DELETE FROM logout_notices WHERE user_id = 'u'")
    assert all(taken) and not taken[0] & taken[1]


async def while_revoking(
    auth: Auth, revoke: Callable[[Any], Awaitable[object]], ask: Callable[[], Any]
) -> Any:
    """What `ask` answers that came while the revocation was not committed."""
    with ThreadPoolExecutor(1) as pool:
        async with connected(auth) as revoking:
            async with revoking.transaction():
                await revoke(revoking)
                answer = pool.submit(ask)
                await until_somebody_waits(auth.settings.database.url, answer.done)
            return await asyncio.wrap_future(answer)


async def test_no_code_is_made_for_a_session_that_is_being_revoked(auth: Auth) -> None:
    app, user, browser = App(auth, trusted=True), auth.user("registrar"), Browser(auth)
    browser.sign_in(user.email)
    answer = await while_revoking(
        auth, lambda revoking: revoke_subject(revoking, user.id), lambda: browser.get(app.url())
    )
    assert "Sign in" in answer.text
    assert not auth.sql("SELECT 1 FROM authorization_codes WHERE user_id = $1", user.id)


async def test_no_token_is_made_for_a_client_that_is_being_disabled(auth: Auth) -> None:
    client = auth.client("system/*.rs")

    async def disable(revoking: Any) -> None:
        await set_client_disabled(revoking, client[0], True)
        await revoke_client(revoking, client[0])

    answer = await while_revoking(auth, disable, lambda: auth.token_for(client))
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


def test_renewals_and_a_revocation_at_once_leave_nothing_valid(auth: Auth) -> None:
    app, user = App(auth, trusted=True), auth.user("registrar")
    token = app.redeem(app.authorize_as(Browser(auth), user.email))["refresh_token"]
    start = threading.Barrier(5)

    def renew() -> int:
        start.wait()
        form = {"grant_type": "refresh_token", "refresh_token": token}
        status: int = app.auth.token_for(app.client, **form).status_code
        return status

    def revoke() -> int:
        start.wait()
        return httpx.post(
            f"{auth.url}/oauth2/revoke", auth=app.client, data={"token": token}
        ).status_code

    with ThreadPoolExecutor(5) as pool:
        answers = [pool.submit(renew) for _ in range(4)] + [pool.submit(revoke)]
        assert {answer.result() for answer in answers} <= {200, 400}
    assert not auth.sql(
        "SELECT 1 FROM refresh_tokens WHERE user_id = $1 AND revoked_at IS NULL", user.id
    )


async def test_revocation_has_the_time_of_its_writing_and_a_margin_for_clocks(
    connection: Any,
) -> None:
    before = await connection.fetchval("SELECT clock_timestamp()")
    await insert_revocation(connection, "subject", "somebody")
    stated = await connection.fetchval("SELECT not_before FROM revocations WHERE id = 'somebody'")
    assert (stated - before).total_seconds() >= CLOCK_SKEW_SECONDS
