"""What a charge comes to, and how it is written."""

from typing import Any

import pytest

from apps.kit.context import new_id
from tests.billing.conftest import Client

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    ("fields", "whole", "decimal", "net"),
    [
        ({}, 1, "1", 100),
        ({"quantity": 2}, 2, "2", 200),
        ({"quantity_decimal": "20.000"}, 20, "20", 2_000),
        ({"quantity_decimal": "1.5"}, 0, "1.5", 150),
        ({"quantity_decimal": "0.005"}, 0, "0.005", 1),
        ({"quantity_decimal": "0.004"}, 0, "0.004", 0),
    ],
    ids=["one", "two", "twenty", "one and a half", "rounded up", "rounded down"],
)
async def test_quantity_that_is_no_whole_number_is_told_as_a_decimal_alone(
    billing: Client, fields: dict[str, Any], whole: int, decimal: str, net: int
) -> None:
    charge = await billing.charge(await billing.account(), 100, **fields)
    assert (charge.quantity, charge.quantity_decimal) == (whole, decimal)
    assert charge.net.minor_units == net


@pytest.mark.parametrize(
    ("discount", "net"),
    [
        ({"percent_basis_points": 1_000}, 900),
        ({"amount": {"minor_units": 250}}, 750),
    ],
    ids=["a share", "an amount"],
)
async def test_discount_is_told_as_it_was_given(
    billing: Client, discount: dict[str, Any], net: int
) -> None:
    account_id = await billing.account()
    given = await billing.charge(account_id, 1_000, discount={**discount, "reason": "staff"})
    charges = await billing.do("ListChargeItems", account_id=account_id)
    for charge in (given, charges.charge_items[0]):
        assert charge.net.minor_units == net
        told = charge.discount
        assert told.reason == "staff"
        assert told.percent_basis_points == discount.get("percent_basis_points", 0)
        assert told.HasField("amount") == ("amount" in discount)
        assert told.amount.minor_units == discount.get("amount", {}).get("minor_units", 0)
    plain = await billing.charge(account_id, 1_000)
    assert not plain.HasField("discount")


async def test_charge_without_a_price_of_its_own_has_that_of_the_list(billing: Client) -> None:
    account_id, code = await billing.account(), new_id()
    charge: dict[str, Any] = {"account_id": account_id, "code": code, "quantity": 2}
    problem = await billing.refusal("AddChargeItem", **charge)
    assert (problem.status, problem.code) == (422, "price_unknown")
    columns = "system,code,description,unit_price,currency,tax_category,revenue_group,valid_from"
    row = f"{code},Visit,10.00,,standard,visits,2026-01-01"
    await billing.do("SetPrices", csv=f"{columns},valid_to\n,{row},\n")
    added = await billing.do("AddChargeItem", **charge)
    assert (added.unit_price.minor_units, added.net.minor_units) == (1_000, 2_000)
    assert (added.tax_category, added.revenue_group) == ("standard", "visits")
    before = await billing.refusal("AddChargeItem", occurred_at="2025-12-31T12:00:00Z", **charge)
    assert before.code == "price_unknown"


@pytest.mark.parametrize(
    ("change", "pointer", "code"),
    [
        (
            {"discount": {"percent_basis_points": 1, "amount": {"minor_units": 1}, "reason": "r"}},
            "discount",
            "contradiction",
        ),
        ({"discount": {"percent_basis_points": 1}}, "discount/reason", "required"),
        ({"tax_category": "luxury"}, "tax_category", "unknown_tax_category"),
        ({"code": ""}, "code", "required"),
    ],
    ids=["two discounts", "no reason", "tax", "code"],
)
async def test_fault_of_a_charge_is_named(
    billing: Client, change: dict[str, Any], pointer: str, code: str
) -> None:
    charge: dict[str, Any] = {"code": "own", "unit_price": {"minor_units": 100}, **change}
    problem = await billing.refusal("AddChargeItem", account_id=await billing.account(), **charge)
    assert [(fault.pointer, fault.code) for fault in problem.faults] == [(pointer, code)]
