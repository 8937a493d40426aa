"""Shares, tax and credits of an invoice: whatever the coverages, the parts are the whole."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.billing.accounts.coverage import Coverage
from apps.billing.charges.charge import Charge, net_of
from apps.billing.invoicing.calculation import credit_shares, draw_up, taxes_of

RATES = {"exempt": 0, "reduced": 700, "standard": 1_900}


def charge(net: int, number: int = 1, tax_category: str = "exempt", day: int = 1) -> Charge:
    return Charge(
        charge_item_id=UUID(int=number),
        account_id=UUID(int=0),
        currency="USD",
        status="billable",
        version=1,
        system="",
        code="c",
        description="",
        quantity=Decimal(1),
        unit_price=net,
        discount_basis_points=0,
        discount_amount=0,
        discount_reason="",
        tax_category=tax_category,
        revenue_group="other",
        net=net,
        encounter_id="",
        occurred_at=datetime(2026, 1, day, tzinfo=UTC),
    )


def coverage(share: str, value: int, payer_id: str = "p", **fields: Any) -> Coverage:
    return Coverage(
        payer_id=payer_id,
        payer_name="",
        share=share,
        percent_basis_points=value if share == "percent" else 0,
        amount=0 if share == "percent" else value,
        **fields,
    )


coverages = st.lists(
    st.one_of(
        st.builds(
            coverage, st.just("percent"), st.integers(1, 10_000), st.sampled_from(["p", "q"])
        ),
        st.builds(
            coverage,
            st.sampled_from(["fixed", "copayment"]),
            st.integers(1, 10**7),
            st.sampled_from(["p", "q", "r"]),
        ),
    ),
    max_size=4,
)
charges = st.lists(
    st.tuples(st.integers(0, 10**6), st.sampled_from(sorted(RATES))), min_size=1, max_size=8
).map(lambda pairs: [charge(net, number, tax) for number, (net, tax) in enumerate(pairs, start=1)])


@given(charges, coverages)
def test_parts_are_the_whole_line_by_line(items: list[Charge], payers: list[Coverage]) -> None:
    parts = draw_up(items, payers, RATES)
    taxes = taxes_of(items, [item.net or 0 for item in items], RATES)
    for item, tax in zip(items, taxes, strict=True):
        lines = [line for part in parts for line in part.lines if line.charge is item]
        assert sum(line.net for line in lines) == item.net
        assert sum(line.tax for line in lines) == tax
        assert all(line.net >= 0 and line.tax >= 0 for line in lines)
    assert len({part.payer_id for part in parts}) == len(parts)
    assert sum(part.total for part in parts) == sum(item.net or 0 for item in items) + sum(taxes)


@pytest.mark.parametrize(
    ("payers", "totals"),
    [
        ([], {"": 10_000}),
        ([coverage("percent", 8_000)], {"": 2_000, "p": 8_000}),
        ([coverage("copayment", 2_500)], {"": 2_500, "p": 7_500}),
        ([coverage("fixed", 6_000)], {"": 4_000, "p": 6_000}),
        ([coverage("fixed", 60_000)], {"p": 10_000}),
        (
            [coverage("fixed", 6_000), coverage("percent", 5_000, "q")],
            {"": 2_000, "p": 6_000, "q": 2_000},
        ),
        # Not valid on the day of the service.
        ([coverage("percent", 8_000, valid_from=date(2026, 1, 2))], {"": 10_000}),
        ([coverage("percent", 8_000, valid_to=date(2026, 1, 1))], {"": 2_000, "p": 8_000}),
    ],
)
def test_coverages_pay_in_their_order(payers: list[Coverage], totals: dict[str, int]) -> None:
    parts = draw_up([charge(7_000, 1), charge(3_000, 2)], payers, RATES)
    assert {part.payer_id: part.total for part in parts} == totals


def test_tax_is_rounded_on_the_sum_of_its_category() -> None:
    """19 % of three times 0.03 are 0.0171: one cent and not three."""
    items = [charge(3, number, "standard") for number in (1, 2, 3)]
    assert taxes_of(items, [3, 3, 3], RATES) == [1, 1, 0]
    assert sum(taxes_of(items, [3, 3, 3], RATES)) == 2


@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**5)), min_size=1, max_size=8),
    st.integers(0, 100),
)
def test_credit_takes_no_more_of_a_line_than_is_left(
    left: list[tuple[int, int]], percent: int
) -> None:
    whole = sum(net + tax for net, tax in left)
    amount = whole * percent // 100
    credits = credit_shares(amount, left)
    assert sum(net + tax for net, tax in credits) == amount
    for (net, tax), (net_left, tax_left) in zip(credits, left, strict=True):
        assert 0 <= net <= net_left
        assert 0 <= tax <= tax_left


@pytest.mark.parametrize(
    ("quantity", "price", "points", "amount", "net"),
    [
        ("1.5", 333, 0, 0, 500),
        ("0.001", 499, 0, 0, 0),
        ("0.001", 500, 0, 0, 1),
        ("3", 1_000, 1_000, 0, 2_700),
        ("1", 1_000, 0, 250, 750),
        ("1", 1_000, 0, 5_000, 0),
    ],
)
def test_net_is_quantity_times_price_less_discount(
    quantity: str, price: int, points: int, amount: int, net: int
) -> None:
    assert net_of(Decimal(quantity), price, points, amount) == net
