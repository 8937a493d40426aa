"""The runner that starts the release and waits for it."""

import json
import time
from typing import Any

import pytest

from infrastructure.runner import handler, tasks
from infrastructure.runner.verbs import Clients

pytestmark = pytest.mark.infrastructure
BASE = {
    "CLUSTER": "c",
    "SUBNETS": "s",
    "GROUPS": "g",
    "DEFINITION": "dev-release",
    "LOG_GROUP": "/release",
}
ENVIRONMENT = {**BASE, "MODE": "environment"}
PREVIEW = {**BASE, "MODE": "preview"}
TASK = "arn:aws:ecs:us-east-1:123456789012:task/c/1"


class Ecs:
    """Tasks that end as they are told, in order."""

    def __init__(self, *exit_codes: int | None, failures: list[str] | None = None) -> None:
        self.exit_codes = list(exit_codes)
        self.failures = failures or []
        self.started: list[tuple[str, list[str]]] = []
        self.stopped: list[str] = []
        # Of tasks that run, their ARNs by who started them.
        self.running: dict[str, str] = {}
        self.names: list[str] = []

    def list_tasks(self, **wanted: Any) -> dict[str, Any]:
        assert wanted["desiredStatus"] == "RUNNING"
        arn = self.running.get(wanted["startedBy"])
        return {"taskArns": [arn] if arn else []}

    def run_task(self, **wanted: Any) -> dict[str, Any]:
        override = wanted["overrides"]["containerOverrides"][0]
        self.started.append((wanted["taskDefinition"], override["command"]))
        self.names.append(wanted["startedBy"])
        return {"tasks": [] if self.failures else [{"taskArn": TASK}], "failures": self.failures}

    def describe_tasks(self, **wanted: Any) -> dict[str, Any]:
        code = self.exit_codes.pop(0)
        container = {"name": "release", **({} if code is None else {"exitCode": code})}
        return {"tasks": [{"lastStatus": "STOPPED", "taskArn": TASK, "containers": [container]}]}

    def stop_task(self, **wanted: Any) -> None:
        self.stopped.append(wanted["task"])


class Logs:
    """Its first page is empty, as CloudWatch's may be."""

    def get_paginator(self, operation: str) -> "Logs":
        assert operation == "filter_log_events"
        return self

    def paginate(self, **wanted: Any) -> list[dict[str, Any]]:
        assert wanted["logStreamNames"] == ["release/release/1"]
        return [{"events": []}, {"events": [{"message": json.dumps({"databases": ["pr_1_auth"]})}]}]


def run(ecs: Ecs, environment: dict[str, str], event: dict[str, Any]) -> dict[str, Any]:
    return handler.run(Clients(ecs=ecs, logs=Logs(), secrets=None), environment, event)


def test_an_environments_release_is_one_task() -> None:
    ecs = Ecs(0)
    run(ecs, ENVIRONMENT, {"action": "up"})
    assert ecs.started == [("dev-release", ["up"])]


def test_a_previews_databases_are_made_by_its_bases_release() -> None:
    ecs = Ecs(0, 0)
    run(ecs, PREVIEW, {"action": "up", "pr": 7})
    assert ecs.started == [
        ("dev-release", ["databases", "--prefix", "pr_7_"]),
        ("pr-7-release", ["migrate", "--prefix", "pr_7_"]),
    ]


def test_deleting_a_preview_drops_its_databases_and_an_environment_keeps_them() -> None:
    ecs = Ecs(0)
    run(ecs, PREVIEW, {"action": "up", "pr": 7, "tf": {"action": "delete"}})
    assert ecs.started == [("dev-release", ["drop", "--prefix", "pr_7_"])]
    assert run(Ecs(), ENVIRONMENT, {"action": "up", "tf": {"action": "delete"}}) == {"ran": []}


@pytest.mark.parametrize("action", ["create", "update"])
def test_what_pulumi_adds_changes_nothing_until_it_deletes(action: str) -> None:
    added = {
        "task": "arn:aws:ecs:us-east-1:123456789012:task-definition/it:2",
        "tf": {"action": action},
    }
    ecs = Ecs(0, 0)
    run(ecs, PREVIEW, {"action": "up", "pr": 7, **added})
    assert [command[0] for _, command in ecs.started] == ["databases", "migrate"]
    ecs = Ecs(0)
    run(ecs, ENVIRONMENT, {"action": "up", **added})
    assert ecs.started == [("dev-release", ["up"])]


def test_deletion_with_a_task_drops_a_previews_databases_only() -> None:
    added = {
        "task": "arn:aws:ecs:us-east-1:123456789012:task-definition/it:2",
        "tf": {"action": "delete"},
    }
    ecs = Ecs(0)
    run(ecs, PREVIEW, {"action": "up", "pr": 7, **added})
    assert ecs.started == [("dev-release", ["drop", "--prefix", "pr_7_"])]
    assert run(Ecs(), ENVIRONMENT, {"action": "up", **added}) == {"ran": []}


def test_what_previews_left_is_read_from_the_tasks_log() -> None:
    assert run(Ecs(0), PREVIEW, {"action": "list"}) == {"databases": ["pr_1_auth"]}


@pytest.mark.parametrize(
    "event",
    [
        {"action": "drop"},
        {"action": "drop", "pr": "7"},
        {"action": "drop", "pr": True},
        {"action": "drop", "pr": 0},
        {"action": "drop", "pr": 49_000},
        {"action": "drop", "pr": 7, "prefix": "patient"},
        {"action": "drop", "prefix": ""},
        {"action": "sql", "pr": 7},
    ],
)
def test_a_previews_runner_takes_an_action_and_a_number_and_nothing_else(
    event: dict[str, Any],
) -> None:
    ecs = Ecs()
    with pytest.raises(tasks.RefusedError):
        run(ecs, PREVIEW, event)
    assert ecs.started == []


