"""Turns, housekeeping and what operators run."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import pytest

from apps.billing.books import Books, expect_version
from apps.billing.housekeeping import delete_old_requests
from apps.billing.operate import HANDLERS
from apps.billing.prices.shipped import ensure_prices
from apps.billing.settings import Settings
from apps.kit.context import new_id
from apps.kit.database import Database
from apps.kit.errors import Conflict, PreconditionFailed, Problem
from tests.billing.conftest import ENVIRONMENT, Client, open_client
from tests.waiting import LOCK_WAITS


def without_database() -> Books:
    return Books(Database(None), Settings.from_environment(ENVIRONMENT))  # type: ignore[arg-type]


async def test_who_is_known_to_meet_goes_one_by_one_and_nobody_waits_for_each_other() -> None:
    books = without_database()
    inside = most = 0

    async def go(names: tuple[str, ...]) -> None:
        nonlocal inside, most
        async with books.turn(names):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    async with asyncio.timeout(5):
        await asyncio.gather(
            *(go(names) for names in (("a", "b"), ("b", "a"), ("a",), ("b", "a", "a")) * 5)
        )
    assert most == 1
    other = asyncio.Event()

    async def elsewhere() -> None:
        async with books.turn(["c"]):
            other.set()

    async with books.turn(["a"]):
        await elsewhere()
    assert other.is_set()


async def test_turn_is_over_after_an_error() -> None:
    books = without_database()
    with pytest.raises(Problem):
        async with books.turn(["a", "b"]):
            raise Conflict("taken")
    async with asyncio.timeout(5), books.turn(["a", "b"]):
        pass


async def test_who_stops_waiting_for_a_turn_gives_up_what_it_has_and_no_more() -> None:
    books, entered = without_database(), asyncio.Event()

    async def wait_for_both() -> None:
        async with books.turn(["a", "b"]):
            entered.set()

    async with books.turn(["b"]):
        waiting = asyncio.create_task(wait_for_both())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        async with asyncio.timeout(5), books.turn(["a"]):
            pass
        third = asyncio.create_task(wait_for_both())
        for _ in range(10):
            await asyncio.sleep(0)
        assert not entered.is_set()
    await third
    assert entered.is_set()


def test_any_version_may_be_expected_by_none() -> None:
    expect_version(7, 0)
    expect_version(7, 7)
    with pytest.raises(PreconditionFailed, match="stale_version"):
        expect_version(7, 6)


@pytest.fixture(scope="module")
def urls(make_database: Any) -> Iterator[tuple[str, str]]:
    with make_database("billing") as found:
        yield found


@pytest.fixture
async def billing(urls: tuple[str, str]) -> AsyncIterator[Client]:
    async for client in open_client(urls[0]):
        yield client


def settings_of(urls: tuple[str, str]) -> Settings:
    return Settings.from_environment({**ENVIRONMENT, "BILLING_DATABASE_URL": urls[0]})


@pytest.mark.integration
async def test_waiting_call_takes_no_connection(billing: Client) -> None:
    """Twenty that issue at once while one holds the turn: a reader still gets its answer."""
    account_id = await billing.account()
    charges = [await billing.charge(account_id, 100) for _ in range(15)]
    drafts = [
        await billing.do(
            "CreateInvoice", account_id=account_id, charge_item_ids=[charge.charge_item_id]
        )
        for charge in charges
    ]
    async with billing.database.transaction() as connection:
        # Whoever issues first waits here, inside PostgreSQL; the others must not.
        await connection.execute("SELECT FROM account WHERE account_id = $1 FOR UPDATE", account_id)
        issuing = [
            asyncio.create_task(billing.do("IssueInvoice", invoice_id=draft.invoice_id))
            for draft in drafts
        ]
        await asyncio.sleep(0.3)
        assert len(await connection.fetch(LOCK_WAITS)) == 1
        assert await billing.due(account_id) == 0
    await asyncio.gather(*issuing)
    assert await billing.due(account_id) == 1_500


@pytest.mark.integration
async def test_snapshot_sees_one_moment_and_changes_nothing(
    billing: Client, urls: tuple[str, str]
) -> None:
    async with Books(billing.database, settings_of(urls)).snapshot() as connection:
        before = await connection.fetchval("SELECT count(*) FROM account")
        await billing.account()
        assert await connection.fetchval("SELECT count(*) FROM account") == before
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await connection.execute("DELETE FROM request")


@pytest.mark.integration
async def test_operators_check_the_books_and_search_the_audit(
    billing: Client, urls: tuple[str, str]
) -> None:
    patient_id = new_id()
    account_id = await billing.account(patient_id)
    await billing.invoice(account_id, 100)
    settings = settings_of(urls)
    rows: Any = await HANDLERS["audit search"](settings, {"subject": patient_id})
    assert [row["action"] for row in rows] == [
        *("invoice.issued", "invoice.created", "charge.added", "account.opened"),
    ]
    assert {row["subject"] for row in rows} == {"user-5"}
    client = {"subject": patient_id, "client": rows[0]["client_id"]}
    search = HANDLERS["audit search"]
    assert await search(settings, {**client, "outcome": "success"}) == rows
    # Only what succeeded is kept.
    assert await search(settings, {**client, "outcome": "failure"}) == []
    assert await search(settings, {**client, "client": "another"}) == []


@pytest.mark.integration
async def test_shipped_prices_are_loaded_once_into_an_empty_list(billing: Client) -> None:
    async with billing.database.transaction() as connection:
        assert await ensure_prices(connection, "USD", ("exempt",)) > 100
        assert await ensure_prices(connection, "USD", ("exempt",)) == 0


@pytest.mark.integration
async def test_request_ids_are_forgotten_after_their_time(
    billing: Client, urls: tuple[str, str]
) -> None:
    request_id, account_id = new_id(), await billing.account()
    fields: dict[str, Any] = {
        "account_id": account_id,
        "code": "c",
        "unit_price": {"minor_units": 5},
    }
    await billing.do("AddChargeItem", request_id=request_id, **fields)
    owner = await asyncpg.connect(urls[1])
    await owner.execute(
        "UPDATE request SET created_at = created_at - interval '31 days' WHERE request_id = $1",
        request_id,
    )
    await owner.close()
    async with billing.database.connection() as connection:
        before = await connection.fetchval("SELECT count(*) FROM request")
        await delete_old_requests(connection)
        assert await connection.fetchval("SELECT count(*) FROM request") == before - 1
