"""A few kills; `python -m tests.system.bundle_kills --kills 50` is the long run."""

import asyncio

import pytest

from tests.system.bundle_kills import VICTIMS, Found, Written, differences_of, run
from tests.system.kills import open_stack
from tests.system.platform import variable

WHOLE = {("Patient/1", 1), ("Observation/1", 1)}
SENT = Written("m", 2, ["create"], set(WHOLE))


@pytest.mark.parametrize(
    ("found", "count"),
    [
        (Found(set(WHOLE), set(WHOLE), ["create"]), 0),
        (Found({("Patient/1", 1)}, set(WHOLE), ["create"]), 3),
        (Found(set(WHOLE), {("Patient/1", 1)}, ["create"]), 1),
        (Found(set(WHOLE), set(WHOLE), []), 1),
        (Found(set(WHOLE), set(WHOLE), ["create", "create"]), 1),
        (Found(), 1),
    ],
)
def test_what_is_not_all_or_nothing_is_noticed(found: Found, count: int) -> None:
    assert len(differences_of([SENT], {"m": found})) == count
    assert differences_of([Written("m", 2, ["create"])], {}) == []


@pytest.mark.system
def test_transactions_are_all_or_nothing_whatever_is_killed() -> None:
    # It starts a platform of its own: on this machine only.
    variable("PIDS")
    with open_stack() as stack:
        differences, written = asyncio.run(run(stack, 2 * len(VICTIMS), seed=1))
        assert differences == []
        assert set(stack.kills) == set(VICTIMS)
    answered = [sent for sent in written if sent.answered is not None]
    # Some were answered, and some lost their answer: else nothing was tried.
    assert 0 < len(answered) < len(written)
