"""Rows that a destination refuses are parked, hold up their own patient only, and are shown."""

import time
from collections.abc import Sequence
from typing import Any

import pytest

from apps.kit.delivery import Delivery, KafkaDestination
from apps.kit.errors import ContentTooLarge, NotFound, Problem, Unprocessable
from apps.kit.outbox import Entry
from apps.kit.relay import running
from apps.patient.operate import HANDLERS
from apps.patient.relay.destinations import BillingDestination, opening_of
from protos.billing.v1 import billing_pb2
from tests.patient.patient_service import (
    FakeBilling,
    FakePublisher,
    make_settings,
    open_service,
    run_sql,
)
from tests.patient.relay.outbox import WAIT_SECONDS, is_empty, put, relay_to, until

pytestmark = pytest.mark.integration


async def test_refused_row_is_parked_and_holds_up_its_own_patient_only(
    database: str, connection: Any
) -> None:
    class Picky(FakeBilling):
        async def create_account(self, payload: bytes) -> None:
            if (
                refusing
                and billing_pb2.CreateBillingAccountRequest.FromString(payload).patient_id == "bad"
            ):
                raise Unprocessable("patient_not_acceptable")
            await super().create_account(payload)

    refusing = True
    billing = Picky()
    for patient in ("bad", "good", "bad", "fine"):
        await put(connection, "billing", patient)
    settings = make_settings(database)
    async with running([relay_to(BillingDestination(billing), database)]):
        await until(lambda: set(billing.patients()) >= {"good", "fine"})
        await until(lambda: connection.fetchval("SELECT bool_or(parked) FROM outbox"))
        waiting = await connection.fetch("SELECT patient_id FROM outbox")
        assert {row["patient_id"] for row in waiting} == {"bad"}
        listed: Any = await HANDLERS["outbox list"](settings, {})
        row = listed[0]
        assert (row["patient"], row["reason"]) == ("bad", "422 patient_not_acceptable")
        shown: Any = await HANDLERS["outbox show"](settings, {"id": str(row["id"])})
        assert shown["event"]["patient_id"] == "bad"
        refusing = False
        again: Any = await HANDLERS["outbox retry"](settings, {"all": True})
        assert again == {"sent again": len(listed)}
        await until(lambda: is_empty(connection))
    assert billing.patients().count("bad") == 2


async def test_fault_of_one_row_does_not_hold_up_the_others(database: str, connection: Any) -> None:
    class Stumbling(FakeBilling):
        async def create_account(self, payload: bytes) -> None:
            if (
                billing_pb2.CreateBillingAccountRequest.FromString(payload).patient_id == "odd"
                and self.calls < 3
            ):
                self.calls += 1
                raise Problem("internal_error")
            await super().create_account(payload)

    billing = Stumbling()
    for patient in ("odd", "p1", "p2"):
        await put(connection, "billing", patient)
    async with running([relay_to(BillingDestination(billing), database)]):
        await until(lambda: len(billing.requests) == 3)
        await until(lambda: is_empty(connection))
    assert sorted(billing.patients()[:2]) == ["p1", "p2"]


async def test_event_that_the_broker_does_not_take_is_parked(
    database: str, connection: Any
) -> None:
    class Small(FakePublisher):
        async def publish(self, messages: Any) -> None:
            if any(len(message.value) > 1000 for message in messages):
                raise ContentTooLarge("message_too_large")
            await super().publish(messages)

    publisher = Small()
    for patient, size in (("a", 0), ("b", 2000), ("b", 0), ("c", 0)):
        await put(connection, "kafka", patient, size)
    async with running([relay_to(KafkaDestination(publisher, "patient"), database)]):
        await until(lambda: connection.fetchval("SELECT bool_or(parked) FROM outbox"))
        await until(lambda: len(publisher.messages) == 2)
    assert [message.key for message in publisher.messages] == [b"a", b"c"]
    assert await connection.fetchval("SELECT count(*) FROM outbox") == 2


def test_parked_row_shows_in_readiness(database: str) -> None:
    with open_service(database, FakeBilling(1, Unprocessable("no"))) as service:
        service.register()
        end = time.monotonic() + WAIT_SECONDS
        while service.readiness()["degraded"] != ["outbox_billing_parked"]:
            assert time.monotonic() < end
        assert service.readiness()["failed"] == []
    run_sql(database, "DELETE FROM outbox")


async def test_row_that_cannot_be_read_is_parked_and_holds_up_its_own_patient_only(
    database: str, connection: Any
) -> None:
    await put(connection, "billing", "poisoned", size=1)
    await put(connection, "billing", "poisoned")
    await put(connection, "billing", "well")
    sent: list[str] = []

    class Stub:
        async def create_accounts(self, entries: Sequence[Entry]) -> list[Problem | None]:
            openings = [opening_of(entry) for entry in entries]
            sent.extend(opening.request.patient_id for opening in openings)
            return [None] * len(entries)

    async with running([relay_to(BillingDestination(Stub()), database)]):
        await until(lambda: connection.fetchval("SELECT bool_or(parked) FROM outbox"))
        await until(lambda: sent)
    assert sent == ["well"]
    rows = await connection.fetch("SELECT patient_id, parked, reason FROM outbox ORDER BY id")
    assert [tuple(row) for row in rows] == [
        ("poisoned", True, "422 payload_unreadable"),
        ("poisoned", False, None),
    ]


async def test_destination_that_raises_for_one_row_still_takes_the_others(
    database: str, connection: Any
) -> None:
    await put(connection, "billing", "odd")
    await put(connection, "billing", "odd")
    await put(connection, "billing", "even")
    sent: list[str] = []

    class Raising:
        name = "billing"

        async def send(self, entries: Sequence[Entry]) -> Delivery:
            if any(entry.patient_id == "odd" for entry in entries):
                raise ValueError("a fault of the code, not of the network")
            sent.extend(entry.patient_id for entry in entries)
            return Delivery(sent=[entry.id for entry in entries])

    async with running([relay_to(Raising(), database)]):
        await until(lambda: sent)
        await until(lambda: connection.fetchval("SELECT max(attempts) > 1 FROM outbox"))
    assert sent == ["even"]
    assert await connection.fetchval("SELECT count(*) FROM outbox WHERE patient_id = 'odd'") == 2


async def test_discarded_row_is_gone_and_the_next_of_its_patient_is_sent(
    database: str, connection: Any
) -> None:
    billing = FakeBilling()
    parked = await put(connection, "billing", "bad")
    await connection.execute("UPDATE outbox SET parked = true, reason = 'x', payload = '\\xff'")
    await put(connection, "billing", "bad")
    settings = make_settings(database)
    listed: Any = await HANDLERS["outbox list"](settings, {})
    id = str(listed[0]["id"])
    shown: Any = await HANDLERS["outbox show"](settings, {"id": id})
    assert (shown["event_id"], shown["event"]["bytes"]) == (parked, "ff")
    # What waits to be sent is not an operator's to delete.
    waiting = await connection.fetchval("SELECT id FROM outbox WHERE NOT parked")
    discarded = await HANDLERS["outbox discard"](settings, {"ids": [id, str(waiting)]})
    assert discarded == {"discarded": 1}
    async with running([relay_to(BillingDestination(billing), database)]):
        await until(lambda: is_empty(connection))
    assert billing.patients() == ["bad"]


async def test_row_that_is_not_there_is_not_found(database: str, connection: Any) -> None:
    with pytest.raises(NotFound):
        await HANDLERS["outbox show"](make_settings(database), {"id": "7"})
