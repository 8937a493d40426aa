"""How a change ends: answered once, tried again, or refused for good."""

import asyncpg
import pytest

from apps.billing.books import MAX_TRIES, Books, Change, hash_of
from apps.billing.settings import Settings
from apps.kit.context import new_id
from apps.kit.errors import Conflict, Problem, Unavailable, Unprocessable
from apps.kit.rpc import Caller
from protos.billing.v1 import billing_pb2 as pb
from tests.billing.conftest import ENVIRONMENT, TOKENS, Client

pytestmark = pytest.mark.integration
CALLER = Caller(service=TOKENS["gateway"], user=TOKENS["manager"])
MERGED = pb.Account(account_id="a")


class Calls:
    """Counts the tries of an operation, which raises one of `failures` each time, and commits."""

    def __init__(self, billing: Client, *failures: Exception) -> None:
        self.failures = list(failures)
        self.tries = self.commits = 0
        settings = Settings.from_environment(ENVIRONMENT)
        self.books = Books(billing.database, settings, self.commit)

    def commit(self) -> None:
        self.commits += 1

    async def operation(self, change: Change) -> pb.Account:
        self.tries += 1
        if self.failures:
            raise self.failures.pop(0)
        return MERGED

    async def change(self, request_id: str = "") -> pb.Account:
        request = pb.CreateBillingAccountRequest(request_id=request_id or new_id())
        return await self.books.change(request, CALLER, pb.Account, self.operation)


async def test_change_is_told_of_after_its_commit(billing: Client) -> None:
    calls = Calls(billing)
    assert await calls.change() == MERGED
    assert (calls.tries, calls.commits) == (1, 1)


async def test_change_that_met_another_is_tried_again(billing: Client) -> None:
    calls = Calls(billing, *[asyncpg.DeadlockDetectedError()] * (MAX_TRIES - 1))
    assert await calls.change() == MERGED
    assert (calls.tries, calls.commits) == (MAX_TRIES, 1)


async def test_change_that_meets_others_again_and_again_is_given_up(billing: Client) -> None:
    calls = Calls(billing, *[asyncpg.SerializationError()] * MAX_TRIES)
    with pytest.raises(Unavailable, match="too_much_contention"):
        await calls.change()
    assert (calls.tries, calls.commits) == (MAX_TRIES, 0)


@pytest.mark.parametrize("error", [Unavailable("database_unavailable"), Conflict("taken")])
async def test_change_that_is_refused_is_not_tried_again(billing: Client, error: Problem) -> None:
    calls = Calls(billing, error)
    with pytest.raises(type(error), match=error.code):
        await calls.change()
    assert (calls.tries, calls.commits) == (1, 0)


async def test_change_that_came_through_before_has_its_first_answer(billing: Client) -> None:
    calls, request_id = Calls(billing), new_id()
    assert await calls.change(request_id) == MERGED
    calls.failures = [Conflict("taken")]
    assert await calls.change(request_id) == MERGED
    assert calls.commits == 1


async def test_answer_that_was_not_kept_is_unknown(billing: Client) -> None:
    calls, request_id = Calls(billing), new_id()
    request = pb.CreateBillingAccountRequest(request_id=request_id)
    async with billing.database.connection() as connection:
        await connection.execute(
            "INSERT INTO request (client_id, subject, request_id, method, request_hash, "
            "resource_id) VALUES ($1, $2, $3, 'CreateBillingAccount', $4, $5)",
            CALLER.actor.client_id,
            CALLER.actor.subject,
            request_id,
            hash_of(request),
            new_id(),
        )
    with pytest.raises(Unavailable, match="answer_unknown"):
        await calls.change(request_id)
    assert calls.commits == 0


async def test_refused_change_leaves_nothing(billing: Client) -> None:
    calls, event_id = Calls(billing), new_id()

    async def refuse(change: Change) -> pb.Account:
        await change.connection.execute(
            """
            INSERT INTO outbox (destination, event_id, patient_id, payload, request_id, traceparent)
            VALUES ('kafka', $1, 'p', '', '', '')""",
            event_id,
        )
        raise Conflict("taken")

    request = pb.CreateBillingAccountRequest(request_id=new_id())
    with pytest.raises(Conflict):
        await calls.books.change(request, CALLER, pb.Account, refuse)
    async with billing.database.connection() as connection:
        left = await connection.fetchval(
            "SELECT count(*) FROM outbox WHERE event_id = $1", event_id
        )
    assert left == 0


async def test_request_id_of_another_request_is_refused(billing: Client) -> None:
    calls, request_id = Calls(billing), new_id()
    await calls.change(request_id)
    other = pb.CreateBillingAccountRequest(request_id=request_id, patient_id="p")
    another = pb.UpdateAccountStatusRequest(request_id=request_id)
    for request in (other, another):
        with pytest.raises(Unprocessable, match="request_id_reused"):
            await calls.books.change(request, CALLER, pb.Account, calls.operation)
    assert calls.commits == 1
