import contextlib
from datetime import timedelta

import pytest

from infrastructure.preview.driver import DESTROY_ATTEMPTS, LOCK_STALE_MINUTES, PreviewRequest
from infrastructure.preview.errors import (
    AccessDeniedError,
    LeftBehindError,
    PreviewError,
    StackLockedError,
    StackMissingError,
)
from infrastructure.preview.names import Preview, RefusedError
from tests.infrastructure.preview.fakes import DENIED, IN_USE, MADE, Killed, World

pytestmark = pytest.mark.infrastructure

PREVIEW = Preview(12)
WANTED = PreviewRequest(region="us-east-1", lifetime=timedelta(days=3))
NOTHING: set[tuple[str, str]] = set()


@pytest.fixture
def world() -> World:
    return World()


def test_up_brings_everything_and_says_when_it_goes(world: World) -> None:
    brought = world.driver.up(PREVIEW, WANTED)
    assert world.cloud.of_previews() == {(kind, "pr-12") for kind in MADE}
    assert brought.expires == world.clock.now() + timedelta(days=3)
    assert brought.outputs["url"] == "https://pr-12.dev.example.org"


def test_settings_carry_base_expiry_and_label(world: World) -> None:
    world.driver.up(
        PREVIEW, PreviewRequest(region="us-east-1", lifetime=timedelta(hours=1), keep=True)
    )
    assert world.stacks.states["pr-12"].recorded == {
        "aws:region": "us-east-1",
        "patient-management:base": "dev",
        "patient-management:expires": "2026-01-31T13:00:00+00:00",
        "patient-management:keep": "true",
        "patient-management:spot": "true",
    }


def test_second_up_starts_the_time_again(world: World) -> None:
    world.driver.up(PREVIEW, WANTED)
    world.clock.pass_(timedelta(days=2))
    assert world.driver.up(PREVIEW, WANTED).expires == world.clock.now() + timedelta(days=3)


def up_all(world: World, *numbers: int, at_once: int) -> None:
    for number in numbers:
        world.driver.up(
            Preview(number),
            PreviewRequest(region="us-east-1", lifetime=timedelta(days=3), at_once=at_once),
        )


def test_one_preview_too_many_is_refused_and_leaves_nothing(world: World) -> None:
    world.stacks.open("dev")
    up_all(world, 1, 2, at_once=2)
    with pytest.raises(
        RefusedError,
        match=r"pr-12: there are 2 previews at once at most, and these are: pr-1, pr-2;",
    ):
        up_all(world, 12, at_once=2)
    assert set(world.stacks.states) == {"dev", "pr-1", "pr-2"}
    assert not {kind for kind, stack in world.cloud.resources if stack == "pr-12"}


def test_preview_that_has_its_place_is_brought_up_to_date_in_a_full_house(world: World) -> None:
    up_all(world, 1, 2, at_once=2)
    up_all(world, 1, at_once=1)
    world.driver.down(Preview(2))
    up_all(world, 12, at_once=2)


def test_of_two_that_come_at_once_not_one_too_many_gets_in(world: World) -> None:
    up_all(world, 1, at_once=2)
    world.stacks.open("pr-2")
    with pytest.raises(RefusedError, match="at once at most"):
        up_all(world, 12, at_once=2)


def test_down_leaves_nothing_but_the_base(world: World) -> None:
    before = set(world.cloud.resources)
    world.driver.up(PREVIEW, WANTED)
    world.driver.down(PREVIEW)
    assert world.cloud.resources == before
    assert world.stacks.states == {}


def test_down_leaves_another_preview_alone(world: World) -> None:
    for preview in (Preview(1), PREVIEW):
        world.driver.up(preview, WANTED)
    world.driver.down(Preview(1))
    assert world.cloud.of_previews() == {(kind, "pr-12") for kind in MADE}


def test_down_refreshes_before_it_destroys_and_removes_last(world: World) -> None:
    world.driver.up(PREVIEW, WANTED)
    world.stacks.calls.clear()
    world.driver.down(PREVIEW)
    steps = [step for step, _ in world.stacks.calls if step in ("refresh", "destroy", "remove")]
    assert steps == ["refresh", "destroy", "remove"]


def test_down_repeats_safely(world: World) -> None:
    world.driver.up(PREVIEW, WANTED)
    world.driver.down(PREVIEW)
    world.driver.down(PREVIEW)
    assert world.cloud.of_previews() == NOTHING


@pytest.mark.parametrize("kind", MADE)
@pytest.mark.parametrize("acted", ["before", "after"])
def test_down_after_a_killed_up_leaves_nothing(world: World, kind: str, acted: str) -> None:
    world.stacks.fail(f"make {kind}", Killed(acted))
    with pytest.raises(Killed):
        world.driver.up(PREVIEW, WANTED)
    world.clock.pass_(timedelta(minutes=LOCK_STALE_MINUTES + 1))
    world.driver.down(PREVIEW)
    assert world.cloud.of_previews() == NOTHING
    assert world.stacks.states == {}


