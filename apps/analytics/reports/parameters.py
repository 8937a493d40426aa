"""Parses what a caller asks for; each fault is named by its query parameter."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Literal, cast, get_args
from zoneinfo import ZoneInfo, available_timezones

from starlette.datastructures import QueryParams

from apps.analytics.figures.changes import QUARTER_MINUTES, quarter_of
from apps.kit.errors import BadRequest, FieldError, Unprocessable

Interval = Literal["hour", "day", "week", "month", "quarter", "year"]
INTERVALS: tuple[str, ...] = get_args(Interval)
DEFAULT_TIMEZONE = "UTC"
MAX_POINTS = 5_000
DEFAULT_TOP = 10
MAX_TOP = 100
MAX_CODE_CHARACTERS = 256
MAX_FAULTS = 10

PERIOD = ("interval", "from", "to", "timezone")

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_QUARTER = timedelta(minutes=QUARTER_MINUTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """From `start` on, up to and without `end`; None is open. Intervals begin by
    `timezone`'s clock.
    """

    interval: Interval
    timezone: str
    start: datetime | None
    end: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    system: str
    code: str


def parse_period(query: QueryParams, *others: str) -> Period:
    """Reads `interval`, `from`, `to` and `timezone` (an IANA name); `others` may stand beside them.

    `from` and `to` are dates, or date-times with their offset. A date in `to` is the last day
    counted. Raises BadRequest for what cannot be read and Unprocessable for a period that ends
    before it begins.
    """
    values = single_values(query, (*PERIOD, *others))
    faults: list[FieldError] = []

    interval = values.get("interval", "day")
    if interval not in INTERVALS:
        faults.append(FieldError("invalid_interval", f"one of {', '.join(INTERVALS)}", "interval"))

    timezone = values.get("timezone", DEFAULT_TIMEZONE)
    if timezone not in _timezones():
        faults.append(FieldError("invalid_timezone", "an IANA name, as Europe/Berlin", "timezone"))
        timezone = DEFAULT_TIMEZONE

    times: dict[str, datetime] = {}
    for name in ("from", "to"):
        if name in values:
            try:
                times[name] = _time(values[name], timezone, is_end=name == "to")
            except (ValueError, OverflowError):
                faults.append(
                    FieldError(
                        "invalid_time", "a date, or a date-time with its offset from UTC", name
                    )
                )
    if faults:
        raise BadRequest("invalid_parameter", faults=tuple(faults))

    start = times.get("from")
    end = times.get("to")
    if start and end and start >= end:
        raise Unprocessable("empty_period", "the period ends before it begins", pointer="to")
    return Period(interval=cast(Interval, interval), timezone=timezone, start=start, end=end)


def parse_months(query: QueryParams, *others: str) -> Period:
    """Reads a period of whole months (UTC), as breakdowns have them; raises BadRequest and
    Unprocessable.

    Periods that differ by less, or by a time zone, would tell the few people in between.
    """
    period = parse_period(query, *others)
    if not is_whole_months(period):
        raise Unprocessable(
            "period_too_fine", "a breakdown is for whole months in UTC", pointer="from"
        )
    return period


def is_whole_months(period: Period) -> bool:
    times = [time.astimezone(UTC) for time in (period.start, period.end) if time is not None]
    return all((time.day, time.hour, time.minute) == (1, 0, 0) for time in times)


def parse_top(query: QueryParams) -> int:
    """Reads `limit`, from 1 to MAX_TOP."""
    text = query.get("limit", str(DEFAULT_TOP))
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and 1 <= int(text) <= MAX_TOP):
        raise _invalid("limit", "invalid_limit", f"from 1 to {MAX_TOP}")
    return int(text)


def parse_code(query: QueryParams) -> Code:
    """Reads `system` (may be empty) and `code`; raises BadRequest without a code."""
    code = query.get("code", "")
    system = query.get("system", "")
    if not code or len(code) > MAX_CODE_CHARACTERS or "\0" in code:
        raise _invalid("code", "invalid_code", f"a code of 1 to {MAX_CODE_CHARACTERS} characters")
    if len(system) > MAX_CODE_CHARACTERS or "\0" in system:
        raise _invalid("system", "invalid_system", f"at most {MAX_CODE_CHARACTERS} characters")
    return Code(system=system, code=code)


def parse_choice(query: QueryParams, name: str, choices: tuple[str, ...]) -> str:
    """Reads one of `choices`, by default the first."""
    value = query.get(name, choices[0])
    if value not in choices:
        raise _invalid(name, f"invalid_{name}", f"one of {', '.join(choices)}")
    return value


def parse_day(query: QueryParams, name: str, timezone: str) -> date:
    """Reads a date, by default today in `timezone`."""
    text = query.get(name)
    if text is None:
        return datetime.now(ZoneInfo(timezone)).date()
    if not _DATE.fullmatch(text):
        raise _invalid(name, "invalid_date", "a date, as 2026-03-31")
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise _invalid(name, "invalid_date", "a date, as 2026-03-31") from None


def single_values(query: QueryParams, names: tuple[str, ...]) -> Mapping[str, str]:
    """Returns each parameter's one value; raises BadRequest for an unknown or a repeated one."""
    faults = [
        FieldError("unknown_parameter", "there is no such parameter", name)
        for name in query
        if name not in names
    ]
    for name in query:
        if len(query.getlist(name)) > 1:
            faults.append(FieldError("repeated_parameter", "given more than once", name))
    if faults:
        raise BadRequest("invalid_parameter", faults=tuple(faults[:MAX_FAULTS]))
    return dict(query)


def _invalid(name: str, code: str, detail: str) -> BadRequest:
    return BadRequest("invalid_parameter", faults=(FieldError(code, detail, name),))


@cache
def _timezones() -> frozenset[str]:
    # PostgreSQL has no `localtime`, and `Factory` is no place.
    return frozenset(available_timezones() - {"localtime", "Factory"})


def _time(text: str, timezone: str, *, is_end: bool) -> datetime:
    if _DATE.fullmatch(text):
        day = date.fromisoformat(text) + timedelta(days=1 if is_end else 0)
        return datetime.combine(day, datetime.min.time(), ZoneInfo(timezone)).astimezone(UTC)
    # A plus sign that was not escaped in the URL arrives as a space.
    time = datetime.fromisoformat(text.replace(" ", "+"))
    if time.tzinfo is None:
        raise ValueError
    utc = time.astimezone(UTC)
    quarter = quarter_of(utc)
    return quarter + _QUARTER if is_end and quarter != utc else quarter
