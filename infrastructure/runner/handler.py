"""Starts a release task, waits for it within a stated limit, and fails loudly. A Lambda function outside the VPC.

Alone in its archive: it may import what Lambda's Python brings, and nothing of ours.

Two functions are made of it. An environment's takes `{"action": "up"}`. A preview's takes `{"action": "up"|"drop",
"pr": N}`, or `{"action": "list"}`, and nothing else: it builds every name itself, so that no caller can name another's
database.
Pulumi adds `tf.action`, and `task` to tell that a definition changed, which nothing here reads. When the stack's
resource is deleted, a preview's databases are dropped.
"""

import json
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

Event = Mapping[str, Any]
Step = tuple[str, list[str]]

POLL_SECONDS = 5
LOG_TRIES = 6
ROLE_TRIES = 12
PULUMIS_OWN = {"task", "tf"}
LIMIT_SECONDS = 840  # Lambda itself stops at 900
HIGHEST_PREVIEW = 48_999


class RefusedError(Exception):
    """The request is none that this function takes."""


class TaskFailedError(Exception):
    """The task did not start, did not end in time, or ended with an error."""


def handler(event: Event, context: object) -> dict[str, Any]:
    import boto3

    return run(boto3.client("ecs"), boto3.client("logs"), os.environ, event)


def run(ecs: Any, logs: Any, environment: Mapping[str, str], event: Event) -> dict[str, Any]:
    limit = time.monotonic() + LIMIT_SECONDS
    tasks = [
        run_task(ecs, environment, family, command, limit)
        for family, command in plan(environment, event)
    ]
    if event["action"] == "list":
        return {"databases": read_list(logs, environment["LOG_GROUP"], tasks[0])}
    return {"ran": tasks}


def plan(environment: Mapping[str, str], event: Event) -> list[Step]:
    """The tasks to run, in order: (definition, command).

    The release's own by its ARN: the newest of a family is whoever's may register one.
    """
    deleted = event.get("tf", {}).get("action") == "delete"
    release = environment["DEFINITION"]
    if environment["MODE"] == "environment":
        if set(event) - PULUMIS_OWN != {"action"} or event["action"] != "up":
            raise RefusedError(
                f"an environment's runner takes action: up, not {sorted(set(event) - PULUMIS_OWN)}"
            )
        return [] if deleted else [(release, ["up"])]
    if event == {"action": "list"}:
        return [(release, ["list"])]
    number = preview_number(event)
    prefix = f"pr_{number}_"
    if deleted or event["action"] == "drop":
        return [(release, ["drop", "--prefix", prefix])]
    # The base's own release makes the databases; the preview's code only ever signs in as their owner.
    return [
        (release, ["databases", "--prefix", prefix]),
        (f"pr-{number}-release", ["migrate", "--prefix", prefix]),
    ]


def preview_number(event: Event) -> int:
    if set(event) - PULUMIS_OWN != {"action", "pr"} or event["action"] not in ("up", "drop"):
        raise RefusedError("a preview's runner takes action (up, drop) and pr")
    number = event["pr"]
    if (
        isinstance(number, bool)
        or not isinstance(number, int)
        or not 1 <= number <= HIGHEST_PREVIEW
    ):
        raise RefusedError("pr must be the number of a pull request")
    return number


def run_task(
    ecs: Any, environment: Mapping[str, str], family: str, command: list[str], limit: float
) -> str:
    started = patiently(
        ecs.run_task,
        limit,
        cluster=environment["CLUSTER"],
        taskDefinition=family,
        launchType="FARGATE",
        count=1,
        networkConfiguration={
            "awsvpcConfiguration": {
                "subnets": environment["SUBNETS"].split(","),
                "securityGroups": environment["GROUPS"].split(","),
                "assignPublicIp": "DISABLED",
            }
        },
        overrides={"containerOverrides": [{"name": "release", "command": command}]},
    )
    if started.get("failures") or not started.get("tasks"):
        raise TaskFailedError(f"{family} did not start: {started.get('failures')}")
    return wait(
        ecs, environment["CLUSTER"], started["tasks"][0]["taskArn"], " ".join(command), limit
    )


def patiently(
    call: Callable[..., Any],
    limit: float,
    sleep: Callable[[float], None] = time.sleep,
    **arguments: Any,
) -> Any:
    """Roles that were made a moment ago are not known everywhere yet: AWS then refuses who comes with them."""
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
    what: str,
    limit: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """`limit`: the clock's time by which all of an invocation's tasks have ended, one after the other."""
    while clock() < limit:
        found = ecs.describe_tasks(cluster=cluster, tasks=[task_arn])["tasks"]
        if found and found[0]["lastStatus"] == "STOPPED":
            judge(found[0], what)
            return task_arn
        sleep(POLL_SECONDS)
    ecs.stop_task(cluster=cluster, task=task_arn, reason="The release took too long")
    raise TaskFailedError(f"{what} did not end within {LIMIT_SECONDS} seconds: {task_arn}")


def judge(task: Mapping[str, Any], what: str) -> None:
    for container in task["containers"]:
        # No exit code: it never ran (no image, no secret, no address).
        if container["name"] == "release" and container.get("exitCode") == 0:
            return
    codes = {container["name"]: container.get("exitCode") for container in task["containers"]}
    raise TaskFailedError(
        f"{what} failed: {task.get('stoppedReason')}, exit codes {codes}, {task['taskArn']}"
    )


def read_list(logs: Any, group: str, task_arn: str) -> list[str]:
    """The task's last words are a line of JSON: the databases that previews have left."""
    stream = f"release/release/{task_arn.rpartition('/')[2]}"
    for _ in range(LOG_TRIES):
        # A page may be empty, and the line on a later one.
        pages = logs.get_paginator("filter_log_events").paginate(
            logGroupName=group, logStreamNames=[stream], filterPattern="databases"
        )
        for line in (line for page in pages for line in page["events"]):
            if line["message"].startswith('{"databases"'):
                return [str(name) for name in json.loads(line["message"])["databases"]]
        time.sleep(POLL_SECONDS)
    raise TaskFailedError(f"{task_arn} ended well, but its list did not come through its log")
