"""The price list: versions that are added, and every fault of a file named."""

from datetime import date

import pytest

from apps.billing.money import MAX_MINOR_UNITS
from apps.billing.prices.price import parse_csv
from apps.billing.prices.shipped import read_shipped_prices
from apps.billing.prices.storage import held_on
from apps.kit.context import new_id
from apps.kit.errors import BadRequest
from tests.billing.conftest import Client

HEADER = (
    "system,code,description,unit_price,currency,tax_category,revenue_group,valid_from,valid_to\n"
)
TAXES = ("exempt", "standard")


def faults_of(text: str) -> list[tuple[int, str, str]]:
    prices, faults = parse_csv(text, "USD", TAXES)
    assert faults or prices
    return [(fault.line, fault.field, fault.code) for fault in faults]


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (",,x,1,,,,2026-01-01,", ("code", "required")),
        (",c,x,,,,,2026-01-01,", ("unit_price", "invalid_amount")),
        (",c,x,-1,,,,2026-01-01,", ("unit_price", "invalid_amount")),
        (",c,x,1e3,,,,2026-01-01,", ("unit_price", "invalid_amount")),
        (",c,x,NaN,,,,2026-01-01,", ("unit_price", "invalid_amount")),
        (",c,x,1.005,,,,2026-01-01,", ("unit_price", "too_many_decimals")),
        (",c,x,1.000,,,,2026-01-01,", ("unit_price", "too_many_decimals")),
        (",c,x,1.0000001,,,,2026-01-01,", ("unit_price", "too_many_decimals")),
        # Its sum with the decimals is beyond what a Decimal holds exactly.
        (f",c,x,1.{'0' * 28}1,,,,2026-01-01,", ("unit_price", "invalid_amount")),
        (f",c,x,{MAX_MINOR_UNITS + 1},JPY,,,2026-01-01,", ("unit_price", "invalid_amount")),
        (",c,x,1.0005,KWD,,,2026-01-01,", ("unit_price", "too_many_decimals")),
        (f",{'c' * 65},x,1,,,,2026-01-01,", ("code", "invalid_code")),
        (",c,x,1.000,JPY,,,2026-01-01,", ("unit_price", "too_many_decimals")),
        (",c,x,1.5,JPY,,,2026-01-01,", ("unit_price", "too_many_decimals")),
        (",c,x,1,ZZZ,,,2026-01-01,", ("currency", "unknown_currency")),
        (",c,x,1,,luxury,,2026-01-01,", ("tax_category", "unknown_tax_category")),
        (",c,x,1,,,,,", ("valid_from", "required")),
        (",c,x,1,,,,2026-02-30,", ("valid_from", "invalid_date")),
        (",c,x,1,,,,2026-02-01,2026-01-01", ("valid_to", "ends_before_it_begins")),
        (",c,x,1,,,,2026-01-01,,more", ("", "too_many_columns")),
    ],
)
def test_fault_of_a_row_is_named_with_its_line(row: str, fault: tuple[str, str]) -> None:
    good = ",good,x,12.50,,,,2026-01-01,\n"
    assert faults_of(HEADER + good + row + "\n") == [(3, *fault)]


def test_every_fault_of_a_file_is_reported() -> None:
    found = faults_of(HEADER + ",a,x,x,,,,2026-01-01,\n,a,x,1,,,,x,\n,b,x,1,,,,2026-01-01,\n" * 2)
    assert [line for line, _, code in found if code == "duplicate"] == [7]
    assert len(found) >= 5


def test_columns_that_are_missing_or_unknown_are_named() -> None:
    assert faults_of("code,unit_price\nc,1\n") == [(1, "valid_from", "missing")]
    assert faults_of("code,unit_price,valid_from,colour\n") == [(1, "colour", "unknown_column")]


def test_amounts_are_read_in_the_currencys_decimals() -> None:
    rows = ",a,x,12.5,USD,,,2026-01-01,\n,b,x,125,JPY,,,2026-01-01,\n,c,x,0.125,KWD,,,2026-01-01,\n"
    prices, faults = parse_csv(HEADER + rows, "USD", TAXES)
    assert not faults
    assert [price.unit_price for price in prices] == [1_250, 125, 125]


def test_list_is_bounded() -> None:
    row = ",a,x,1,,,,2026-01-01,\n"
    _, faults = parse_csv(HEADER + row * 5_000, "USD", TAXES)
    assert len(faults) == 4_999
    with pytest.raises(BadRequest, match="too_many_prices"):
        parse_csv(HEADER + row * 5_001, "USD", TAXES)


def test_largest_price_and_the_shortest_period_are_read() -> None:
    rows = f",a,x,{MAX_MINOR_UNITS},JPY,,,2026-01-01,2026-01-01\n,{'c' * 64},x,0,,,,2026-01-01,\n"
    (largest, free), faults = parse_csv(HEADER + rows, "USD", TAXES)
    assert not faults
    assert (largest.unit_price, free.unit_price) == (MAX_MINOR_UNITS, 0)
    assert largest.valid_from == largest.valid_to
    days = [date(2025, 12, 31), date(2026, 1, 1), date(2026, 1, 2)]
    assert [held_on([largest], day) for day in days] == [None, largest, None]


