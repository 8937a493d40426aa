"""Billing is killed at random under load: what was answered stands, what was
repeated stands once.
"""

import asyncio
import os
import random
import signal
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from apps.kit.context import new_id
from apps.kit.database import DatabaseSettings, open_database
from apps.kit.rpc import open_channel
from protos.billing.v1.billing_pb2_grpc import BillingStub
from tests.billing.conftest import Client, FakeVerifier
from tests.billing.separate_service import start
from tests.ports import free_port

pytestmark = pytest.mark.integration

KILLS = int(os.environ.get("BILLING_KILLS", "6"))
CLIENTS = 6
# Of a machine that does much else.
START_SECONDS = 180
AWAY = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED)


@pytest.fixture(scope="module")
def url(make_database: Any) -> Iterator[str]:
    with make_database("billing") as (runtime_url, _):
        yield runtime_url


async def insist(client: Client, rpc: str, **fields: Any) -> Any:
    """Calls with one request id until there is an answer, as a front desk that presses
    the button again.
    """
    fields = {"request_id": new_id(), **fields}
    while True:
        try:
            return await client.do(rpc, **fields)
        except grpc.aio.AioRpcError as error:
            if error.code() not in AWAY:
                raise
            await asyncio.sleep(0.05)


async def work(client: Client, done: asyncio.Event, seed: int) -> tuple[str, int]:
    """Bills and pays one account until `done`; what is due on it then."""
    chance = random.Random(seed)
    account = await insist(client, "CreateBillingAccount", patient_id=new_id())
    due = 0
    while not done.is_set():
        amount = chance.randint(1, 1_000)
        price = {"minor_units": amount}
        await insist(
            client, "AddChargeItem", account_id=account.account_id, code="c", unit_price=price
        )
        draft = await insist(client, "CreateInvoice", account_id=account.account_id)
        await insist(client, "IssueInvoice", invoice_id=draft.invoice_id)
        due += amount
        paid = chance.randint(1, 1_000)
        payment = await insist(
            client,
            "RecordPayment",
            account_id=account.account_id,
            amount={"minor_units": paid},
            method="PAYMENT_METHOD_CARD",
        )
        due -= paid
        if chance.random() < 0.3:
            await insist(
                client,
                "RefundPayment",
                payment_id=payment.payment_id,
                amount={"minor_units": 1},
                reason="r",
            )
            due += 1
    return account.account_id, due


async def test_nothing_is_lost_or_done_twice_however_often_billing_is_killed(url: str) -> None:
    port, done, chance = free_port(), asyncio.Event(), random.Random(1)
    process = await start(url, port)
    async with (
        open_database(DatabaseSettings(url)) as database,
        open_channel(f"127.0.0.1:{port}") as channel,
    ):
        client = Client(BillingStub(channel), channel, database, FakeVerifier())
        workers = [asyncio.create_task(work(client, done, seed)) for seed in range(CLIENTS)]
        try:
            for _ in range(KILLS):
                await asyncio.sleep(chance.uniform(0.2, 1.0))
                process.send_signal(signal.SIGKILL)
                await process.wait()
                process = await start(url, port)
            await asyncio.sleep(0.5)
            done.set()
            for account_id, due in await asyncio.gather(*workers):
                assert await client.due(account_id) == due
            assert await client.differences() == []
        finally:
            for worker in workers:
                worker.cancel()
            if process.returncode is None:
                process.kill()
                await process.wait()
