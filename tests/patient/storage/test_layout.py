"""Which layout of the stored rows is written."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from apps.patient.storage import layout
from apps.patient.storage.layout import Layout

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


class Stored:
    """A database whose rows are compact from the moment on."""

    def __init__(self) -> None:
        self.asked = 0

    async def fetchval(self, statement: str) -> datetime:
        self.asked += 1
        return MOMENT


@pytest.mark.parametrize(("microseconds", "is_compact"), [(-1, False), (0, True), (1, True)])
async def test_rows_are_compact_from_the_moment_on_which_is_read_once(
    monkeypatch: pytest.MonkeyPatch, microseconds: int, is_compact: bool
) -> None:
    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return MOMENT + timedelta(microseconds=microseconds)

    monkeypatch.setattr(layout, "datetime", Clock)
    stored: Any = Stored()
    found = Layout()
    assert [await found.is_compact(stored) for _ in range(2)] == [is_compact] * 2
    assert stored.asked == 1
