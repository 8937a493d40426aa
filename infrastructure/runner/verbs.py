"""Runs operators' verbs in the task definition that a service runs, and carries secret answers past
the logs.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from apps.operations import InvalidArguments, command_of
from apps.verbs import VERBS
from infrastructure.runner.tasks import (
    RefusedError,
    TaskCall,
    TaskFailedError,
    poll,
    read_line,
    start_task,
)

Event = Mapping[str, Any]
# An answer in Secrets Manager is deleted by its reader, or by the schedule once it is this old.
ANSWER_LIFE = timedelta(minutes=45)
# The variable by which a service learns where to write an answer that holds a secret
# (apps/kit/operate.py).
ANSWER_VARIABLE = "OPERATE_ANSWER_SECRET"


@dataclass(frozen=True, slots=True, kw_only=True)
class Clients:
    """Clients of AWS, each a boto3 client or what a test puts in its place."""

    ecs: Any
    logs: Any
    secrets: Any


def operate(
    clients: Clients, environment: Mapping[str, str], event: Event, limit: float
) -> dict[str, Any]:
    """Runs a verb of the table in the task definition that its service runs now.

    Returns `{"answer": ...}` or `{"refused": REASON}` as the service wrote it; `{"secret": ARN}`
    where an answer that holds a secret lies, for the caller to read and delete; `{"task": ARN}` of
    a verb that may take longer than Lambda.
    """
    if set(event) - {"service"} != {"action", "verb", "arguments"}:
        raise RefusedError("operate takes verb, arguments and, where there are several, service")
    try:
        command = command_of(VERBS, event["verb"], event["arguments"], event.get("service"))
    except InvalidArguments as error:
        raise RefusedError(str(error)) from error
    if "aws" not in command.verb.places:
        raise RefusedError(f"{command.verb.name} is for a platform on one machine")

    delete_answers(clients.secrets, environment["ANSWERS"])
    secret = None
    if command.verb.secret:
        secret = make_answer_secret(clients.secrets, environment, command.verb.name)
    answered = False
    try:
        call = service_call(clients.ecs, environment, command.service, command.words, secret)
        task_arn = start_task(clients.ecs, call, limit)
        if command.verb.long:
            answered = True
            return {"task": task_arn}
        ended = wait_for_end(clients.ecs, call, task_arn, limit)
        answer = read_answer(clients.logs, environment, command.service, ended)
        answered = "answered" in answer
    finally:
        if secret is not None and not answered:
            clients.secrets.delete_secret(SecretId=secret, ForceDeleteWithoutRecovery=True)
    return {"secret": secret} if answered and secret else answer


def service_call(
    ecs: Any, environment: Mapping[str, str], service: str, words: list[str], secret: str | None
) -> TaskCall:
    """Returns a call of the definition, subnets and groups of the ECS service that runs `service`.

    By what runs, not by the family's newest revision: that one was perhaps never deployed.
    """
    cluster, prefix = environment["CLUSTER"], f"{environment['STACK']}-{service}-"
    pages = ecs.get_paginator("list_services").paginate(cluster=cluster)
    arns = [arn for page in pages for arn in page["serviceArns"]]
    found = [arn for arn in arns if arn.rpartition("/")[2].startswith(prefix)]
    if len(found) != 1:
        raise TaskFailedError(
            f"{len(found)} services are called {prefix}*: bring the stack up first"
        )
    described = ecs.describe_services(cluster=cluster, services=found)["services"][0]
    network = described["networkConfiguration"]["awsvpcConfiguration"]
    return TaskCall(
        cluster=cluster,
        definition=described["taskDefinition"],
        container=service,
        command=words,
        subnets=network["subnets"],
        groups=network["securityGroups"],
        variables={} if secret is None else {ANSWER_VARIABLE: secret},
    )


def make_answer_secret(client: Any, environment: Mapping[str, str], verb: str) -> str:
    """Makes an empty secret for one answer and returns its ARN; its name tells the kind of verb,
    for IAM.
    """
    noun = verb.partition(" ")[0]
    made = client.create_secret(
        Name=f"{environment['ANSWERS']}{noun}/{secrets.token_hex(8)}", KmsKeyId=environment["KEY"]
    )
    return str(made["ARN"])


def delete_answers(client: Any, prefix: str, now: datetime | None = None) -> int:
    """Deletes the answers older than ANSWER_LIFE, read or not, and returns their number."""
    end = (now or datetime.now(UTC)) - ANSWER_LIFE
    pages = client.get_paginator("list_secrets").paginate(
        Filters=[{"Key": "name", "Values": [prefix]}]
    )
    old = [
        secret["ARN"]
        for page in pages
        for secret in page["SecretList"]
        if secret["Name"].startswith(prefix) and secret["CreatedDate"] <= end
    ]
    for arn in old:
        client.delete_secret(SecretId=arn, ForceDeleteWithoutRecovery=True)
    return len(old)


def wait_for_end(ecs: Any, call: TaskCall, task_arn: str, limit: float) -> str:
    """Waits for the end of a verb's task.

    Its status is 0 or, where the service refused the verb, 1.
    """
    # Without the arguments: this may come to stand in a log.
    what = " ".join(call.command[:3])
    task = poll(ecs, call.cluster, task_arn, what, limit)
    codes = {container["name"]: container.get("exitCode") for container in task["containers"]}
    if codes.get(call.container) not in (0, 1):
        raise TaskFailedError(
            f"{what} failed: {task.get('stoppedReason')}, exit codes {codes}, {task_arn}"
        )
    return task_arn


def read_answer(
    logs: Any, environment: Mapping[str, str], service: str, task_arn: str
) -> dict[str, Any]:
    """Returns what the verb printed: its answer, its refusal, or that the answer lies in the
    secret.
    """
    group = f"{environment['LOG_PREFIX']}{service}"
    stream = f"{service}/{service}/{task_arn.rpartition('/')[2]}"
    return read_line(logs, group, stream, ("answer", "refused", "answered"))
