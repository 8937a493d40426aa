"""What came of an invoice, and how a sum is divided over what is open."""

from datetime import UTC, date, datetime
from uuid import UUID

import pytest

from apps.billing.invoicing.invoice import Invoice
from apps.billing.invoicing.settlement import day_as_moment, settle, spread_oldest_first

IDS = [UUID(int=number) for number in range(3)]
NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)


def invoice(status: str = "issued") -> Invoice:
    return Invoice(
        invoice_id=IDS[0],
        account_id=IDS[1],
        currency="USD",
        group_id=IDS[0],
        status=status,
        payment_days=30,
        total=100,
        version=3,
    )


@pytest.mark.parametrize(
    ("paid", "credited", "written_off", "status", "left"),
    [
        (0, 0, 0, "issued", 100),
        (99, 0, 0, "issued", 1),
        (100, 0, 0, "balanced", 0),
        (50, 30, 20, "balanced", 0),
        (50, 30, 19, "issued", 1),
    ],
)
def test_invoice_is_balanced_while_nothing_of_it_is_open(
    paid: int, credited: int, written_off: int, status: str, left: int
) -> None:
    settled = settle(invoice(), paid=paid, credited=credited, written_off=written_off)
    assert (settled.status, settled.open, settled.version) == (status, left, 4)
    assert (settled.paid, settled.credited, settled.written_off) == (paid, credited, written_off)
    again = settle(settled, paid=-paid)
    assert (again.paid, again.version) == (0, 5)
    assert again.status == ("issued" if again.open else "balanced")


def test_cancelled_invoice_stays_cancelled() -> None:
    settled = settle(invoice("cancelled"), credited=40)
    assert (settled.status, settled.credited) == ("cancelled", 40)


@pytest.mark.parametrize(
    ("amount", "parts"),
    [
        (0, []),
        (29, [(0, 29)]),
        (30, [(0, 30)]),
        (31, [(0, 30), (2, 1)]),
        (80, [(0, 30), (2, 50)]),
        (99, [(0, 30), (2, 50)]),
    ],
)
def test_sum_fills_what_is_open_one_after_the_other(
    amount: int, parts: list[tuple[int, int]]
) -> None:
    opens = [(IDS[0], 30), (IDS[1], 0), (IDS[2], 50)]
    assert spread_oldest_first(amount, opens) == [(IDS[number], part) for number, part in parts]


def test_day_counts_now_if_it_is_today_and_else_at_noon() -> None:
    assert day_as_moment(date(2026, 3, 2), NOW) == NOW
    for day in (date(2026, 3, 1), date(2026, 3, 3)):
        assert day_as_moment(day, NOW) == datetime(2026, 3, day.day, 12, tzinfo=UTC)
