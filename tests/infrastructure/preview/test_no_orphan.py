"""Whatever happens in whatever order, closing every pull request and reaping leaves the base and
nothing else.
"""

from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from infrastructure.preview.driver import LOCK_STALE_MINUTES, PreviewRequest
from infrastructure.preview.errors import AccessDeniedError, PreviewError
from infrastructure.preview.names import Preview, RefusedError
from infrastructure.preview.pulls import Pull
from infrastructure.preview.reap import reap
from tests.infrastructure.preview.fakes import DENIED, IN_USE, MADE, Killed, World

pytestmark = pytest.mark.infrastructure

LIFETIME = timedelta(days=1)
# 1 and 12: the one's name begins the other's.
PREVIEWS = st.sampled_from([Preview(1), Preview(2), Preview(12)])
MAKING = ["list", "config", "look", "unlock", "open", *(f"make {kind}" for kind in MADE)]
UNMAKING = [
    "list",
    "config",
    "look",
    "unlock",
    "refresh",
    "destroy",
    "remove",
    *(f"unmake {kind}" for kind in MADE),
]
FAULTS = st.sampled_from(
    [
        Killed("before"),
        Killed("after"),
        DENIED,
        IN_USE,
        AccessDeniedError("ExpiredToken"),
        PreviewError("throttled"),
    ]
)
# A step on the way, what happens there, and how often in a row.
Trouble = tuple[str, BaseException, int]


def trouble_at(steps: list[str]) -> st.SearchStrategy[Trouble | None]:
    return st.none() | st.tuples(st.sampled_from(steps), FAULTS, st.integers(1, 4))


def silent(preview: Preview) -> Pull:
    raise PreviewError("GitHub does not say")


class Previews(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.world = World()
        self.base = set(self.world.cloud.resources)
        self.open: set[Preview] = set()

    @rule(
        preview=PREVIEWS,
        keep=st.booleans(),
        at_once=st.sampled_from([1, 8, 8]),
        trouble=trouble_at(MAKING),
    )
    def up(self, preview: Preview, keep: bool, at_once: int, trouble: Trouble | None) -> None:
        self.open.add(preview)
        wanted = PreviewRequest(region="us-east-1", lifetime=LIFETIME, keep=keep, at_once=at_once)
        if self.survives(lambda: self.world.driver.up(preview, wanted), trouble):
            assert {(kind, preview.stack) for kind in MADE} <= self.world.cloud.resources

    @rule(preview=PREVIEWS, trouble=trouble_at(UNMAKING))
    def down(self, preview: Preview, trouble: Trouble | None) -> None:
        if self.survives(lambda: self.world.driver.down(preview), trouble):
            assert preview.stack not in {stack for _, stack in self.world.cloud.resources}

    @rule(trouble=trouble_at(UNMAKING), github_answers=st.booleans())
    def reaped(self, trouble: Trouble | None, github_answers: bool) -> None:
        pull = self.pull if github_answers else silent
        self.survives(lambda: reap(self.world.driver, pull, dry_run=False), trouble)

    @rule(preview=PREVIEWS)
    def closed(self, preview: Preview) -> None:
        self.open.discard(preview)

    @rule(kind=st.sampled_from(MADE))
    def place_is_out_of_reach(self, kind: str) -> None:
        self.world.kinds[kind].faults.append(DENIED)

    @rule(preview=PREVIEWS)
    def somebody_removes_the_stack_by_hand(self, preview: Preview) -> None:
        self.world.stacks.states.pop(preview.stack, None)

    @rule(hours=st.integers(1, 40))
    def time_passes(self, hours: int) -> None:
        self.world.clock.pass_(timedelta(hours=hours))

    def trouble_ends(self) -> None:
        self.world.stacks.trouble.clear()
        for kind in self.world.kinds.values():
            kind.faults.clear()

    @invariant()
    def base_is_whole(self) -> None:
        assert self.base <= self.world.cloud.resources

    @invariant()
    def what_lies_in_aws_can_be_found(self) -> None:
        found = {resource[1] for resource in self.world.cloud.of_previews()}
        seen = {
            leftover.preview.stack
            for kind in self.world.kinds.values()
            if not kind.faults
            for leftover in kind.find()
        }
        blind = any(kind.faults for kind in self.world.kinds.values())
        assert blind or found <= seen | set(self.world.stacks.states)

    def survives(self, act: Callable[[], object], trouble: Trouble | None) -> bool:
        if trouble:
            self.world.stacks.fail(*trouble)
        try:
            act()
        except (PreviewError, Killed, RefusedError) as error:
            event(type(error).__name__)
            return False
        finally:
            self.world.stacks.trouble.clear()
        return True

    def pull(self, preview: Preview) -> Pull:
        return Pull(open=preview in self.open)

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        self.trouble_ends()
        # What was labelled to keep stays by intent; take the labels off.
        for state in self.world.stacks.states.values():
            state.recorded.pop("patient-management:keep", None)
        self.open.clear()
        self.world.clock.pass_(timedelta(minutes=LOCK_STALE_MINUTES + 1))
        reaped = reap(self.world.driver, self.pull, dry_run=False)
        assert not reaped.failed, reaped
        assert self.world.cloud.resources == self.base
        assert self.world.stacks.states == {}


TestNoOrphan = Previews.TestCase
TestNoOrphan.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
