"""The price list: what each code costs, in versions that are added and never changed."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from apps.billing.money import MAX_MINOR_UNITS, decimals_of, is_supported, render_money
from apps.billing.parsing import Fields
from apps.kit.errors import BadRequest
from protos.billing.v1 import billing_pb2 as pb

MAX_ROWS = 5_000
MAX_AMOUNT_CHARACTERS = 24
COLUMNS = (
    "system",
    "code",
    "description",
    "unit_price",
    "currency",
    "tax_category",
    "revenue_group",
    "valid_from",
    "valid_to",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    system: str
    code: str
    description: str
    # Minor units.
    unit_price: int
    currency: str
    tax_category: str
    revenue_group: str
    valid_from: date
    # Inclusive.
    valid_to: date | None
    version: int = 0


class PriceKey(NamedTuple):
    """What a price is looked up by."""

    system: str
    code: str
    currency: str
    day: date


@dataclass(frozen=True, slots=True)
class PriceFault:
    """`line`: of the file, or the number of the price in the request, from 1."""

    line: int
    field: str
    code: str
    message: str


def parse_prices(
    messages: Sequence[pb.Price], currency: str, tax_categories: Sequence[str]
) -> tuple[list[Price], list[PriceFault]]:
    """Reads prices as messages: those that are sound, and every fault of the others."""
    _check_count(len(messages))
    rows = [
        (
            line,
            {
                "system": message.system,
                "code": message.code,
                "description": message.description,
                "unit_price": str(message.unit_price.minor_units),
                "currency": message.unit_price.currency or currency,
                "tax_category": message.tax_category,
                "revenue_group": message.revenue_group,
                "valid_from": message.valid_from,
                "valid_to": message.valid_to,
            },
        )
        for line, message in enumerate(messages, start=1)
    ]
    return _read_rows(rows, tax_categories, in_minor_units=True)


def parse_csv(
    text: str, currency: str, tax_categories: Sequence[str]
) -> tuple[list[Price], list[PriceFault]]:
    """Reads a CSV file with the header COLUMNS; `unit_price` is a decimal, as 12.50."""
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")), strict=True)
    rows: list[tuple[int, dict[str, str]]] = []
    try:
        header = [name.strip() for name in reader.fieldnames or ()]
        missing = [name for name in ("code", "unit_price", "valid_from") if name not in header]
        odd = [name for name in header if name not in COLUMNS]
        if missing or odd:
            message = f"the columns are {', '.join(COLUMNS)}"
            name = (missing or odd)[0]
            return [], [PriceFault(1, name, "missing" if missing else "unknown_column", message)]
        reader.fieldnames = header
        for row in reader:
            _check_count(len(rows) + 1)
            values = {name: (value or "").strip() for name, value in row.items() if name}
            if None in row:
                values["extra"] = "yes"
            values["currency"] = values.get("currency") or currency
            rows.append((reader.line_num, values))
    except csv.Error as error:
        return [], [PriceFault(reader.line_num, "", "invalid_csv", str(error))]
    return _read_rows(rows, tax_categories, in_minor_units=False)


def _check_count(count: int) -> None:
    if count > MAX_ROWS:
        raise BadRequest("too_many_prices", f"at most {MAX_ROWS} at once", pointer="prices")


def _read_rows(
    rows: Sequence[tuple[int, dict[str, str]]],
    tax_categories: Sequence[str],
    *,
    in_minor_units: bool,
) -> tuple[list[Price], list[PriceFault]]:
    prices: list[Price] = []
    faults: list[PriceFault] = []
    seen: dict[tuple[object, ...], int] = {}
    for line, row in rows:
        fields = Fields()
        price = _read_row(fields, row, tax_categories, in_minor_units)
        if price is not None:
            key = (price.system, price.code, price.currency, price.valid_from)
            if key in seen:
                fields.refuse("code", "duplicate", f"as on line {seen[key]}")
            seen.setdefault(key, line)
        try:
            fields.check()
        except BadRequest as problem:
            faults += [
                PriceFault(line, fault.pointer, fault.code, fault.message)
                for fault in problem.faults
            ]
        else:
            assert price is not None
            prices.append(price)
    return prices, faults


def _read_row(
    fields: Fields, row: dict[str, str], tax_categories: Sequence[str], in_minor_units: bool
) -> Price | None:
    currency = row["currency"]
    if not is_supported(currency):
        fields.refuse("currency", "unknown_currency", "an ISO 4217 code, as USD")
        currency = ""
    if row.get("extra"):
        fields.refuse("", "too_many_columns", f"the columns are {', '.join(COLUMNS)}")
    tax_category = row.get("tax_category") or "exempt"
    if tax_category not in tax_categories:
        fields.refuse("tax_category", "unknown_tax_category", f"one of {', '.join(tax_categories)}")
    valid_from = fields.day("valid_from", row.get("valid_from", ""))
    valid_to = fields.day("valid_to", row.get("valid_to", ""))
    if not row.get("valid_from"):
        fields.refuse("valid_from", "required", "a date as YYYY-MM-DD")
    if valid_from and valid_to and valid_to < valid_from:
        fields.refuse("valid_to", "ends_before_it_begins", "valid_to is before valid_from")
    unit_price = _read_amount(fields, row.get("unit_price", ""), currency, in_minor_units)
    system = fields.text("system", row.get("system", ""))
    code = fields.text("code", row.get("code", ""), required=True, limit=64)
    description = fields.text("description", row.get("description", ""))
    revenue_group = fields.text("revenue_group", row.get("revenue_group") or "other", limit=64)
    if valid_from is None or unit_price is None or not currency:
        return None
    return Price(
        system=system,
        code=code,
        description=description,
        unit_price=unit_price,
        currency=currency,
        tax_category=tax_category,
        revenue_group=revenue_group,
        valid_from=valid_from,
        valid_to=valid_to,
    )


def _read_amount(fields: Fields, text: str, currency: str, in_minor_units: bool) -> int | None:
    """Reads minor units, or a decimal of the currency; None, with a fault, for anything else."""
    # A longer one would be rounded before its decimals are counted.
    is_amount = text.isascii() and text.replace(".", "", 1).isdigit()
    if not is_amount or len(text) > MAX_AMOUNT_CHARACTERS:
        fields.refuse("unit_price", "invalid_amount", "an amount of 0 or more, as 12.50")
        return None
    amount = Decimal(text)
    minor_units = amount if in_minor_units else amount.scaleb(decimals_of(currency))
    # `1.000` of dollars may be a thousand: it is not read as one.
    may_be_grouped = len(text.partition(".")[2]) == 3 and decimals_of(currency) < 3
    if may_be_grouped or minor_units != minor_units.to_integral_value():
        message = f"{currency} has {decimals_of(currency)} decimals"
        fields.refuse("unit_price", "too_many_decimals", message)
        return None
    if minor_units > MAX_MINOR_UNITS:
        fields.refuse("unit_price", "invalid_amount", f"at most {MAX_MINOR_UNITS} minor units")
        return None
    return int(minor_units)


def with_version(price: Price, version: int) -> Price:
    return replace(price, version=version)


def render_price(price: Price) -> pb.Price:
    return pb.Price(
        system=price.system,
        code=price.code,
        description=price.description,
        unit_price=render_money(price.unit_price, price.currency),
        tax_category=price.tax_category,
        revenue_group=price.revenue_group,
        valid_from=price.valid_from.isoformat(),
        valid_to=price.valid_to.isoformat() if price.valid_to else "",
        version=price.version,
    )
