"""Checks of an event's fields that both topics share. Each raises UnreadableError with a
stable reason.
"""

from datetime import UTC, date, datetime
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp

from apps.kit.event_batch import UnreadableError

MAX_TEXT_CHARACTERS = 256


def read_event_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise UnreadableError("invalid_event_id") from None


def read_required(name: str, text: str) -> str:
    if not text:
        raise UnreadableError(f"missing_{name}")
    return read_text(name, text)


def read_text(name: str, text: str) -> str:
    # PostgreSQL stores no NUL.
    if len(text) > MAX_TEXT_CHARACTERS or "\0" in text:
        raise UnreadableError(f"invalid_{name}")
    return text


def read_time(name: str, timestamp: Timestamp) -> datetime:
    try:
        return timestamp.ToDatetime(UTC)
    except (ValueError, OverflowError):
        raise UnreadableError(f"invalid_{name}") from None


def read_date(name: str, text: str) -> date | None:
    """Returns the date of `YYYY-MM-DD`, or None if the field is empty."""
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UnreadableError(f"invalid_{name}") from None
