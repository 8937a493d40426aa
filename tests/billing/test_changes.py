"""A change: one transaction, tried again where two stood in each other's way, answered once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest

from apps.billing.books import MAX_TRIES, Books, Change, expect_version, hash_of
from apps.billing.settings import Settings
from apps.kit.context import new_id
from apps.kit.database import Database, DatabaseSettings, open_database
from apps.kit.errors import Conflict, PreconditionFailed, Problem, Unavailable
from apps.kit.rpc import Caller
from protos.billing.v1 import billing_pb2 as pb
from tests.billing.conftest import ENVIRONMENT, TOKENS

CALLER = Caller(TOKENS["gateway"], TOKENS["manager"])
Operation = Callable[[Change], Awaitable[pb.Account]]


@pytest.fixture
async def database(billing_database: str) -> AsyncIterator[Database]:
    async with open_database(DatabaseSettings(billing_database)) as opened:
        yield opened


class Counted:
    """Books that count what was committed."""

    def __init__(self, database: Database) -> None:
        self.committed = 0
        self.books = Books(database, Settings.from_environment(ENVIRONMENT), self._count)

    def _count(self) -> None:
        self.committed += 1

    async def change(self, operation: Operation, request_id: str = "") -> pb.Account:
        message = pb.UpdateAccountStatusRequest(request_id=request_id or new_id())
        return await self.books.change(message, CALLER, pb.Account, operation)


class Failing:
    """Fails so many times, then answers."""

    def __init__(self, error: Exception, times: int) -> None:
        self.error = error
        self.left = times
        self.tries = 0

    async def __call__(self, change: Change) -> pb.Account:
        self.tries += 1
        change.audit("test.tried", None, self.tries)
        if self.left:
            self.left -= 1
            raise self.error
        return pb.Account(patient_id="p")


@pytest.mark.integration
@pytest.mark.parametrize("kind", [asyncpg.DeadlockDetectedError, asyncpg.SerializationError])
async def test_change_that_met_another_is_tried_again(
    database: Database, kind: type[Exception]
) -> None:
    counted = Counted(database)
    operation = Failing(kind("met another"), MAX_TRIES - 1)
    assert (await counted.change(operation)).patient_id == "p"
    assert (operation.tries, counted.committed) == (MAX_TRIES, 1)


@pytest.mark.integration
async def test_change_that_always_meets_another_is_given_up(database: Database) -> None:
    counted = Counted(database)
    operation = Failing(asyncpg.DeadlockDetectedError("met another"), MAX_TRIES)
    with pytest.raises(Unavailable, match="too_much_contention"):
        await counted.change(operation)
    assert (operation.tries, counted.committed) == (MAX_TRIES, 0)


@pytest.mark.integration
@pytest.mark.parametrize("error", [Unavailable("away"), Conflict("taken"), ValueError("odd")])
async def test_change_that_fails_for_another_reason_is_not_tried_again(
    database: Database, error: Exception
) -> None:
    counted = Counted(database)
    operation = Failing(error, 1)
    with pytest.raises(type(error)):
        await counted.change(operation)
    assert (operation.tries, counted.committed) == (1, 0)


@pytest.mark.integration
async def test_refused_change_leaves_nothing(database: Database) -> None:
    event_id = new_id()

    async def refuse(change: Change) -> pb.Account:
        await change.connection.execute(
            """
            INSERT INTO outbox (destination, event_id, patient_id, payload, request_id, traceparent)
            VALUES ('kafka', $1, 'p', '', '', '')""",
            event_id,
        )
        raise Conflict("taken")

    with pytest.raises(Conflict):
        await Counted(database).change(refuse)
    async with database.connection() as connection:
        left = await connection.fetchval(
            "SELECT count(*) FROM outbox WHERE event_id = $1", event_id
        )
    assert left == 0


@pytest.mark.integration
async def test_repeated_change_gets_its_first_answer_and_commits_nothing(
    database: Database,
) -> None:
    counted, request_id = Counted(database), new_id()

    async def answer(change: Change) -> pb.Account:
        return pb.Account(account_id=new_id())

    first = await counted.change(answer, request_id)
    assert await counted.change(answer, request_id) == first
    # A refusal that the first run of the same request has caused is none.
    assert await counted.change(Failing(Conflict("taken"), 1), request_id) == first
    assert counted.committed == 1


@pytest.mark.integration
async def test_request_whose_answer_was_not_kept_is_not_answered(database: Database) -> None:
    request_id = new_id()
    message = pb.UpdateAccountStatusRequest(request_id=request_id)
    async with database.connection() as connection:
        await connection.execute(
            """
            INSERT INTO request (client_id, subject, request_id, method, request_hash, resource_id)
            VALUES ('web', 'user-5', $1, 'UpdateAccountStatus', $2, $3)""",
            request_id,
            hash_of(message),
            new_id(),
        )
    with pytest.raises(Unavailable, match="answer_unknown"):
        await Counted(database).change(Failing(Conflict("taken"), 0), request_id)


def test_any_version_may_be_expected_by_none() -> None:
    expect_version(7, 0)
    expect_version(7, 7)
    with pytest.raises(PreconditionFailed, match="stale_version"):
        expect_version(7, 6)


def without_database() -> Books:
    return Books(Database(None), Settings.from_environment(ENVIRONMENT))  # type: ignore[arg-type]


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
