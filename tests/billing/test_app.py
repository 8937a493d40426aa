"""Billing with all that runs beside its calls, on a real PostgreSQL and Kafka: what it follows,
tells and checks.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import asyncpg
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from grpc.aio import AioRpcError

from apps.billing.app import run_books
from apps.billing.operate import HANDLERS
from apps.billing.settings import Settings
from apps.kit.broker import BrokerSettings, Message, Producer, open_producer
from apps.kit.context import new_id
from apps.kit.database import DatabaseSettings, open_database
from protos.patient.v1 import events_pb2 as events
from tests.billing.charges.events import charges_of, fact, patient_event, price
from tests.billing.conftest import ENVIRONMENT, Client, open_client

pytestmark = pytest.mark.integration

WAIT_SECONDS = 30.0


@dataclass
class Running:
    """Billing that runs: its settings, its calls, and its database's owner."""

    settings: Settings
    client: Client
    producer: Producer
    owner_url: str

    async def publish(self, *given: events.PatientEvent | bytes) -> None:
        await self.producer.publish(
            [
                Message(self.settings.patient_topic, b"key", event)
                if isinstance(event, bytes)
                else Message(
                    self.settings.patient_topic,
                    event.patient_id.encode(),
                    event.SerializeToString(),
                )
                for event in given
            ]
        )

    async def differences(self, *but: str) -> list[tuple[Any, Any]]:
        """What the operator's verb names, but for the seals, which may be a minute behind."""
        answer: Any = await HANDLERS["reconcile"](self.settings, {})
        return [(row["code"], row["subject"]) for row in answer if row["code"] not in but]

    async def plant(self, *statements: str) -> None:
        """Changes the books past triggers and privileges."""
        owner = await asyncpg.connect(self.owner_url)
        try:
            async with owner.transaction():
                await owner.execute("SET LOCAL billing.migrating = 'on'")
                for statement in statements:
                    await owner.execute(statement)
        finally:
            await owner.close()


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while not await condition():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


@pytest.fixture
def urls(make_database: Any) -> Iterator[tuple[str, str]]:
    with make_database("billing") as found:
        yield found


@pytest.fixture
async def billing(
    urls: tuple[str, str], kafka: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Running]:
    monkeypatch.setattr("apps.kit.lag.MEASURE_PERIOD_SECONDS", 0.2)
    name = f"test-{new_id()}"
    settings = replace(
        Settings.from_environment(ENVIRONMENT),
        environment="dev",
        log_format="json",
        database=DatabaseSettings(urls[0]),
        broker=BrokerSettings(kafka),
        patient_topic=name,
        dead_letter_topic=f"{name}.dlq",
        billing_topic=f"{name}.billing",
        consumer_group=name,
    )
    topics = [settings.patient_topic, settings.dead_letter_topic, settings.billing_topic]
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, 2, 1) for topic in topics])
        async with (
            open_database(settings.database) as database,
            open_producer(settings.broker) as producer,
            run_books(settings, database, producer) as running,
        ):
            async for client in open_client(urls[0], running.topics):
                yield Running(settings, client, producer, urls[1])
        await admin.delete_topics(topics)
    finally:
        await admin.close()


async def fill(billing: Running, code: str) -> Sequence[str]:
    """Three patients with two services each; one of them is billed and has paid."""
    await price(billing.client, code, 1_000)
    patients = [new_id() for _ in range(3)]
    for patient_id in patients:
        await billing.client.account(patient_id)
        await billing.publish(
            patient_event(patient_id, "patient.created"),
            fact(patient_id, f"{patient_id}-1", code=code),
            fact(patient_id, f"{patient_id}-2", code=code),
        )

    async def are_charged() -> bool:
        charges = [await charges_of(billing.client, patient_id) for patient_id in patients]
        return sum(map(len, charges)) == 2 * len(patients)

    await until(are_charged)
    account = await billing.client.do("GetAccountByPatient", patient_id=patients[0])
    draft = await billing.client.do("CreateInvoice", account_id=account.account_id)
    await billing.client.do("IssueInvoice", invoice_id=draft.invoice_id)
    payment = await billing.client.pay(account.account_id, 500)
    await billing.client.do(
        "RefundPayment", payment_id=payment.payment_id, amount={"minor_units": 100}, reason="r"
    )
    return patients


