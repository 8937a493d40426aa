import asyncio
import time
from collections.abc import Iterator

import pytest

from apps.auth.people.passwords import Hashing
from apps.kit.errors import Unavailable, Unprocessable

GOOD = "pelican quarry dulcimer"


@pytest.fixture
def hashing() -> Iterator[Hashing]:
    hashing = Hashing(workers=1, max_waiting=2)
    yield hashing
    hashing.close()


async def test_new_password_is_judged_where_passwords_are_hashed(hashing: Hashing) -> None:
    assert await hashing.check_new(GOOD, ("ada@example.org", "Ada")) == GOOD
    with pytest.raises(Unprocessable):
        await hashing.check_new("password1234", ())
    with pytest.raises(Unprocessable):
        await hashing.check_new("ada@example.org", ("ada@example.org",))


async def test_who_judges_too_much_at_once_is_refused(
    hashing: Hashing, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(password: str, about: object) -> bool:
        time.sleep(0.2)
        return False

    monkeypatch.setattr("apps.auth.people.passwords.is_easily_guessed", slow)
    outcomes = await asyncio.gather(
        *(hashing.check_new(GOOD, ()) for _ in range(5)), return_exceptions=True
    )
    assert sum(isinstance(outcome, Unavailable) for outcome in outcomes) == 3