def test_shipped_list_is_sound_in_every_kind_of_currency() -> None:
    assert len(read_shipped_prices("USD", TAXES)) > 100
    assert len(read_shipped_prices("KWD", TAXES)) > 100


@pytest.mark.integration
async def test_versions_are_added_once_and_the_latest_holds(billing: Client) -> None:
    code = new_id()
    first = f"{HEADER},{code},Visit,10.00,,,visits,2026-01-01,\n"
    assert (await billing.do("SetPrices", csv=first)).added == 1
    again = await billing.do("SetPrices", csv=first)
    assert (again.added, again.unchanged) == (0, 1)
    raised = f"{HEADER},{code},Visit,12.00,,,visits,2026-07-01,2026-12-31\n"
    assert (await billing.do("SetPrices", csv=raised)).added == 1

    async def price_on(day: str) -> list[int]:
        answer = await billing.do("ListPrices", code=code, valid_on=day)
        return [price.unit_price.minor_units for price in answer.prices]

    assert await price_on("2025-12-31") == []
    assert await price_on("2026-06-30") == [1_000]
    assert await price_on("2026-07-01") == [1_200]
    assert await price_on("2027-01-01") == [1_000]
    whole = await billing.do("ListPrices", code=code)
    assert [price.version for price in whole.prices] == [1, 2]
    first_page = await billing.do("ListPrices", code=code, page_size=1)
    rest = await billing.do(
        "ListPrices", code=code, page_size=1, page_token=first_page.next_page_token
    )
    assert [*first_page.prices, *rest.prices] == list(whole.prices)
    exact = await billing.do("ListPrices", code=code, page_size=2)
    assert (rest.next_page_token, exact.next_page_token) == ("", "")


@pytest.mark.integration
async def test_price_may_go_back_to_what_it_was(billing: Client) -> None:
    code = new_id()
    for amount, added in (("10.00", 1), ("12.00", 1), ("12.00", 0), ("10.00", 1), ("10.00", 0)):
        row = f"{HEADER},{code},Visit,{amount},,,visits,2026-01-01,\n"
        assert (await billing.do("SetPrices", csv=row)).added == added
    answer = await billing.do("ListPrices", code=code, valid_on="2026-06-01")
    assert [(price.version, price.unit_price.minor_units) for price in answer.prices] == [
        (3, 1_000)
    ]


@pytest.mark.integration
async def test_order_of_a_list_does_not_decide_which_price_holds(billing: Client) -> None:
    code = new_id()
    rows = [
        f",{code},Visit,{amount},,,visits,2026-{month}-01,\n"
        for amount, month in (("12.00", "07"), ("10.00", "01"), ("11.00", "03"))
    ]
    for added in (3, 0):
        assert (await billing.do("SetPrices", csv=HEADER + "".join(rows))).added == added
    held = []
    for month in ("02", "04", "08"):
        answer = await billing.do("ListPrices", code=code, valid_on=f"2026-{month}-01")
        held += [price.unit_price.minor_units for price in answer.prices]
    assert held == [1_000, 1_100, 1_200]


@pytest.mark.integration
async def test_list_with_a_fault_adds_nothing(billing: Client) -> None:
    code = new_id()
    rows = f",{code},x,1.00,,,,2026-01-01,\n,,x,1.00,,,,2026-01-01,\n"
    answer = await billing.do("SetPrices", csv=HEADER + rows)
    assert (answer.added, [fault.line for fault in answer.faults]) == (0, [3])
    assert not (await billing.do("ListPrices", code=code)).prices


@pytest.mark.integration
async def test_dry_run_reports_and_keeps_nothing(billing: Client) -> None:
    code = new_id()
    answer = await billing.do(
        "SetPrices", csv=f"{HEADER},{code},x,1.00,,,,2026-01-01,\n", dry_run=True
    )
    assert not answer.faults
    assert not (await billing.do("ListPrices", code=code)).prices


@pytest.mark.integration
async def test_pages_go_through_the_whole_list(billing: Client) -> None:
    code = new_id()
    for day in range(1, 6):
        await billing.do("SetPrices", csv=f"{HEADER},{code},x,{day}.00,,,,2026-01-0{day},\n")
    seen: list[int] = []
    token = ""
    while True:
        page = await billing.do("ListPrices", code=code, page_size=2, page_token=token)
        seen += [price.version for price in page.prices]
        token = page.next_page_token
        if not token:
            break
    assert seen == [1, 2, 3, 4, 5]
    problem = await billing.refusal("ListPrices", page_token="banana")
    assert (problem.status, problem.code) == (400, "invalid_page_token")
