"""The relays against a real outbox: at least once, in order for a patient, none lost."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import asyncpg
import pytest

from apps.kit.delivery import KafkaDestination
from apps.kit.errors import Problem, Unavailable
from apps.kit.outbox import Entry
from apps.kit.relay import running
from apps.patient.relay.destinations import BILLING_BATCH, BillingDestination
from protos.billing.v1 import billing_pb2
from tests.patient.patient_service import FakeBilling, FakePublisher, open_service
from tests.patient.relay.outbox import WAIT_SECONDS, is_empty, put, relay_to, until

pytestmark = pytest.mark.integration


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
