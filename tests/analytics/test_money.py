"""Figures of money: every amount counts on the day it belongs to, whatever the order of events."""

import random
from typing import Any

import httpx
import pytest

from apps.analytics.consumer.rebuild import rebuild
from apps.analytics.events.billing import ChargeEvent, InvoiceEvent, parse_billing_event
from apps.kit.event_batch import UnreadableError
from tests.analytics.billing_events import billing_event, charge, invoice, payment
from tests.analytics.conftest import Bench
from tests.analytics.serving import get

ISSUED = {"visits": (8_000, 1_000), "laboratory": (1_000, 0)}


def story() -> list[Any]:
    """Two invoices: one is paid in two parts and 10.00 refunded, one is cancelled."""
    return [
        charge("charge.added", "2026-03-01T09:00", "c1", 8_000),
        charge("charge.added", "2026-03-01T10:00", "c2", 1_000),
        charge("charge.added", "2026-03-02T10:00", "c3", 500),
        charge("charge.voided", "2026-03-02T10:00", "c3", 500),
        invoice("invoice.issued", "2026-03-02", "i1", 1, open=10_000, groups=ISSUED),
        invoice(
            "invoice.issued",
            "2026-03-02",
            "i2",
            1,
            open=2_000,
            total=2_000,
            groups={"visits": (2_000, 0)},
            payer_id="payer-1",
        ),
        payment("2026-03-05", "p1", 4_000),
        invoice("invoice.paid", "2026-03-05", "i1", 2, open=6_000),
        payment("2026-03-11", "p2", 6_000),
        invoice("invoice.paid", "2026-03-11", "i1", 3, open=0),
        invoice(
            "invoice.cancelled",
            "2026-03-12",
            "i2",
            2,
            open=0,
            total=2_000,
            groups={"visits": (2_000, 0)},
            credit_note="C-1",
            payer_id="payer-1",
        ),
        payment("2026-03-15", "p2", 1_000, refund="r1"),
    ]


async def told(bench: Bench, events: list[Any]) -> None:
    read = await bench.read()
    await bench.publish_billing(*events)
    await bench.wait_for_reading(read + len(events))


@pytest.mark.integration
async def test_every_amount_counts_in_its_interval(bench: Bench, client: Any) -> None:
    await told(bench, story())

    answer = await get(client, "billing?interval=week")

    assert answer["totals"] == [
        {
            "currency": "USD",
            "charged": 9_000,
            "invoiced": 10_000,
            "paid": 10_000,
            "refunded": 1_000,
            "outstanding": 0,
        }
    ]
    points = {point["start"][:10]: point for point in answer["points"]}
    assert points["2026-02-23"]["charged"] == 9_000
    assert (points["2026-03-02"]["invoiced"], points["2026-03-02"]["outstanding"]) == (
        12_000,
        8_000,
    )
    assert (points["2026-03-09"]["invoiced"], points["2026-03-09"]["outstanding"]) == (-2_000, 0)
    assert points["2026-03-09"]["refunded"] == 1_000


@pytest.mark.integration
async def test_outstanding_of_a_period_knows_what_came_before(bench: Bench, client: Any) -> None:
    await told(bench, story())
    answer = await get(client, "billing?from=2026-03-05&to=2026-03-06")
    assert [point["outstanding"] for point in answer["points"]] == [8_000]


@pytest.mark.integration
async def test_order_and_repetition_of_events_change_nothing(bench: Bench, client: Any) -> None:
    events = story()
    mixed = [*events, *events[3:8]]
    random.Random(7).shuffle(mixed)
    await told(bench, mixed)
    paths = (
        "billing",
        "billing/revenue",
        "billing/payment-days",
        "billing/cancellations",
        "aging?on=2026-03-10",
    )
    figures = [await get(client, path) for path in paths]
    assert figures[0]["totals"][0]["charged"] == 9_000

    await rebuild(bench.settings, bench.database, bench.producer)

    assert [await get(client, path) for path in paths] == figures


@pytest.mark.integration
async def test_late_event_changes_the_day_it_belongs_to(bench: Bench, client: Any) -> None:
    await told(bench, story())
    await told(bench, [charge("charge.added", "2026-02-27", "late", 700)])
    points = (await get(client, "billing?to=2026-02-28"))["points"]
    assert [(point["start"][:10], point["charged"]) for point in points] == [("2026-02-27", 700)]


