import asyncio
import time
from collections.abc import Iterator

import pytest

from apps.auth.people.passwords import (
    JUDGED_CHARS,
    MAX_PASSWORD_CHARS,
    MIN_PASSWORD_CHARS,
    Hashing,
    check_new_password,
    hash_password,
    is_easily_guessed,
    verify_password,
)
from apps.kit.errors import Unavailable, Unprocessable

GOOD = "pelican quarry dulcimer"


@pytest.fixture
def hashing() -> Iterator[Hashing]:
    hashing = Hashing(workers=1, max_waiting=2)
    yield hashing
    hashing.close()


@pytest.mark.parametrize(
    ("length", "taken"),
    [
        (MIN_PASSWORD_CHARS - 1, False),
        (MIN_PASSWORD_CHARS, True),
        (MAX_PASSWORD_CHARS, True),
        (MAX_PASSWORD_CHARS + 1, False),
    ],
)
def test_length_of_a_new_password_is_bounded_on_both_sides(length: int, taken: bool) -> None:
    password = "pelican quarry dulcimer ".ljust(MAX_PASSWORD_CHARS + 1, "x")[:length]
    if taken:
        assert check_new_password(password) == password
        return
    with pytest.raises(Unprocessable) as raised:
        check_new_password(password)
    assert raised.value.faults[0].pointer == "/password"


def test_new_password_is_text() -> None:
    with pytest.raises(Unprocessable):
        check_new_password([GOOD] * MIN_PASSWORD_CHARS)


def test_password_is_judged_by_its_beginning() -> None:
    strong = "qzxkvwjhbnpmgtfd"

    def beginning(count: int) -> str:
        return "a" * (JUDGED_CHARS - count) + strong[:count]

    most = max(count for count in range(len(strong)) if is_easily_guessed(beginning(count), ()))
    assert not is_easily_guessed(beginning(most + 1), ())
    assert is_easily_guessed(beginning(most) + strong[most:], ())


@pytest.mark.parametrize("password_hash", [None, "", "no hash at all"])
def test_no_password_fits_where_there_is_no_hash(password_hash: str | None) -> None:
    assert not verify_password(password_hash, GOOD)


def test_password_fits_its_own_hash_alone() -> None:
    password_hash = hash_password(GOOD)
    assert verify_password(password_hash, GOOD)
    assert not verify_password(password_hash, GOOD + " ")


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
