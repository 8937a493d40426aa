"""A few kills of each kind; `python -m tests.system.kills --kills 50` is the long run
(docs/bench/billing.md).
"""

import asyncio

import pytest

from tests.system.kills import VICTIMS, open_stack, run
from tests.system.platform import variable

pytestmark = pytest.mark.system


def test_nothing_is_lost_or_counted_twice_whatever_is_killed() -> None:
    # It starts a platform of its own: on this machine only.
    variable("PIDS")
    with open_stack() as stack:
        assert asyncio.run(run(stack, len(VICTIMS), seed=1)) == []
        assert set(stack.kills) == set(VICTIMS)