@pytest.mark.parametrize(
    "event", [{"action": "drop", "pr": 7}, {"action": "up", "pr": 7}, {"action": "list"}]
)
def test_an_environments_runner_takes_no_previews_action(event: dict[str, Any]) -> None:
    with pytest.raises(tasks.RefusedError):
        run(Ecs(), ENVIRONMENT, event)


@pytest.mark.parametrize("code", [1, None])
def test_a_task_that_fails_or_never_ran_fails_the_release(code: int | None) -> None:
    with pytest.raises(tasks.TaskFailedError):
        run(Ecs(code), ENVIRONMENT, {"action": "up"})


def test_a_task_that_does_not_start_fails_the_release() -> None:
    with pytest.raises(tasks.TaskFailedError, match="RESOURCE:ENI"):
        run(Ecs(failures=["RESOURCE:ENI"]), ENVIRONMENT, {"action": "up"})


def test_a_second_task_is_not_started_after_a_first_that_failed() -> None:
    ecs = Ecs(1)
    with pytest.raises(tasks.TaskFailedError):
        run(ecs, PREVIEW, {"action": "up", "pr": 7})
    assert len(ecs.started) == 1


def test_a_release_that_still_runs_is_awaited_and_not_started_again() -> None:
    first = Ecs(0)
    run(first, ENVIRONMENT, {"action": "up"})
    (name,) = first.names
    assert len(name) <= 36

    second = Ecs(0)
    second.running = {name: TASK}
    assert run(second, ENVIRONMENT, {"action": "up"}) == {"ran": [TASK]}
    assert second.started == []


def test_a_release_of_another_definition_or_preview_is_not_taken_for_this_one() -> None:
    names = []
    for environment, event in (
        (ENVIRONMENT, {"action": "up"}),
        ({**ENVIRONMENT, "DEFINITION": "dev-release:2"}, {"action": "up"}),
        (PREVIEW, {"action": "up", "pr": 7}),
        (PREVIEW, {"action": "up", "pr": 77}),
    ):
        ecs = Ecs(0, 0)
        run(ecs, environment, event)
        names += ecs.names
    assert len(set(names)) == len(names) == 6


def test_a_release_that_takes_too_long_goes_on() -> None:
    times = iter([0.0, 1.0, tasks.LIMIT_SECONDS + 1.0])
    ecs = Ecs()
    ecs.describe_tasks = lambda **wanted: {"tasks": []}  # type: ignore[method-assign]
    with pytest.raises(tasks.TaskFailedError, match="bring the stack up again"):
        tasks.wait(
            ecs,
            "c",
            TASK,
            ["up"],
            tasks.LIMIT_SECONDS,
            clock=lambda: next(times),
            sleep=lambda seconds: None,
        )
    assert ecs.stopped == []


def test_a_verbs_task_that_takes_too_long_is_stopped() -> None:
    times = iter([0.0, 1.0, tasks.LIMIT_SECONDS + 1.0])
    ecs = Ecs()
    ecs.describe_tasks = lambda **wanted: {"tasks": []}  # type: ignore[method-assign]
    with pytest.raises(tasks.TaskFailedError, match="did not end within"):
        tasks.poll(
            ecs,
            "c",
            TASK,
            "users list",
            tasks.LIMIT_SECONDS,
            clock=lambda: next(times),
            sleep=lambda seconds: None,
        )
    assert ecs.stopped == [TASK]


class Refusal(Exception):
    """As botocore's ClientError tells it."""

    def __init__(self, code: str, message: str = "") -> None:
        self.response = {"Error": {"Code": code, "Message": message}}


@pytest.mark.parametrize(
    "refusal",
    [
        Refusal("AccessDeniedException", "not authorized to perform: ecs:RunTask"),
        Refusal("ClientException", "ECS was unable to assume the role 'arn:aws:iam::1:role/x'"),
    ],
)
def test_roles_that_were_just_made_are_waited_for(refusal: Refusal) -> None:
    answers: list[Any] = [refusal, refusal, "started"]
    slept: list[float] = []

    def call(**arguments: Any) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    limit = time.monotonic() + 60
    assert tasks.patiently(call, limit, slept.append, cluster="c") == "started"
    assert len(slept) == 2
    answers += [refusal] * tasks.ROLE_TRIES
    with pytest.raises(Refusal):
        tasks.patiently(call, limit, slept.append)
    assert not answers
    assert sum(slept) <= 75
    # Never beyond the invocation's own limit.
    answers.append(refusal)
    with pytest.raises(Refusal):
        tasks.patiently(call, time.monotonic() - 1, lambda seconds: pytest.fail("it waited"))


def test_any_other_refusal_is_told_at_once() -> None:
    def call(**arguments: Any) -> Any:
        raise Refusal("ClusterNotFoundException")

    with pytest.raises(Refusal):
        tasks.patiently(call, time.monotonic() + 60, lambda seconds: pytest.fail("it waited"))


def test_an_invocations_tasks_share_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[float] = []

    def wait(ecs: Any, cluster: str, task_arn: str, command: list[str], limit: float) -> str:
        limits.append(limit)
        return task_arn

    monkeypatch.setattr(tasks, "wait", wait)
    began = time.monotonic()
    run(Ecs(), PREVIEW, {"action": "up", "pr": 7})
    assert len(limits) == 2
    assert len(set(limits)) == 1
    assert began <= limits[0] - tasks.LIMIT_SECONDS <= time.monotonic()


def test_the_limit_leaves_lambda_time_to_say_so() -> None:
    assert tasks.LIMIT_SECONDS < 900
