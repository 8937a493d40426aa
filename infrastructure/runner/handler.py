"""Starts one-off ECS tasks, waits for them within a limit, and fails loudly.

A Lambda function outside the VPC.

Its archive holds this package and the table of operators' verbs (`apps.operations`, `apps.verbs`):
it may import those and what Lambda's Python brings. Two functions are made of it. Both take fixed
actions with typed arguments, so that no caller names a command, an image or a database.

An environment's: `{"action": "up"}`: the release; `{"action": "operate", "verb": ..., "arguments":
{...}, "service": ...}`: a verb of `scripts/operate`, in the service's own image (see `operate`);
`{"action": "steady", "services": {NAME: ARN}}`: waits until these ECS services run these task
definitions; `{"action": "expire"}`: deletes answers that nobody read; a schedule sends it.

A preview's: `{"action": "up"|"drop", "pr": N}` and `{"action": "list"}`. When Pulumi deletes the
stack's resource, the preview's databases are dropped.

Pulumi adds `tf.action` and `task`, which only says that a task definition changed.
"""

import os
import time
from collections.abc import Mapping
from typing import Any

from infrastructure.runner.steady import MOST_SERVICES, wait_until_steady
from infrastructure.runner.tasks import (
    LIMIT_SECONDS,
    RefusedError,
    TaskCall,
    read_line,
    run_task,
)
from infrastructure.runner.verbs import Clients, delete_answers, operate

Event = Mapping[str, Any]
Step = tuple[str, list[str]]

# Members that Pulumi adds to an event.
PULUMI_MEMBERS = {"task", "tf"}
HIGHEST_PREVIEW = 48_999


def handler(event: Event, context: object) -> dict[str, Any]:
    """Answers an invocation.

    Raises RefusedError or TaskFailedError, which the caller sees as a failed invocation.
    """
    import boto3

    clients = Clients(
        ecs=boto3.client("ecs"),
        logs=boto3.client("logs"),
        secrets=boto3.client("secretsmanager"),
    )
    return run(clients, os.environ, event)


def run(clients: Clients, environment: Mapping[str, str], event: Event) -> dict[str, Any]:
    limit = time.monotonic() + LIMIT_SECONDS
    if environment["MODE"] == "environment":
        if event.get("action") == "operate":
            return operate(clients, environment, event, limit)
        if event == {"action": "expire"}:
            return {"deleted": delete_answers(clients.secrets, environment["ANSWERS"])}
        if event.get("action") == "steady":
            return await_services(clients.ecs, environment, event, limit)

    tasks = [
        run_task(clients.ecs, release_call(environment, definition, command), limit)
        for definition, command in plan(environment, event)
    ]
    if event["action"] == "list":
        return {"databases": read_list(clients.logs, environment["LOG_GROUP"], tasks[0])}
    return {"ran": tasks}


def await_services(
    ecs: Any, environment: Mapping[str, str], event: Event, limit: float
) -> dict[str, Any]:
    """Waits until the environment's services run what `pulumi up` declared.

    Raises RefusedError or DeploymentFailedError.
    """
    services = event.get("services")
    if (
        set(event) - PULUMI_MEMBERS != {"action", "services"}
        or not isinstance(services, Mapping)
        or not 1 <= len(services) <= MOST_SERVICES
        or not all(name.startswith(f"{environment['STACK']}-") for name in services)
        or not all(isinstance(definition, str) for definition in services.values())
    ):
        raise RefusedError("steady takes services: task definitions by an environment's services")
    # There is nothing to wait for once the stack goes.
    if not is_deletion(event):
        wait_until_steady(ecs, environment["CLUSTER"], services, limit)
    return {"steady": sorted(services)}


def is_deletion(event: Event) -> bool:
    """Returns whether Pulumi deletes the resource that this invocation is."""
    return bool(event.get("tf", {}).get("action") == "delete")


def plan(environment: Mapping[str, str], event: Event) -> list[Step]:
    """Returns the tasks to run, in order: (definition, command).

    The release is named by its ARN: whoever may register a task definition could add a newer one to
    its family.
    """
    deleted = is_deletion(event)
    release = environment["DEFINITION"]
    if environment["MODE"] == "environment":
        if set(event) - PULUMI_MEMBERS != {"action"} or event["action"] != "up":
            raise RefusedError(
                "an environment's runner takes the actions up, steady, operate and expire,"
                f" not {sorted(set(event) - PULUMI_MEMBERS)}"
            )
        return [] if deleted else [(release, ["up"])]
    if event == {"action": "list"}:
        return [(release, ["list"])]
    number = preview_number(event)
    prefix = f"pr_{number}_"
    if deleted or event["action"] == "drop":
        return [(release, ["drop", "--prefix", prefix])]
    # The base's own release makes the databases; the preview's code only ever signs in as their
    # owner.
    return [
        (release, ["databases", "--prefix", prefix]),
        (f"pr-{number}-release", ["migrate", "--prefix", prefix]),
    ]


def preview_number(event: Event) -> int:
    if set(event) - PULUMI_MEMBERS != {"action", "pr"} or event["action"] not in ("up", "drop"):
        raise RefusedError("a preview's runner takes action (up, drop) and pr")
    number = event["pr"]
    if (
        isinstance(number, bool)
        or not isinstance(number, int)
        or not 1 <= number <= HIGHEST_PREVIEW
    ):
        raise RefusedError("pr must be the number of a pull request")
    return number


def release_call(environment: Mapping[str, str], definition: str, command: list[str]) -> TaskCall:
    return TaskCall(
        cluster=environment["CLUSTER"],
        definition=definition,
        container="release",
        command=command,
        subnets=environment["SUBNETS"].split(","),
        groups=environment["GROUPS"].split(","),
        variables={},
    )


def read_list(logs: Any, group: str, task_arn: str) -> list[str]:
    """Returns the databases that previews have left: the task's last line, as JSON."""
    line = read_line(logs, group, f"release/release/{task_arn.rpartition('/')[2]}", ("databases",))
    return [str(name) for name in line["databases"]]
