"""The relays against a real outbox: at least once, in order for a patient, none lost."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from typing import Any

import asyncpg
import pytest

from apps.kit.context import new_id
from apps.kit.delivery import Delivery, KafkaDestination
from apps.kit.errors import ContentTooLarge, NotFound, Problem, Unavailable, Unprocessable
from apps.kit.outbox import Entry
from apps.kit.relay import Relay, connect_to, running
from apps.patient.operate import HANDLERS
from apps.patient.relay.destinations import BILLING_BATCH, BillingDestination, opening_of
from protos.billing.v1 import billing_pb2
from tests.patient.patient_service import (
    FakeBilling,
    FakePublisher,
    make_settings,
    open_service,
    run_sql,
)

pytestmark = pytest.mark.integration

WAIT_SECONDS = 15.0


@pytest.fixture(scope="module")
def database(make_database: Any) -> Iterator[str]:
    """One of its own: elsewhere a running service leads."""
    with make_database("patient") as (runtime_url, _):
        yield runtime_url


@pytest.fixture
async def connection(database: str) -> Any:
    connection = await asyncpg.connect(database)
    await connection.execute("DELETE FROM outbox")
    yield connection
    await connection.execute("DELETE FROM outbox")
    await connection.close()


async def put(connection: Any, destination: str, patient_id: str, size: int = 0) -> str:
    event_id = new_id()
    request = billing_pb2.CreateBillingAccountRequest(request_id=event_id, patient_id=patient_id)
    await connection.execute(
        """
        INSERT INTO outbox (destination, patient_id, event_id, payload, request_id, traceparent)
        VALUES ($1, $2, $3, $4, 'r', '')""",
        destination,
        patient_id,
        event_id,
        request.SerializeToString() + b"\x00" * size,
    )
    return event_id


async def until(condition: Any) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            value = condition()
            if asyncio.iscoroutine(value):
                value = await value
            if value:
                return
            await asyncio.sleep(0.01)


def relay_to(destination: Any, database: str) -> Relay:
    return Relay(destination, connect_to(make_settings(database).database))


async def is_empty(connection: Any) -> bool:
    return not await connection.fetchval("SELECT count(*) FROM outbox")


async def test_account_is_opened_after_billing_was_away(database: str, connection: Any) -> None:
    event_id = await put(connection, "billing", "p1")
    billing = FakeBilling(fails_times=3)
    relay = relay_to(BillingDestination(billing), database)
    async with running([relay]):
        await until(lambda: billing.requests)
        await until(lambda: is_empty(connection))
        await until(lambda: not relay.away)
    assert [(request.request_id, request.patient_id) for request in billing.requests] == [
        (event_id, "p1")
    ]
    assert billing.calls == 4


async def test_relay_says_why_its_destination_is_away(database: str, connection: Any) -> None:
    await put(connection, "billing", "p1")
    billing = FakeBilling(fails_times=10**6)
    relay = relay_to(BillingDestination(billing), database)
    async with running([relay]):
        await until(lambda: relay.away)
        assert relay.away == "503 billing_unavailable"
        # It waits longer each time: nobody helps a service up by knocking on its door.
        calls = billing.calls
        await asyncio.sleep(0.5)
        assert billing.calls - calls <= 4
        billing.fails_times = 0
        await until(lambda: not relay.away)
        await until(lambda: is_empty(connection))


async def test_batches_that_arrived_before_the_destination_went_away_are_not_sent_again(
    database: str, connection: Any
) -> None:
    class Leaving(FakeBilling):
        async def create_accounts(self, entries: Sequence[Entry]) -> list[Problem | None]:
            if self.requests and self.fails_times > 0:
                self.fails_times -= 1
                raise Unavailable("billing_unavailable")
            return await super().create_accounts(entries)

        async def create_account(self, payload: bytes) -> None:
            self.requests.append(billing_pb2.CreateBillingAccountRequest.FromString(payload))

    billing = Leaving(fails_times=1)
    patients = [f"p{number}" for number in range(BILLING_BATCH * 2 + 1)]
    async with connection.transaction():
        for patient in patients:
            await put(connection, "billing", patient)
    async with running([relay_to(BillingDestination(billing), database)]):
        await until(lambda: is_empty(connection))
    assert billing.patients() == patients


async def test_of_a_batch_whose_answer_was_lost_all_are_asked_for_again_under_the_same_ids(
    database: str, connection: Any
) -> None:
    class Mute(FakeBilling):
        async def create_accounts(self, entries: Sequence[Entry]) -> list[Problem | None]:
            outcomes = await super().create_accounts(entries)
            self.calls += 1
            if self.calls == 1:
                raise Unavailable("deadline_exceeded")
            return outcomes

        async def create_account(self, payload: bytes) -> None:
            self.requests.append(billing_pb2.CreateBillingAccountRequest.FromString(payload))

    billing = Mute()
    async with connection.transaction():
        ids = [await put(connection, "billing", patient) for patient in ("p1", "p2")]
    async with running([relay_to(BillingDestination(billing), database)]):
        await until(lambda: is_empty(connection))
    assert [request.request_id for request in billing.requests] == ids * 2


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


async def test_events_of_a_patient_stay_in_order_when_the_broker_comes_and_goes(
    database: str, connection: Any
) -> None:
    class Flaky(FakePublisher):
        async def publish(self, messages: Any) -> None:
            # Half arrives, and then it cannot be said what did.
            if self.fails_times > 0:
                self.fails_times -= 1
                self.messages.extend(messages[: len(messages) // 2])
                raise Unavailable("broker_unavailable")
            await super().publish(messages)

    put_in = [await put(connection, "kafka", patient) for patient in ("a", "b") * 20]
    publisher = Flaky(fails_times=2)
    async with running([relay_to(KafkaDestination(publisher, "patient"), database)]):
        await until(lambda: is_empty(connection))
    arrived = [dict(message.headers)["event-id"].decode() for message in publisher.messages]
    assert list(dict.fromkeys(arrived)) == put_in
    assert {message.key for message in publisher.messages} == {b"a", b"b"}


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


async def test_one_relay_leads_and_another_takes_over(database: str, connection: Any) -> None:
    first, second = FakeBilling(), FakeBilling()
    await put(connection, "billing", "p1")
    async with running([relay_to(BillingDestination(second), database)]):
        await until(lambda: second.requests)
        async with running([relay_to(BillingDestination(first), database)]):
            for number in range(5):
                await put(connection, "billing", f"q{number}")
            await until(lambda: len(second.requests) == 6)
            assert not first.requests
        leader = """
            SELECT pid FROM pg_locks JOIN pg_database d ON d.oid = database
            WHERE locktype = 'advisory' AND granted AND datname = current_database()"""
        old = await connection.fetchval(leader)
        # Its session is ended: the lead goes with it, and is taken again.
        await connection.execute("SELECT pg_terminate_backend($1)", old)
        await put(connection, "billing", "after")
        await until(lambda: "after" in second.patients())
        assert await connection.fetchval(leader) != old


async def test_row_that_commits_late_is_sent(database: str, connection: Any) -> None:
    publisher = FakePublisher()
    late = await asyncpg.connect(database)
    transaction = late.transaction()
    await transaction.start()
    await put(late, "kafka", "late")
    async with running([relay_to(KafkaDestination(publisher, "patient"), database)]):
        await put(connection, "kafka", "early")
        await until(lambda: publisher.messages)
        await transaction.commit()
        await until(lambda: len(publisher.messages) == 2)
    await late.close()
    assert [message.key for message in publisher.messages] == [b"early", b"late"]


def test_registering_does_not_need_billing_or_the_broker(database: str) -> None:
    billing, publisher = FakeBilling(fails_times=10**6), FakePublisher(fails_times=10**6)
    with open_service(database, billing, publisher) as service:
        id = service.register()
        end = time.monotonic() + WAIT_SECONDS
        while set(service.readiness()["degraded"]) != {"billing", "kafka"}:
            assert time.monotonic() < end
        billing.fails_times = publisher.fails_times = 0
        while service.readiness()["degraded"]:
            assert time.monotonic() < end
        assert billing.patients() == [id]
        assert [event.patient_id for event in publisher.events(id)] == [id]


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


async def test_rows_that_were_sent_do_not_fill_the_table(
    database: str, connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.kit.relay.VACUUM_ROWS", 200)
    monkeypatch.setattr("apps.kit.relay.GATHER_SECONDS", 0.0)
    before = await connection.fetchval("SELECT pg_relation_size('outbox')")
    relay = relay_to(KafkaDestination(FakePublisher(), "patient"), database)
    async with running([relay]):
        for _ in range(10):
            async with connection.transaction():
                for number in range(200):
                    await put(connection, "kafka", f"p{number}", size=500)
            await until(lambda: is_empty(connection))
    grown = await connection.fetchval("SELECT pg_relation_size('outbox')") - before
    # Ten times 200 rows lay there, one after another: there is room for a few hundred.
    assert grown < 2_000 * 500 / 2