async def operate(billing: Running, verb: str, **values: Any) -> Any:
    return await HANDLERS[f"dead-letters {verb}"](billing.settings, values)


async def test_dead_letter_becomes_a_metric_of_billing(
    billing: Running, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "apps.kit.lag"):
        await billing.publish(b"\xff\xff")

        async def is_told() -> bool:
            return any(getattr(one, "NewDeadLetters", 0) == 1 for one in caplog.records)

        await until(is_told)
    (letter,) = await operate(billing, "list")
    assert (letter["reason"], letter["resolution"]) == ("not_protobuf", "")
    shown = await operate(billing, "show", id=letter["id"])
    assert shown["event"] == {"unreadable": "//8="}
    assert await operate(billing, "discard", ids=[letter["id"]]) == {"discarded": 1}
    assert await operate(billing, "list") == []
    (record,) = [one for one in caplog.records if getattr(one, "NewDeadLetters", 0) == 1][:1]
    assert (record.Environment, record.ConsumerGroup) == (  # type: ignore[attr-defined]
        "dev",
        billing.settings.consumer_group,
    )


async def test_operators_see_the_lag_and_settle_what_could_not_be_read(billing: Running) -> None:
    patient_id = new_id()
    await billing.publish(patient_event(patient_id, "patient.created"), b"\xff\xff")

    async def is_read() -> bool:
        try:
            lag = await billing.client.do("GetConsumerLag", "operator")
        except AioRpcError as error:
            # The consumer has not joined its group yet.
            if error.details() == "broker_unavailable":
                return False
            raise
        return (lag.lag, lag.dead_letters) == (0, 1)

    await until(is_read)
    (letter,) = (await billing.client.do("ListDeadLetters", "operator")).dead_letters
    id = letter.dead_letter_id
    assert (letter.topic, letter.reason) == (billing.settings.patient_topic, "not_protobuf")
    record = await billing.client.do("GetDeadLetter", "operator", dead_letter_id=id)
    assert (record.key, record.value) == ("key", b"\xff\xff")

    request_id = new_id()
    for _ in range(2):
        # Repeated, it gives the first answer, and sends nothing more.
        sent = await billing.client.do(
            "RedriveDeadLetter", "operator", dead_letter_id=id, request_id=request_id
        )
        assert sent.resolution == "redriven"
    # It cannot be read this time either: that is another letter.
    await until(is_read)
    assert await operate(billing, "list") != []
    (again,) = (await billing.client.do("ListDeadLetters", "operator")).dead_letters
    assert again.dead_letter_id != id
    (partition,) = [
        one
        for one in (await billing.client.do("GetConsumerLag", "operator")).partitions
        if one.end_offset > 1
    ]
    assert (partition.next_offset, partition.lag) == (partition.end_offset, 0)
    discarded = await billing.client.do(
        "DiscardDeadLetter", "operator", dead_letter_id=again.dead_letter_id, reason="by a test"
    )
    assert (discarded.resolution, discarded.note) == ("discarded", "by a test")
    assert list((await billing.client.do("ListDeadLetters", "operator")).dead_letters) == []
    lag: Any = await HANDLERS["figures lag"](billing.settings, {})
    assert {row["waiting"] for row in lag} == {0}
    async with billing.client.database.connection() as connection:
        found = await connection.fetch(
            "SELECT action, document_id, subject FROM audit WHERE action LIKE 'dead_letter%' ORDER "
            "BY audit_id"
        )
    assert [tuple(row) for row in found] == [
        ("dead_letter_redriven", id, "user-9"),
        ("dead_letter_discarded", again.dead_letter_id, "user-9"),
    ]


