"""What the steps of a sign-in pass on and tell."""

import pytest

from apps.auth.pages.steps import MAX_NEXT_CHARS, next_of, too_many
from apps.auth.texts import ENGLISH


def test_where_a_person_goes_on_is_bounded() -> None:
    assert next_of({}) == ""
    assert next_of({"next": "x" * (MAX_NEXT_CHARS + 1)}) == "x" * MAX_NEXT_CHARS


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(1, "1 second "), (119, "119 seconds"), (120, "2 minutes"), (121, "3 minutes")],
)
def test_wait_is_told_in_seconds_and_a_long_one_in_minutes(seconds: int, told: str) -> None:
    assert told in too_many(ENGLISH, seconds)
