"""What several forms read and offer: days, numbers, and the shipped lists of codes."""

import re
from datetime import date
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec

from apps.console.web.texts import Texts

_NUMBER = re.compile(r"[+-]?(?=[.,]?[0-9])[0-9]{0,12}([.,][0-9]{0,12})?")


@cache
def codes(kind: str) -> tuple[tuple[str, str, str], ...]:
    """Gives the shipped codes of a kind: system, code and display."""
    content = (files("apps.console") / "codes" / "codes.json").read_bytes()
    return tuple(tuple(row) for row in msgspec.json.decode(content).get(kind, []))


def day(text: str, texts: Texts) -> str:
    """Reads a day, month or year; empty where it is none."""
    if re.fullmatch(r"[12][0-9]{3}(-(0[1-9]|1[0-2]))?", text):
        return text
    found = texts.parse_date(text)
    return found.isoformat() if found else ""


def written_day(value: Any, texts: Texts) -> str:
    """Writes a day for a form."""
    text = str(value or "")[:10]
    return texts.short_date(date.fromisoformat(text)) if len(text) == 10 else text


def read_number(text: str) -> Decimal | None:
    """Reads a number with a decimal point or comma, of at most 12 digits before it and 12 after
    it; None for anything else.
    """
    text = text.replace(" ", "")
    return Decimal(text.replace(",", ".")) if _NUMBER.fullmatch(text) else None
