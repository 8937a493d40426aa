"""FHIR dates as spans of time in microseconds, for the index and for search values alike. Pure.

`2024-05` is all of May (https://hl7.org/fhir/R4/search.html#date).
"""

import re
from dataclasses import dataclass
from datetime import date

from apps.patient.search.index.index_values import OPEN_END, OPEN_START

_PARTS = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:[T "
    r"](\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?(Z|[+-]\d\d:\d\d)?)?)?)?",
    re.ASCII,
)
SECOND = 1_000_000
MINUTE = 60 * SECOND
DAY = 86_400 * SECOND
_EPOCH = date(1970, 1, 1).toordinal()
# The day after 9999-12-31, which `date` cannot name.
_END_OF_TIME = (date.max.toordinal() + 1 - _EPOCH) * DAY


@dataclass(frozen=True, slots=True)
class Moment:
    """The span that a date names: `start` and `end` in UTC, `clock_*` as the clock showed it.

    Both are the same without a zone: a day is then taken as UTC's where it must be compared with an
    instant. The end is exclusive.
    """

    start: int
    end: int
    clock_start: int
    clock_end: int
    has_zone: bool


def parse_moment(text: str) -> Moment | None:
    """Returns the span of a FHIR date, dateTime or instant; None for anything else."""
    match = _PARTS.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    try:
        if day is None:
            start, end = _month_or_year(int(year), int(month) if month else 0)
            return Moment(start, end, start, end, False)
        start = (date(int(year), int(month), int(day)).toordinal() - _EPOCH) * DAY
    except ValueError:
        return None
    if hour is None:
        return Moment(start, start + DAY, start, start + DAY, False)
    if int(hour) > 23 or int(minute) > 59 or int(second or 0) > 60:
        return None
    start += (int(hour) * 60 + int(minute)) * MINUTE + int(second or 0) * SECOND
    length = SECOND if second else MINUTE
    if fraction:
        digits = fraction[:6]
        length = 10 ** (6 - len(digits))
        start += int(digits) * length
    shift = _shift(zone) if zone else 0
    return Moment(start - shift, start - shift + length, start, start + length, bool(zone))


def _month_or_year(year: int, month: int) -> tuple[int, int]:
    start = (date(year, month or 1, 1).toordinal() - _EPOCH) * DAY
    next_year, next_month = (year, month + 1) if 0 < month < 12 else (year + 1, 1)
    if next_year > 9999:
        return start, _END_OF_TIME
    return start, (date(next_year, next_month, 1).toordinal() - _EPOCH) * DAY


def _shift(zone: str) -> int:
    if zone == "Z":
        return 0
    shift = (int(zone[1:3]) * 60 + int(zone[4:6])) * MINUTE
    return shift if zone[0] == "+" else -shift


def parse_period(start: str | None, end: str | None) -> Moment | None:
    """Returns the span of a Period, open where it has no start or no end; None if
    it has neither.
    """
    first = parse_moment(start) if start else None
    last = parse_moment(end) if end else None
    if first is None and last is None:
        return None
    return Moment(
        first.start if first else OPEN_START,
        last.end if last else OPEN_END,
        first.clock_start if first else OPEN_START,
        last.clock_end if last else OPEN_END,
        any(moment is not None and moment.has_zone for moment in (first, last)),
    )
