"""Runs one-off ECS tasks: starts one, waits for its end, reads its last line from its log."""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

POLL_SECONDS = 5
LOG_TRIES = 6
ROLE_TRIES = 12
LIMIT_SECONDS = 840  # Lambda itself stops at 900


class RefusedError(Exception):
    """The request is none that this function takes."""


class TaskFailedError(Exception):
    """The task did not start, did not end in time, or ended with an error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCall:
    """`container` runs `command` in the task `definition`, in these subnets and security groups."""

    cluster: str
    definition: str
    container: str
    command: list[str]
    subnets: list[str]
    groups: list[str]
    variables: Mapping[str, str]


def run_task(ecs: Any, call: TaskCall, limit: float) -> str:
    """Starts the task and waits for its end. Raises TaskFailedError unless it ended well.

    A task of the same call that still runs is awaited instead: a long migration outlives the
    function that began it.
    """
    name = name_of(call)
    task_arn = running_task(ecs, call.cluster, name) or start_task(ecs, call, limit, name)
    return wait(ecs, call.cluster, task_arn, call.command, limit)


def name_of(call: TaskCall) -> str:
    """Returns the name by which a task of this call is found again. ECS takes 36 characters."""
    said = json.dumps([call.definition, call.command])
    return f"release-{hashlib.sha256(said.encode()).hexdigest()[:24]}"


def running_task(ecs: Any, cluster: str, name: str) -> str | None:
    found = ecs.list_tasks(cluster=cluster, startedBy=name, desiredStatus="RUNNING")["taskArns"]
    return str(found[0]) if found else None


def start_task(ecs: Any, call: TaskCall, limit: float, name: str | None = None) -> str:
    named: dict[str, Any] = {} if name is None else {"startedBy": name}
    override: dict[str, Any] = {"name": call.container, "command": call.command}
    if call.variables:
        override["environment"] = [
            {"name": name, "value": value} for name, value in call.variables.items()
        ]
    started = patiently(
        ecs.run_task,
        limit,
        cluster=call.cluster,
        taskDefinition=call.definition,
        launchType="FARGATE",
        count=1,
        networkConfiguration={
            "awsvpcConfiguration": {
                "subnets": call.subnets,
                "securityGroups": call.groups,
                "assignPublicIp": "DISABLED",
            }
        },
        overrides={"containerOverrides": [override]},
        **named,
    )
    if started.get("failures") or not started.get("tasks"):
        raise TaskFailedError(f"{call.definition} did not start: {started.get('failures')}")
    return str(started["tasks"][0]["taskArn"])


def patiently(
    call: Callable[..., Any],
    limit: float,
    sleep: Callable[[float], None] = time.sleep,
    **arguments: Any,
) -> Any:
    """Calls again while AWS does not know a role that was made a moment ago, and refuses the call
    for it.
    """
    for tries_left in reversed(range(ROLE_TRIES)):
        try:
            return call(**arguments)
        except Exception as error:
            told = getattr(error, "response", {}).get("Error", {})
            unknown = told.get("Code") == "AccessDeniedException" or "assume the role" in told.get(
                "Message", ""
            )
            if not unknown or not tries_left or time.monotonic() > limit:
                raise
        sleep(POLL_SECONDS)
    raise AssertionError("the last try returns or raises")


def wait(
    ecs: Any,
    cluster: str,
    task_arn: str,
    command: list[str],
    limit: float,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """Waits for the end of a release task. Raises TaskFailedError unless it ended well.

    `limit`: the clock's time by which all tasks of an invocation have ended, one after the other. A
    task that takes longer goes on.
    """
    what = " ".join(command)
    task = find_stopped(ecs, cluster, task_arn, limit, clock=clock, sleep=sleep)
    if task is None:
        raise TaskFailedError(
            f"{what} goes on after {LIMIT_SECONDS} seconds: bring the stack up again,"
            f" which waits for it: {task_arn}"
        )
    judge(task, what)
    return task_arn


def poll(
    ecs: Any,
    cluster: str,
    task_arn: str,
    what: str,
    limit: float,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Mapping[str, Any]:
    """Returns the task once it has stopped; stops it and raises TaskFailedError at the limit."""
    task = find_stopped(ecs, cluster, task_arn, limit, clock=clock, sleep=sleep)
    if task is not None:
        return task
    ecs.stop_task(cluster=cluster, task=task_arn, reason="It took too long")
    raise TaskFailedError(f"{what} did not end within {LIMIT_SECONDS} seconds: {task_arn}")


def find_stopped(
    ecs: Any,
    cluster: str,
    task_arn: str,
    limit: float,
    *,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> Mapping[str, Any] | None:
    """Returns the task once it has stopped, or None at the limit."""
    while clock() < limit:
        found = ecs.describe_tasks(cluster=cluster, tasks=[task_arn])["tasks"]
        if found and found[0]["lastStatus"] == "STOPPED":
            task: Mapping[str, Any] = found[0]
            return task
        sleep(POLL_SECONDS)
    return None


def judge(task: Mapping[str, Any], what: str) -> None:
    """Raises TaskFailedError unless the release's container ended with status 0."""
    codes = {container["name"]: container.get("exitCode") for container in task["containers"]}
    # Without an exit code the container never ran: no image, no secret or no address.
    if codes.get("release") != 0:
        raise TaskFailedError(
            f"{what} failed: {task.get('stoppedReason')}, exit codes {codes}, {task['taskArn']}"
        )


def read_line(logs: Any, group: str, stream: str, members: tuple[str, ...]) -> dict[str, Any]:
    """Returns the stream's last line that is a JSON object with one of `members` first."""
    starts = tuple(f'{{"{member}"' for member in members)
    for _ in range(LOG_TRIES):
        # A page may be empty, and the line on a later one.
        pages = logs.get_paginator("filter_log_events").paginate(
            logGroupName=group, logStreamNames=[stream]
        )
        lines = [event["message"] for page in pages for event in page["events"]]
        found = [line for line in lines if line.startswith(starts)]
        if found:
            answer: dict[str, Any] = json.loads(found[-1])
            return answer
        time.sleep(POLL_SECONDS)
    raise TaskFailedError(f"{stream} ended, but its last line did not come through its log")
