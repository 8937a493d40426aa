"""Any order, repetition and interleaving of events: the figures agree with a model
of a few lines.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, rule, run_state_machine_as_test

from apps.analytics.events.billing import parse_billing_event
from apps.analytics.events.patient import parse_event
from apps.analytics.figures.storage import apply_events, delete_figures
from apps.analytics.reports.money import select_aging, select_money
from apps.analytics.reports.parameters import Period
from apps.kit.context import new_id
from apps.kit.database import Database, DatabaseSettings, open_database
from apps.kit.event_batch import Source, apply_batch, read_batch
from apps.kit.event_storage import ensure_offsets, reset_offsets
from protos.billing.v1 import events_pb2 as billing_pb
from protos.patient.v1 import events_pb2 as pb
from tests.analytics.billing_events import charge, invoice, payment
from tests.analytics.conftest import clinical_event, patient_event

pytestmark = pytest.mark.integration

MAX_EXAMPLES = 25
STEPS = 25
PARTITIONS = 2
TOPICS = ("patient", "billing")
SOURCES = {
    "patient": Source(topic="patient", dead_letters="dlq", parse=parse_event),
    "billing": Source(topic="billing", dead_letters="dlq", parse=parse_billing_event),
}
FIRST_DAY = date(2026, 3, 1)
days = st.integers(0, 5)
ALWAYS = Period(interval="day", timezone="UTC", start=None, end=None)


@dataclass(frozen=True)
class Record:
    topic: str
    partition: int
    offset: int
    value: bytes
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


@pytest.fixture(scope="module")
def url(make_database: Any) -> Iterator[str]:
    with make_database("analytics") as (runtime_url, _):
        yield runtime_url


def day_of(number: int) -> str:
    return (FIRST_DAY + timedelta(days=number)).isoformat()


class Figures(RuleBasedStateMachine):
    """What was told, each thing once; whether and when it was read makes no
    difference in the end.
    """

    run: Callable[[Coroutine[Any, Any, Any]], Any]
    database: Database

    told = Bundle("told")

    def __init__(self) -> None:
        super().__init__()
        self.logs: dict[tuple[str, int], list[bytes]] = {
            (topic, number): [] for topic in TOPICS for number in range(PARTITIONS)
        }
        self.read: Counter[tuple[str, int]] = Counter()
        self.registered = 0
        # Id -> (version, deleted).
        self.patients: dict[str, tuple[int, bool]] = {}
        self.facts: dict[str, tuple[int, bool]] = {}
        # Id -> (day, net, voided).
        self.charges: dict[str, tuple[int, int, bool]] = {}
        # Id -> its versions' day and open amount.
        self.invoices: dict[str, list[tuple[int, int]]] = {}
        # (day, what is paid, what is refunded)
        self.payments: list[tuple[int, int, int]] = []
        self.run(self.begin())

    async def begin(self) -> None:
        async with self.database.transaction() as connection:
            await ensure_offsets(connection, self.logs)
            await reset_offsets(connection, TOPICS)
            await delete_figures(connection)

    def tell(self, event: pb.PatientEvent | billing_pb.BillingEvent, at: int) -> Any:
        topic = "patient" if isinstance(event, pb.PatientEvent) else "billing"
        message = (topic, event.SerializeToString())
        self.logs[topic, at % PARTITIONS].append(message[1])
        return message

    @rule(target=told, at=st.integers(0, 9), day=days)
    def register(self, at: int, day: int) -> Any:
        id = new_id()
        self.patients[id] = (1, False)
        self.registered += 1
        return self.tell(patient_event(patient_id=id), at)

    @rule(target=told, at=st.integers(0, 9), data=st.data(), deleted=st.booleans())
    def change_patient(self, at: int, data: st.DataObject, deleted: bool) -> Any:
        if not self.patients:
            return self.register(at, 0)
        id = data.draw(st.sampled_from(sorted(self.patients)))
        version = self.patients[id][0] + 1
        self.patients[id] = (version, deleted)
        kind = "patient.deleted" if deleted else "patient.updated"
        return self.tell(patient_event(kind, patient_id=id, version_id=version), at)

    @rule(target=told, at=st.integers(0, 9), data=st.data(), deleted=st.booleans())
    def tell_a_fact(self, at: int, data: st.DataObject, deleted: bool) -> Any:
        id = data.draw(st.sampled_from([*sorted(self.facts), new_id()]))
        version = self.facts.get(id, (0, False))[0] + 1
        self.facts[id] = (version, deleted)
        kind = "clinical.deleted" if deleted else "clinical.recorded"
        return self.tell(clinical_event(kind, resource_id=id, version_id=version), at)

    @rule(target=told, at=st.integers(0, 9), day=days, net=st.integers(0, 10_000))
    def add_charge(self, at: int, day: int, net: int) -> Any:
        id = new_id()
        self.charges[id] = (day, net, False)
        return self.tell(charge("charge.added", day_of(day), id, net), at)

    @rule(target=told, at=st.integers(0, 9), data=st.data())
    def void_charge(self, at: int, data: st.DataObject) -> Any:
        if not self.charges:
            return self.add_charge(at, 0, 0)
        id = data.draw(st.sampled_from(sorted(self.charges)))
        day, net, _ = self.charges[id]
        self.charges[id] = (day, net, True)
        return self.tell(charge("charge.voided", day_of(day), id, net), at)

    @rule(target=told, at=st.integers(0, 9), day=days, total=st.integers(1, 10_000))
    def issue(self, at: int, day: int, total: int) -> Any:
        id = new_id()
        self.invoices[id] = [(day, total)]
        groups = {"visits": (total, 0)}
        return self.tell(
            invoice("invoice.issued", day_of(day), id, 1, open=total, total=total, groups=groups),
            at,
        )

    @rule(target=told, at=st.integers(0, 9), data=st.data())
    def settle(self, at: int, data: st.DataObject) -> Any:
        if not self.invoices:
            return self.issue(at, 0, 1)
        id = data.draw(st.sampled_from(sorted(self.invoices)))
        day, open = self.invoices[id][-1]
        left = data.draw(st.integers(0, open))
        later = data.draw(st.integers(day, 6))
        self.invoices[id].append((later, left))
        version = len(self.invoices[id])
        total = self.invoices[id][0][1]
        return self.tell(
            invoice("invoice.paid", day_of(later), id, version, open=left, total=total), at
        )

    @rule(
        target=told, at=st.integers(0, 9), day=days, amount=st.integers(1, 500), back=st.booleans()
    )
    def pay(self, at: int, day: int, amount: int, back: bool) -> Any:
        self.payments.append((day, 0, amount) if back else (day, amount, 0))
        refund = new_id() if back else ""
        return self.tell(payment(day_of(day), new_id(), amount, refund=refund), at)

    @rule(message=told, at=st.integers(0, 9))
    def repeat(self, message: Any, at: int) -> None:
        """The same event once more, perhaps in another partition and after newer ones."""
        topic, value = message
        self.logs[topic, at % PARTITIONS].append(value)

    @rule(
        topic=st.sampled_from(TOPICS),
        partition=st.integers(0, PARTITIONS - 1),
        count=st.integers(1, 5),
    )
    def read_on(self, topic: str, partition: int, count: int) -> None:
        place = (topic, partition)
        begin = self.read[place]
        values = self.logs[place][begin : begin + count]
        if values:
            records = [Record(*place, begin + index, value) for index, value in enumerate(values)]
            self.run(self.take(records, place, begin))
            self.read[place] += len(values)

    async def take(self, records: list[Record], place: tuple[str, int], begin: int) -> None:
        batch = read_batch(SOURCES, {place: begin}, records)
        assert not batch.unreadable
        async with self.database.transaction() as connection:
            await apply_batch(
                connection,
                batch,
                apply_events,
                sources=SOURCES,
                publisher=None,  # type: ignore[arg-type]
            )

    def teardown(self) -> None:
        for topic, partition in self.logs:
            self.read_on(topic, partition, 1_000)
        self.run(self.compare())

    async def compare(self) -> None:
        async with self.database.connection() as connection:
            registered = await connection.fetchval("SELECT sum(count) FROM registration")
            assert (registered or 0) == self.registered
            for table, model in (("patient", self.patients), ("fact", self.facts)):
                living = await connection.fetchval(
                    f"SELECT count(*) FROM {table} WHERE NOT deleted"  # noqa: S608
                )
                assert living == sum(not deleted for _, deleted in model.values())
            points = await select_money(connection, ALWAYS)
            found = {
                (point.start.date(), name): getattr(point, name)
                for point in points
                for name in ("charged", "invoiced", "paid", "refunded")
                if getattr(point, name)
            }
            assert found == self.expected_money()
            for day in range(7):
                on = FIRST_DAY + timedelta(days=day)
                ages = await select_aging(connection, on, "UTC")
                assert sum(age.amount for age in ages) == self.open_on(day)

    def expected_money(self) -> dict[tuple[date, str], int]:
        sums: Counter[tuple[date, str]] = Counter()

        def add(day: int, name: str, amount: int) -> None:
            sums[datetime.fromisoformat(day_of(day)).replace(tzinfo=UTC).date(), name] += amount

        for day, net, voided in self.charges.values():
            add(day, "charged", 0 if voided else net)
        for versions in self.invoices.values():
            add(versions[0][0], "invoiced", versions[0][1])
        for day, paid, refunded in self.payments:
            add(day, "paid", paid)
            add(day, "refunded", refunded)
        return {key: amount for key, amount in sums.items() if amount}

    def open_on(self, day: int) -> int:
        opens = []
        for versions in self.invoices.values():
            known = [open for at, open in versions if at <= day]
            opens.append(known[-1] if known else 0)
        return sum(opens)


def test_any_order_repetition_and_interleaving_comes_to_the_same_figures(url: str) -> None:
    with asyncio.Runner() as runner:
        opened = open_database(DatabaseSettings(url))
        database = runner.run(opened.__aenter__())
        values = {"run": staticmethod(runner.run), "database": database}
        try:
            run_state_machine_as_test(
                type("Machine", (Figures,), values),
                settings=settings(
                    max_examples=MAX_EXAMPLES,
                    stateful_step_count=STEPS,
                    deadline=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            runner.run(opened.__aexit__(None, None, None))
