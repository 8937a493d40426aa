from datetime import timedelta

import pytest

from infrastructure.preview.driver import PreviewRequest
from infrastructure.preview.errors import AccessDeniedError, PreviewError
from infrastructure.preview.names import Preview
from infrastructure.preview.pulls import Pull, pulls_listed
from infrastructure.preview.reap import ReapResult, reap
from infrastructure.preview.settings import DEFAULT_LIFETIME
from tests.infrastructure.preview.fakes import DENIED, MADE, Killed, World

pytestmark = pytest.mark.infrastructure

WANTED = PreviewRequest(region="us-east-1", lifetime=timedelta(hours=5))
KEPT = PreviewRequest(region="us-east-1", lifetime=timedelta(hours=5), keep=True)


@pytest.fixture
def world() -> World:
    return World()


def up(world: World, *numbers: int, wanted: PreviewRequest = WANTED) -> None:
    for number in numbers:
        world.driver.up(Preview(number), wanted)


def alive(world: World) -> set[str]:
    return {stack for _, stack in world.cloud.of_previews()} | set(world.stacks.states)


def reap_with(world: World, open_pulls: str, *, dry_run: bool = False) -> ReapResult:
    return reap(world.driver, pulls_listed(open_pulls), dry_run=dry_run)


def test_preview_of_a_closed_pull_request_goes(world: World) -> None:
    up(world, 1, 12)
    assert not reap_with(world, "12").failed
    assert alive(world) == {"pr-12"}


def test_preview_whose_time_is_over_goes(world: World) -> None:
    up(world, 1)
    world.clock.pass_(timedelta(hours=4))
    up(world, 12)
    world.clock.pass_(timedelta(hours=1))
    reap_with(world, "1,12")
    assert alive(world) == {"pr-12"}


def test_kept_preview_outlives_its_time_and_its_pull_request(world: World) -> None:
    up(world, 1, wanted=KEPT)
    world.clock.pass_(timedelta(days=30))
    reap_with(world, "")
    assert alive(world) == {"pr-1"}


def test_label_on_the_pull_request_keeps(world: World) -> None:
    up(world, 1, 12)
    world.clock.pass_(timedelta(days=30))
    reap(world.driver, lambda preview: Pull(open=True, keep=preview == Preview(12)), dry_run=False)
    assert alive(world) == {"pr-12"}


def test_dry_run_says_what_would_go_and_touches_nothing(world: World) -> None:
    up(world, 1)
    reaped = reap_with(world, "", dry_run=True)
    assert [verdict.preview.number for verdict in reaped.verdicts if verdict.over] == [1]
    assert world.cloud.of_previews() == {(kind, "pr-1") for kind in MADE}


def test_one_that_fails_does_not_stop_the_others(world: World) -> None:
    up(world, 1, 2, 3)
    world.stacks.fail("destroy", DENIED)
    reaped = reap_with(world, "")
    assert reaped.failed
    assert "ecs:DeleteService" in reaped.failures[0]
    assert alive(world) == {"pr-1"}


def test_next_run_takes_what_the_last_one_could_not(world: World) -> None:
    up(world, 1, 2)
    world.stacks.fail("destroy", DENIED)
    reap_with(world, "")
    assert not reap_with(world, "").failed
    assert alive(world) == set()


def test_run_for_one_preview_looks_at_no_other(world: World) -> None:
    up(world, 1, 12)
    world.cloud.resources |= {("topic", "pr-7"), ("topic", "pr-8")}
    for only in (Preview(1), Preview(7)):
        reaped = reap(world.driver, pulls_listed(""), dry_run=False, only=only)
        assert [verdict.preview for verdict in reaped.verdicts] == [only]
    assert alive(world) == {"pr-12", "pr-8"}


def test_nobody_is_taken_for_closed_when_github_does_not_answer(world: World) -> None:
    def silent(preview: Preview) -> Pull:
        raise PreviewError("GitHub does not say")

    up(world, 1)
    assert reap(world.driver, silent, dry_run=False).failed
    assert alive(world) == {"pr-1"}
    world.clock.pass_(timedelta(hours=5))
    reap(world.driver, silent, dry_run=False)
    assert alive(world) == set()


@pytest.mark.parametrize("kind", MADE)
def test_what_has_no_stack_is_found_by_its_name(world: World, kind: str) -> None:
    world.cloud.resources.add((kind, "pr-7"))
    reap_with(world, "7")
    assert alive(world) == set()


def test_up_that_was_killed_before_its_first_checkpoint_goes_when_its_pull_request_closes(
    world: World,
) -> None:
    world.stacks.fail(f"make {MADE[0]}", Killed("after"))
    with pytest.raises(Killed):
        up(world, 7)
    world.clock.pass_(timedelta(hours=2))
    reap_with(world, "7")
    assert alive(world) == {"pr-7"}
    reap_with(world, "")
    assert alive(world) == set()


def test_up_that_was_killed_midway_has_the_default_time(world: World) -> None:
    world.stacks.fail("make database", Killed("after"))
    with pytest.raises(Killed):
        up(world, 7)
    world.clock.pass_(DEFAULT_LIFETIME)
    reap_with(world, "7")
    assert alive(world) == set()


def test_preview_that_begins_while_stacks_are_listed_is_no_orphan(world: World) -> None:
    def begin() -> None:
        world.stacks.open("pr-9")
        world.cloud.resources.add(("database", "pr-9"))

    world.stacks.after_listing = begin
    reap_with(world, "9")
    assert ("database", "pr-9") in world.cloud.resources


def test_place_that_could_not_be_looked_at_makes_it_fail(world: World) -> None:
    world.kinds["topic"].faults.append(AccessDeniedError("AccessDenied"))
    assert reap_with(world, "").unseen


def test_preview_of_another_base_is_left_alone_and_makes_it_fail(world: World) -> None:
    world.driver_of("staging").up(Preview(1), WANTED)
    up(world, 2)
    reaped = reap_with(world, "")
    assert [verdict.preview for verdict in reaped.verdicts] == [Preview(2)]
    assert alive(world) == {"pr-1"}
    assert any("pr-1 is on staging" in failure for failure in reaped.failures)
