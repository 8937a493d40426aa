"""The price list under two writers, and which version holds on a day."""

import asyncio
from datetime import date, timedelta
from typing import Any

import pytest

from apps.billing.prices.price import Price
from apps.billing.prices.storage import LOCK, held_on
from apps.kit.context import new_id
from tests.billing.charges.events import charges_of, fact, follow, price
from tests.billing.conftest import Client
from tests.billing.waiting import until_blocked


@pytest.mark.integration
@pytest.mark.usefixtures("unhurried_pool")
async def test_lists_that_are_loaded_at_once_are_loaded_one_by_one(billing: Client) -> None:
    code = new_id()
    async with billing.database.transaction() as connection:
        await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
        tasks = [asyncio.create_task(price(billing, code, amount)) for amount in (100, 200)]
        await until_blocked(billing.database, tasks)
    assert [answer.added for answer in await asyncio.gather(*tasks)] == [1, 1]
    listed = await billing.do("ListPrices", code=code)
    assert [each.version for each in listed.prices] == [1, 2]


@pytest.mark.integration
@pytest.mark.usefixtures("unhurried_pool")
async def test_charge_that_is_voided_while_a_list_is_loaded_gets_no_price(billing: Client) -> None:
    code, patient_id = new_id(), new_id()
    await follow(billing, fact(patient_id, "r-" + code, code=code))
    (charge,) = await charges_of(billing, patient_id)
    async with billing.database.transaction() as connection:
        await connection.execute(
            """
            UPDATE charge_item SET status = 'voided', void_reason = 'r', version = version + 1
            WHERE charge_item_id = $1""",
            charge.charge_item_id,
        )
        task: asyncio.Task[Any] = asyncio.create_task(price(billing, code, 100))
        await until_blocked(billing.database, [task])
    assert (await task).charges_priced == 0
    (charge,) = await charges_of(billing, patient_id)
    assert (charge.void_reason, charge.HasField("net")) == ("r", False)


def version(number: int, valid_from: date, valid_to: date | None) -> Price:
    return Price(
        system="",
        code="c",
        description="",
        unit_price=number,
        currency="USD",
        tax_category="exempt",
        revenue_group="other",
        valid_from=valid_from,
        valid_to=valid_to,
        version=number,
    )


def test_version_holds_from_its_first_day_to_its_last() -> None:
    first, last = date(2026, 3, 1), date(2026, 3, 31)
    one, day = version(1, first, last), timedelta(days=1)
    days = (first - day, first, last, last + day)
    assert [held_on([one], each) for each in days] == [None, one, one, None]
    assert held_on([version(1, first, None)], date(2199, 12, 31)) is not None


def test_highest_version_holds_whatever_the_order() -> None:
    low, high = (version(number, date(2026, 1, 1), None) for number in (1, 2))
    assert held_on([high, low], date(2026, 1, 1)) is high
    assert held_on([low, high], date(2026, 1, 1)) is high