@pytest.mark.integration
async def test_revenue_by_group_and_payer(bench: Bench, client: Any) -> None:
    await told(bench, story())
    groups = (await get(client, "billing/revenue?interval=month"))["points"]
    assert {point["name"]: (point["net"], point["tax"]) for point in groups} == {
        "laboratory": (1_000, 0),
        "visits": (8_000, 1_000),
    }
    payers = (await get(client, "billing/revenue?interval=day&by=payer"))["points"]
    assert [(point["start"][:10], point["name"], point["net"]) for point in payers] == [
        ("2026-03-02", "", 9_000),
        ("2026-03-02", "payer-1", 2_000),
        ("2026-03-12", "payer-1", -2_000),
    ]


@pytest.mark.integration
async def test_aging_as_of_a_day(bench: Bench, client: Any) -> None:
    await told(
        bench,
        [
            invoice("invoice.issued", "2026-01-01", "a", 1, open=100, due_on="2026-01-31"),
            invoice("invoice.issued", "2026-01-01", "b", 1, open=300, due_on="2026-03-01"),
            invoice("invoice.issued", "2026-01-01", "c", 1, open=500, due_on=""),
            invoice("invoice.paid", "2026-03-20", "a", 2, open=0, due_on="2026-01-31"),
            invoice(
                "invoice.issued", "2026-01-01", "d", 1, open=7, due_on="2026-02-14", currency="EUR"
            ),
        ],
    )

    async def ages(on: str) -> list[tuple[str, str, int]]:
        answer = await get(client, f"aging?on={on}")
        return [(each["currency"], each["age"], each["amount"]) for each in answer["ages"]]

    assert await ages("2026-03-01") == [
        ("EUR", "1-30", 7),
        ("USD", "not_due", 800),
        ("USD", "1-30", 100),
    ]
    assert await ages("2026-03-19") == [
        ("EUR", "31-60", 7),
        ("USD", "not_due", 500),
        ("USD", "1-30", 300),
        ("USD", "31-60", 100),
    ]
    assert await ages("2026-12-31") == [
        ("EUR", "over_90", 7),
        ("USD", "not_due", 500),
        ("USD", "over_90", 300),
    ]


@pytest.mark.integration
async def test_days_to_payment_and_share_of_cancelled_invoices(bench: Bench, client: Any) -> None:
    await told(bench, story())
    (paid,) = (await get(client, "billing/payment-days?interval=month"))["points"]
    assert (paid["invoices"], paid["meanDays"], paid["medianDays"]) == (1, 10.0, 10.0)
    (issued,) = (await get(client, "billing/cancellations?interval=month"))["points"]
    assert (issued["issued"], issued["cancelled"], issued["share"]) == (2, 1, 0.5)


@pytest.mark.integration
async def test_figures_are_csv_for_who_asks(bench: Bench, client: httpx.AsyncClient) -> None:
    await told(bench, [charge("charge.added", "2026-03-01", "c1", 8_000)])
    headers = {"Authorization": "Bearer analyst", "Accept": "text/csv"}
    answer = await client.get("/analytics/v1/billing", headers=headers)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.text == (
        "start,currency,charged,invoiced,paid,refunded,outstanding\r\n"
        "2026-03-01T00:00:00Z,USD,8000,0,0,0,0\r\n"
    )


def test_events_of_the_topic_are_read() -> None:
    added = parse_billing_event(charge("charge.added", "2026-03-01", "c", 5).SerializeToString())
    assert isinstance(added, ChargeEvent)
    assert (added.charge_item_id, added.net, added.currency) == ("c", 5, "USD")
    issued = parse_billing_event(
        invoice("invoice.issued", "2026-03-01", "i", 1, open=5, groups=ISSUED).SerializeToString()
    )
    assert isinstance(issued, InvoiceEvent)
    assert [group.revenue_group for group in issued.groups] == ["visits", "laboratory"]


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (b"", "empty"),
        (b"\xff\xff", "not_protobuf"),
        (billing_event("invoice.lost", "2026-01-01"), "unknown_event_type"),
        (billing_event("charge.added", "2026-01-01"), "missing_charge_item_id"),
        (billing_event("payment.refunded", "2026-01-01", currency="usd"), "invalid_currency"),
        (invoice("invoice.paid", "2026-01-01", "i", 0, open=1), "invalid_version"),
        (
            invoice("invoice.paid", "2026-01-01", "i", 1, open=1, issued_on="soon"),
            "invalid_issued_on",
        ),
        (payment("2026-01-01", "", 1), "missing_payment_id"),
    ],
)
def test_event_that_cannot_be_relied_on_is_unreadable(event: Any, reason: str) -> None:
    value = event if isinstance(event, bytes) else event.SerializeToString()
    with pytest.raises(UnreadableError) as refused:
        parse_billing_event(value)
    assert refused.value.reason == reason
