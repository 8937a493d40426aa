"""The cash desk's day under two people, and without one that is open."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from grpc.aio import AioRpcError

from apps.kit.context import new_id
from apps.kit.rpc import problem_of_rpc
from protos.billing.v1 import billing_pb2 as pb
from tests.billing.conftest import Client
from tests.billing.waiting import until_blocked

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("unhurried_pool")]


@pytest.fixture(scope="module")
def billing_database(make_database: Any) -> Iterator[str]:
    """One of its own: a currency has one cash day at a time."""
    with make_database("billing") as (runtime_url, _):
        yield runtime_url


@pytest.fixture(autouse=True)
async def no_open_day(billing: Client) -> None:
    """Closes the day that the test before left open."""
    async with billing.database.connection() as connection:
        await connection.execute(
            "UPDATE cash_day SET status = 'closed', counted = 0 WHERE status <> 'closed'"
        )


def usd(amount: int) -> dict[str, int]:
    return {"minor_units": amount}


async def test_day_is_found_by_its_id_or_as_the_one_that_is_not_closed(billing: Client) -> None:
    problem = await billing.refusal("GetCashDay")
    assert (problem.status, problem.code) == (404, "cash_day_unknown")
    problem = await billing.refusal("GetCashDay", cash_day_id=new_id())
    assert (problem.status, problem.code) == (404, "cash_day_unknown")
    day = await billing.do("OpenCashDay", desk="front", opening=usd(5))
    assert (day.status, day.opening.minor_units) == (pb.CASH_DAY_STATUS_OPEN, 5)
    assert await billing.do("GetCashDay") == day
    counted = await billing.do("CountCashDay", cash_day_id=day.cash_day_id, counted=usd(0))
    assert (counted.counted.minor_units, counted.difference.minor_units) == (0, -5)
    assert await billing.do("GetCashDay") == counted
    await billing.do("CloseCashDay", cash_day_id=day.cash_day_id)
    other = await billing.do("OpenCashDay", desk="back", opening=usd(0))
    closed = await billing.do("GetCashDay", cash_day_id=day.cash_day_id)
    assert (closed.status, closed.HasField("closed_at")) == (pb.CASH_DAY_STATUS_CLOSED, True)
    assert (await billing.do("GetCashDay")).cash_day_id == other.cash_day_id


async def test_closed_day_is_neither_counted_nor_closed_again(billing: Client) -> None:
    day = await billing.do("OpenCashDay", desk="front", opening=usd(0))
    fields = {"cash_day_id": day.cash_day_id}
    counted = await billing.do("CountCashDay", **fields, counted=usd(0))
    stale = await billing.refusal("CloseCashDay", **fields, expected_version=day.version)
    assert stale.code == "stale_version"
    await billing.do("CloseCashDay", **fields, expected_version=counted.version)
    assert (await billing.refusal("CountCashDay", **fields)).code == "cash_day_closed"
    assert (await billing.refusal("CloseCashDay", **fields)).code == "cash_day_not_counted"


@pytest.mark.parametrize(
    ("rpc", "code"), [("CountCashDay", "cash_day_closed"), ("CloseCashDay", "cash_day_not_counted")]
)
async def test_day_that_another_closes_meanwhile_is_waited_for(
    billing: Client, rpc: str, code: str
) -> None:
    day = await billing.do("OpenCashDay", desk="front", opening=usd(0))
    await billing.do("CountCashDay", cash_day_id=day.cash_day_id, counted=usd(0))
    async with billing.database.transaction() as connection:
        await connection.execute(
            "UPDATE cash_day SET status = 'closed', version = version + 1 WHERE cash_day_id = $1",
            day.cash_day_id,
        )
        task = asyncio.create_task(billing.do(rpc, cash_day_id=day.cash_day_id))
        await until_blocked(billing.database, [task])
    with pytest.raises(AioRpcError) as refused:
        await task
    assert problem_of_rpc(refused.value).code == code
