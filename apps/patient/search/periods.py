"""FHIR dates as spans of time: `2024-05` is all of May (https://hl7.org/fhir/R4/search.html#date)."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_PARTS = re.compile(
    r"(\d{4})(?:-(\d{2})(?:-(\d{2})(?:T(\d{2}:\d{2})(:\d{2})?(\.\d+)?(Z|[+-]\d{2}:\d{2})?)?)?)?"
)


@dataclass(frozen=True, slots=True)
class Span:
    """From `start` up to, but not with, `end`; both UTC. `end` is datetime.max where time itself ends."""

    start: datetime
    end: datetime


def parse_span(text: str) -> Span | None:
    """The span of a FHIR date, dateTime or instant; without a zone it is read as UTC. None for anything else."""
    match = _PARTS.fullmatch(text)
    if match is None:
        return None
    year, month, day, minutes, seconds, fraction, zone = match.groups()
    try:
        if minutes:
            fraction = (fraction or ".0")[:7]
            zone = "+00:00" if zone in (None, "Z") else zone
            start = datetime.fromisoformat(
                f"{year}-{month}-{day}T{minutes}{seconds or ':00'}{fraction}{zone}"
            )
            start = start.astimezone(UTC)
            length = timedelta(minutes=1) if not seconds else timedelta(seconds=1)
            if match[6]:
                length = timedelta(microseconds=1)
            return Span(start, start + length)
        start = datetime(int(year), int(month or 1), int(day or 1), tzinfo=UTC)
        if day:
            return Span(start, start + timedelta(days=1))
        if month:
            return Span(start, (start + timedelta(days=31)).replace(day=1))
        return Span(start, start.replace(year=start.year + 1))
    except OverflowError:
        return Span(start, datetime.max.replace(tzinfo=UTC))
    except ValueError:
        if year == "9999" and not minutes:
            return Span(start, datetime.max.replace(tzinfo=UTC))
        return None