@pytest.mark.parametrize(
    "step", ["refresh", "destroy", "remove", *(f"unmake {kind}" for kind in MADE)]
)
@pytest.mark.parametrize("acted", ["before", "after"])
def test_down_after_a_killed_down_leaves_the_base_and_the_other_preview(
    world: World, step: str, acted: str
) -> None:
    world.driver.up(Preview(1), WANTED)
    beside = set(world.cloud.resources)
    world.driver.up(PREVIEW, WANTED)
    world.stacks.fail(step, Killed(acted))
    with contextlib.suppress(Killed):
        world.driver.down(PREVIEW)
    world.clock.pass_(timedelta(minutes=LOCK_STALE_MINUTES + 1))
    world.driver.down(PREVIEW)
    assert world.cloud.resources == beside
    assert set(world.stacks.states) == {"pr-1"}


@pytest.mark.parametrize("kind", MADE)
def test_up_after_a_killed_up_begins_anew(world: World, kind: str) -> None:
    world.stacks.fail(f"make {kind}", Killed("after"))
    with pytest.raises(Killed):
        world.driver.up(PREVIEW, WANTED)
    world.clock.pass_(timedelta(minutes=LOCK_STALE_MINUTES + 1))
    world.driver.up(PREVIEW, WANTED)
    assert world.cloud.of_previews() == {(made, "pr-12") for made in MADE}


def test_failed_up_is_continued_by_the_next(world: World) -> None:
    world.stacks.fail("make service", PreviewError("circuit breaker: rolled back"))
    with pytest.raises(PreviewError):
        world.driver.up(PREVIEW, WANTED)
    world.driver.up(PREVIEW, WANTED)
    assert world.cloud.of_previews() == {(kind, "pr-12") for kind in MADE}


def test_lock_of_a_run_that_may_still_work_is_respected(world: World) -> None:
    world.driver.up(PREVIEW, WANTED)
    world.stacks.states["pr-12"].locked_since = world.clock.now() - timedelta(
        minutes=LOCK_STALE_MINUTES - 1
    )
    with pytest.raises(StackLockedError):
        world.driver.down(PREVIEW)
    assert world.cloud.of_previews() == {(kind, "pr-12") for kind in MADE}


def test_lock_of_a_killed_run_is_broken(world: World) -> None:
    world.driver.up(PREVIEW, WANTED)
    world.stacks.states["pr-12"].locked_since = world.clock.now() - timedelta(
        minutes=LOCK_STALE_MINUTES
    )
    world.driver.down(PREVIEW)
    assert ("unlock", "pr-12") in world.stacks.calls
    assert any("its lock is from" in line for line in world.said)
    assert world.cloud.of_previews() == NOTHING


def test_lock_of_a_run_that_was_killed_between_two_steps_is_broken_by_the_next_up(
    world: World,
) -> None:
    world.driver.up(PREVIEW, WANTED)
    world.stacks.states["pr-12"].locked_since = world.clock.now()
    with pytest.raises(StackLockedError):
        world.driver.up(PREVIEW, WANTED)
    world.clock.pass_(timedelta(minutes=LOCK_STALE_MINUTES + 1))
    world.driver.up(PREVIEW, WANTED)


def test_resource_in_use_is_tried_again(world: World) -> None:
    world.driver.up(PREVIEW, WANTED)
    world.stacks.fail("unmake role", IN_USE, DESTROY_ATTEMPTS - 1)
    world.driver.down(PREVIEW)
    assert world.cloud.of_previews() == NOTHING


def test_resource_that_stays_in_use_is_named(world: World) -> None:
    world.driver.up(PREVIEW, WANTED)
    world.stacks.fail("unmake role", IN_USE, DESTROY_ATTEMPTS)
    world.kinds["role"].faults += [IN_USE] * (DESTROY_ATTEMPTS - 1)
    with pytest.raises(LeftBehindError, match="sg-1 has a dependent object"):
        world.driver.down(PREVIEW)
    assert "pr-12" in world.stacks.states


@pytest.mark.parametrize("refreshed", [False, True])
def test_service_that_a_killed_up_made_and_no_state_knows_of_goes_before_what_it_holds_on_to(
    world: World, refreshed: bool
) -> None:
    world.stacks.fail("make service", Killed("after"))
    with pytest.raises(Killed):
        world.driver.up(PREVIEW, WANTED)
    world.clock.pass_(timedelta(minutes=LOCK_STALE_MINUTES + 1))
    if refreshed:
        # Of a first try to take it down that was ended as well: its refresh dropped what was
        # pending.
        world.stacks.fail("destroy", DENIED)
        with pytest.raises(LeftBehindError):
            world.driver.down(PREVIEW)
        assert not world.stacks.interrupted("pr-12")
    world.driver.down(PREVIEW)
    assert world.cloud.of_previews() == NOTHING
    assert world.stacks.states == {}


