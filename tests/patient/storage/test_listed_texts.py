"""Systems and the beginnings of URIs are led by what is listed of them, up to a limit."""

from typing import Any

import pytest

from apps.kit.errors import BadRequest
from apps.patient.search.criteria.criteria import Exact, ExactValue, UriBelow
from apps.patient.storage import listed_texts
from apps.patient.storage.listed_texts import resolve_below, resolve_systems

SYSTEM = ExactValue(matching=7, leading=None, system=7)
CODE = ExactValue(matching=8, leading=8)
BELOW = UriBelow(parameter="url", key=1, uri="http://a", hashed=9)


class Listed:
    """A database that lists so many texts behind each key."""

    def __init__(self, count: int, is_complete: bool = True) -> None:
        self.count = count
        self.is_complete = is_complete

    async def fetch(self, statement: str, key: int, start: str, end: str, limit: int) -> Any:
        # No URI but those below it.
        count = 0 if start == BELOW.uri else self.count
        return [(self.is_complete, list(range(1, min(count, limit) + 1)))]


async def systems(listed: Any) -> Any:
    return await resolve_systems(listed, Exact(values=(SYSTEM, CODE), is_narrow=True))


async def test_system_is_led_by_its_codes_unless_they_are_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listed_texts, "MAX_CODES", 2)
    led = tuple(ExactValue(matching=7, leading=code) for code in (1, 2))
    assert await systems(Listed(2)) == Exact(values=(*led, CODE), is_narrow=True)
    assert await systems(Listed(0)) == Exact(values=(CODE,), is_narrow=True)
    plain = Exact(values=(SYSTEM, CODE), is_narrow=True)
    assert await systems(Listed(3)) == plain
    assert await systems(Listed(2, is_complete=False)) == plain


async def test_criterion_without_a_system_asks_the_database_nothing() -> None:
    nothing: Any = None
    plain = Exact(values=(CODE,))
    assert await resolve_systems(nothing, plain) is plain


async def test_uris_below_another_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listed_texts, "MAX_URIS", 2)
    within: Any = Listed(2)
    led = tuple(ExactValue(matching=hashed, leading=hashed) for hashed in (1, 2))
    assert await resolve_below(within, BELOW) == Exact(values=led)
    beyond: Any = Listed(3)
    with pytest.raises(BadRequest, match="too_costly"):
        await resolve_below(beyond, BELOW)
    partly: Any = Listed(2, is_complete=False)
    own = ExactValue(matching=9, leading=None)
    assert await resolve_below(partly, BELOW) == Exact(values=(own, *led))
