"""What a charge comes to, and how it is written."""

from typing import Any

import pytest

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