@pytest.mark.parametrize("step", ["destroy", "unmake topic", "unmake role"])
def test_up_after_a_down_that_failed_midway_begins_anew(world: World, step: str) -> None:
    world.driver.up(PREVIEW, WANTED)
    world.stacks.fail(step, DENIED)
    with pytest.raises(LeftBehindError):
        world.driver.down(PREVIEW)
    world.stacks.calls.clear()
    world.driver.up(PREVIEW, WANTED)
    assert ("remove", "pr-12") in world.stacks.calls
    assert world.cloud.of_previews() == {(kind, "pr-12") for kind in MADE}


def test_release_that_failed_runs_again_and_is_not_taken_for_done_by_a_refresh(
    world: World,
) -> None:
    world.driver.up(PREVIEW, WANTED)
    world.stacks.states["pr-12"].failed = True
    world.driver.up(PREVIEW, WANTED)
    assert not world.stacks.states["pr-12"].failed


def test_up_makes_again_what_somebody_took_from_under_it(world: World) -> None:
    world.driver.up(PREVIEW, WANTED)
    world.cloud.resources -= {("topic", "pr-12"), ("service", "pr-12")}
    world.driver.up(PREVIEW, WANTED)
    assert world.cloud.of_previews() == {(kind, "pr-12") for kind in MADE}


def test_denied_destroy_is_loud_and_names_what_is_left(world: World) -> None:
    world.driver.up(PREVIEW, WANTED)
    world.stacks.fail("unmake service", DENIED)
    with pytest.raises(LeftBehindError) as caught:
        world.driver.down(PREVIEW)
    text = str(caught.value)
    assert "ecs:DeleteService" in text
    assert "6 resources in its stack" in text
    assert "database of pr-12" in text
    assert "pr-12" in world.stacks.states


def test_cause_of_several_lines_is_read_as_one_of_what_is_left() -> None:
    assert str(LeftBehindError("pr-12", ("destroy:\nerror: failed", "topic x"))).splitlines()[
        1:
    ] == [
        "  destroy:",
        "    error: failed",
        "  topic x",
    ]


def test_denied_look_is_no_proof_that_nothing_is_left(world: World) -> None:
    world.driver.up(PREVIEW, WANTED)
    world.kinds["topic"].faults += [DENIED, DENIED]
    with pytest.raises(LeftBehindError, match="topic: not looked at"):
        world.driver.down(PREVIEW)
    assert "pr-12" in world.stacks.states


def test_one_place_that_fails_does_not_keep_the_others(world: World) -> None:
    world.driver.up(PREVIEW, WANTED)
    world.kinds["image"].faults.append(DENIED)
    with pytest.raises(LeftBehindError, match="image of pr-12"):
        world.driver.down(PREVIEW)
    assert world.cloud.of_previews() == {("image", "pr-12")}


def test_credentials_gone_at_the_start_stop_it(world: World) -> None:
    world.driver.up(PREVIEW, WANTED)
    world.stacks.fail("list", AccessDeniedError("ExpiredToken"))
    with pytest.raises(AccessDeniedError):
        world.driver.down(PREVIEW)
    assert world.cloud.of_previews() == {(kind, "pr-12") for kind in MADE}


def test_state_that_cannot_be_read_is_loud_and_names_what_is_left(world: World) -> None:
    world.driver.up(PREVIEW, WANTED)
    world.stacks.fail("look", DENIED)
    with pytest.raises(LeftBehindError, match="database of pr-12"):
        world.driver.down(PREVIEW)


@pytest.mark.parametrize("step", ["look", "refresh"])
def test_stack_that_somebody_removed_at_that_moment_is_no_failure(world: World, step: str) -> None:
    world.driver.up(PREVIEW, WANTED)
    for gone in (step, "remove"):
        world.stacks.fail(gone, StackMissingError("no stack named 'pr-12' found"))
    world.driver.down(PREVIEW)
    assert world.cloud.of_previews() == NOTHING


def test_stack_that_somebody_removed_meanwhile_is_no_failure(world: World) -> None:
    world.driver.up(PREVIEW, WANTED)
    world.stacks.fail("destroy", StackMissingError("no stack named 'pr-12' found"))
    world.stacks.fail("remove", StackMissingError("no stack named 'pr-12' found"))
    world.cloud.resources -= {("role", "pr-12"), ("service", "pr-12")}
    world.driver.down(PREVIEW)
    assert world.cloud.of_previews() == NOTHING


def test_preview_of_another_base_is_refused(world: World) -> None:
    world.driver_of("staging").up(PREVIEW, WANTED)
    for refused in (lambda: world.driver.up(PREVIEW, WANTED), lambda: world.driver.down(PREVIEW)):
        with pytest.raises(RefusedError, match="runs on staging"):
            refused()


def test_what_has_no_stack_is_taken_too(world: World) -> None:
    world.cloud.resources.add(("database", "pr-12"))
    world.driver.down(PREVIEW)
    assert world.cloud.of_previews() == NOTHING
