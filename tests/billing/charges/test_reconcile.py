"""What the checker names of accounts, charges and events, and no more than it may."""

from collections.abc import AsyncIterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from apps.billing.charges import reconcile
from apps.billing.charges.reconcile import reconcile_events, reconcile_record
from apps.billing.settings import Settings
from protos.billing.v1 import events_pb2 as billing_events
from tests.billing.charges.events import fact, patient_event
from tests.billing.conftest import ENVIRONMENT

SETTINGS = Settings.from_environment(ENVIRONMENT)


class Tables:
    """Answers each query with the rows of the table that it names."""

    def __init__(self, **rows: Sequence[Any]) -> None:
        self.rows = rows

    async def fetch(self, query: str, *_: object) -> Sequence[Any]:
        return next((rows for table, rows in self.rows.items() if f"FROM {table}" in query), [])


@pytest.fixture
def topics(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[bytes]]:
    """What stands in the topics, by their names."""
    records: dict[str, list[bytes]] = {SETTINGS.patient_topic: [], SETTINGS.billing_topic: []}

    async def replay(_: object, names: Sequence[str], ends: object = None) -> AsyncIterator[Any]:
        for name in names:
            yield [SimpleNamespace(value=value) for value in records[name]]

    async def no_offsets(*_: object) -> dict[Any, int]:
        return {}

    monkeypatch.setattr(reconcile, "replay", replay)
    monkeypatch.setattr(reconcile, "select_offsets", no_offsets)
    return records


async def found(tables: Tables) -> list[tuple[str, str, str, str]]:
    differences = await reconcile_record(tables, SETTINGS)
    return [(each.code, each.subject, each.expected, each.found) for each in differences]


async def test_newest_version_of_a_resource_says_what_is_charged(
    topics: dict[str, list[bytes]],
) -> None:
    events = [
        fact("p", "r1", 2, status="entered-in-error"),
        fact("p", "r1", 1),
        fact("p", "r2", 1, status="in-progress"),
        fact("p", "r2", 2),
        patient_event("p", "patient.updated"),
    ]
    topics[SETTINGS.patient_topic] = [
        *(event.SerializeToString() for event in events),
        b"\xff",
    ]
    account = [("p",)]
    assert await found(Tables(account=account, charge_item=[("Procedure/r2",)])) == []
    twice = [("Procedure/r1",), ("Procedure/r2",), ("Procedure/r2",)]
    assert await found(Tables(account=account, charge_item=twice)) == [
        ("charge_unexpected", "Procedure/r1", "0", "1"),
        ("charge_unexpected", "Procedure/r2", "1", "2"),
    ]
    assert await found(Tables()) == [
        ("account_missing", "p", "1", "0"),
        ("charge_missing", "Procedure/r2", "1", "0"),
    ]


async def test_patient_who_has_just_come_has_an_account_on_its_way(
    topics: dict[str, list[bytes]],
) -> None:
    event = patient_event("p", "patient.created")
    event.occurred_at.GetCurrentTime()
    topics[SETTINGS.patient_topic] = [event.SerializeToString()]
    assert await found(Tables()) == []


async def test_differences_are_bounded(
    topics: dict[str, list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "MAX_DIFFERENCES", 2)
    topics[SETTINGS.patient_topic] = [
        fact(f"p{number}", f"r{number}").SerializeToString() for number in range(3)
    ]
    assert [code for code, *_ in await found(Tables())] == [
        *("account_missing",) * 2,
        *("charge_missing",) * 2,
    ]
    expected = [(f"charge.added {number}",) for number in range(3)]
    differences = await reconcile_events(Tables(charge_item=expected), SETTINGS)
    assert [each.subject for each in differences] == ["charge.added 0", "charge.added 1"]


async def test_event_is_told_once_it_stands_in_the_outbox_or_in_the_topic(
    topics: dict[str, list[bytes]],
) -> None:
    def event(number: int) -> bytes:
        charge = billing_events.ChargeEvent(charge_item_id=str(number))
        told = billing_events.BillingEvent(event_type="charge.added", charge=charge)
        return bytes(told.SerializeToString())

    topics[SETTINGS.billing_topic] = [event(1)]
    rows: dict[str, Sequence[Any]] = {
        "charge_item": [(f"charge.added {number}",) for number in range(3)],
        "outbox": [{"payload": event(2)}],
    }
    differences = await reconcile_events(Tables(**rows), SETTINGS)
    assert [(each.code, each.subject) for each in differences] == [
        ("event_missing", "charge.added 0")
    ]