async def test_settled_and_unknown_letters_are_refused_and_so_is_everybody_else(
    billing: Running,
) -> None:
    await billing.publish(b"\xff")

    async def is_listed() -> bool:
        return bool((await billing.client.do("ListDeadLetters", "operator")).dead_letters)

    await until(is_listed)
    (letter,) = (await billing.client.do("ListDeadLetters", "operator")).dead_letters
    id = letter.dead_letter_id
    problem = await billing.client.refusal("DiscardDeadLetter", "operator", dead_letter_id=id)
    assert (problem.status, problem.faults[0].pointer) == (400, "reason")
    await billing.client.do("DiscardDeadLetter", "operator", dead_letter_id=id, reason="r")
    for rpc in ("RedriveDeadLetter", "DiscardDeadLetter"):
        fields = {"reason": "r"} if rpc == "DiscardDeadLetter" else {}
        for bad, status in ((id, 409), (f"{id}1", 404), ("x", 400), ("", 400)):
            refused = await billing.client.refusal(rpc, "operator", dead_letter_id=bad, **fields)
            assert refused.status == status, (rpc, bad)
        refused = await billing.client.refusal(rpc, "manager", dead_letter_id=id, **fields)
        assert refused.status == 403
    for rpc in ("ListDeadLetters", "GetConsumerLag"):
        assert (await billing.client.refusal(rpc, "manager")).status == 403


async def test_reconciler_finds_nothing_in_sound_books_and_every_planted_fault(
    billing: Running,
) -> None:
    patients = await fill(billing, new_id())
    assert await billing.differences() == []

    # A charge that is lost, and one that was charged though the record took it back.
    lost = f"Procedure/{patients[1]}-1"
    await billing.plant(
        f"DELETE FROM charge_item WHERE source_id = '{patients[1]}-1'",  # noqa: S608
        f"UPDATE charge_item SET source_id = 'nowhere' WHERE source_id = '{patients[1]}-2'",  # noqa: S608
    )
    assert await billing.differences() == [
        ("charge_missing", lost),
        ("charge_missing", f"Procedure/{patients[1]}-2"),
        ("charge_unexpected", "Procedure/nowhere"),
    ]
    await billing.plant(
        f"UPDATE charge_item SET source_id = '{patients[1]}-2' WHERE source_id = 'nowhere'"  # noqa: S608
    )

    # An account that is lost, and an entry that was altered.
    await billing.plant(
        "DELETE FROM charge_item WHERE account_id ="  # noqa: S608
        f" (SELECT account_id FROM account WHERE patient_id = '{patients[2]}')",
        "ALTER TABLE audit DROP CONSTRAINT audit_account_id_fkey",
        f"DELETE FROM account WHERE patient_id = '{patients[2]}'",  # noqa: S608
        "UPDATE ledger_entry SET amount = amount + 1"
        " WHERE line = 1 AND transaction_id = (SELECT min(transaction_id::text)::uuid FROM "
        "ledger_transaction)",
    )
    codes = [code for code, _ in await billing.differences()]
    assert {"account_missing", "transaction_unbalanced", "balance_mismatch"} <= set(codes)
    assert codes.count("charge_missing") == 3


async def test_reconciler_finds_what_billing_did_not_tell(billing: Running) -> None:
    await fill(billing, new_id())

    async def is_sent() -> bool:
        async with billing.client.database.connection() as connection:
            return not await connection.fetchval("SELECT count(*) FROM outbox")

    await until(is_sent)
    account_id = await billing.client.account()
    charge = await billing.client.charge(account_id, 100)
    await until(is_sent)
    assert await billing.differences() == []
    # The same again under another id, past the outbox.
    await billing.plant(
        "UPDATE charge_item SET charge_item_id = gen_random_uuid()"  # noqa: S608
        f" WHERE charge_item_id = '{charge.charge_item_id}'"
    )
    ((code, subject),) = await billing.differences()
    assert (code, subject.split()[0]) == ("event_missing", "charge.added")
