"""What a caller may ask for: parsed from the query string, every fault named by its parameter."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal, cast, get_args

from starlette.datastructures import QueryParams

from apps.kit.errors import BadRequest, FieldError, Unprocessable

Interval = Literal["hour", "day", "week", "month"]
INTERVALS: tuple[str, ...] = get_args(Interval)
# Figures are kept by the full hour of this zone; a day begins at its midnight, a week on Monday.
TIMEZONE = "UTC"
MAX_POINTS = 5_000
DEFAULT_TOP, MAX_TOP = 10, 100

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Period:
    """From `start` on, up to and without `end`, both full hours; None is open."""

    interval: Interval
    start: datetime | None
    end: datetime | None


def parse_period(query: QueryParams) -> Period:
    """`interval`, `from` and `to`: a date, or a date-time with its offset. A date in `to` is the last day counted.

    Raises BadRequest for what cannot be read and Unprocessable for a period that ends before it begins.
    """
    values = _single(query, ("interval", "from", "to"))
    faults: list[FieldError] = []
    interval = values.get("interval", "day")
    if interval not in INTERVALS:
        faults.append(FieldError("invalid_interval", f"one of {', '.join(INTERVALS)}", "interval"))
    times: dict[str, datetime] = {}
    for name in ("from", "to"):
        if name in values:
            try:
                times[name] = _time(values[name], is_end=name == "to")
            except (ValueError, OverflowError):
                faults.append(
                    FieldError(
                        "invalid_time", "a date, or a date-time with its offset from UTC", name
                    )
                )
    if faults:
        raise BadRequest("invalid_parameter", faults=tuple(faults))
    start, end = times.get("from"), times.get("to")
    if start and end and start >= end:
        raise Unprocessable("empty_period", "the period ends before it begins", pointer="to")
    return Period(cast(Interval, interval), start, end)


def parse_top(query: QueryParams) -> int:
    """`limit`, from 1 to MAX_TOP."""
    text = _single(query, ("limit",)).get("limit", str(DEFAULT_TOP))
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and 1 <= int(text) <= MAX_TOP):
        raise BadRequest(
            "invalid_parameter",
            faults=(FieldError("invalid_limit", f"from 1 to {MAX_TOP}", "limit"),),
        )
    return int(text)


def parse_nothing(query: QueryParams) -> None:
    _single(query, ())


def _single(query: QueryParams, names: tuple[str, ...]) -> Mapping[str, str]:
    """Each parameter's one value; a misspelt one is told rather than passed over."""
    faults = [
        FieldError("unknown_parameter", "there is no such parameter", name)
        for name in query
        if name not in names
    ]
    for name in query:
        if len(query.getlist(name)) > 1:
            faults.append(FieldError("repeated_parameter", "given more than once", name))
    if faults:
        raise BadRequest("invalid_parameter", faults=tuple(faults[:10]))
    return dict(query)


def _time(text: str, *, is_end: bool) -> datetime:
    if _DATE.fullmatch(text):
        day = datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)
        return day + timedelta(days=1) if is_end else day
    # A plus sign that was not escaped in the URL arrives as a space.
    time = datetime.fromisoformat(text.replace(" ", "+"))
    if time.tzinfo is None:
        raise ValueError
    hour = time.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return hour + _HOUR if is_end and hour != time else hour
