"""Runs verbs in an environment on AWS.

A verb that a service runs goes to the environment's runner, a Lambda function that knows the same
table of verbs and starts the service's own task for it. It returns one of `{"answer": ...}`,
`{"refused": "..."}`: as the service answered; `{"secret": ARN}`: where an answer that holds a
secret lies, read once and deleted here; `{"task": ARN}`: a verb that takes longer than a Lambda
function may; its log has the answer.
"""

import contextlib
import json
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from apps.catalogue import SERVICES
from apps.operations import Verb
from apps.release.secret_places import read_filled_place
from infrastructure.config.naming import PROJECT
from infrastructure.operate.answers import Answer, RefusedError, answer_of
from infrastructure.operate.targets import ENVIRONMENTS

# The runner's own limit is 900 seconds.
INVOKE_SECONDS = 910
DEFAULT_LINES = 100
MAX_LINES = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Clients:
    """Clients of AWS, each a boto3 client or what a test puts in its place."""

    runner: Any
    secrets: Any
    ecs: Any
    logs: Any


def open_clients(session: boto3.Session | None = None) -> Clients:
    """Returns clients of the session's region, of the environment's by default."""
    session = session or boto3.Session()
    # An invocation that was sent twice would run the verb twice.
    once = Config(read_timeout=INVOKE_SECONDS, retries={"total_max_attempts": 1})
    return Clients(
        runner=session.client("lambda", config=once),
        secrets=session.client("secretsmanager"),
        ecs=session.client("ecs"),
        logs=session.client("logs"),
    )


def run(
    target: str,
    verb: Verb,
    values: Mapping[str, Any],
    service: str | None,
    *,
    clients: Clients | None = None,
) -> Answer:
    """Runs the verb by the runner or, if no service runs it, from here. Raises RefusedError."""
    try:
        clients = clients or open_clients()
        if not verb.services:
            return HERE[verb.name](clients, target, values)
        if target not in ENVIRONMENTS:
            raise RefusedError(
                f"{target} is a preview, made to be thrown away: only"
                f" {', '.join(HERE)} are for previews"
            )
        return invoke(clients, target, verb, values, service)
    except (BotoCoreError, ClientError) as error:
        raise RefusedError(f"AWS refused: {error}") from error


def invoke(
    clients: Clients, target: str, verb: Verb, values: Mapping[str, Any], service: str | None
) -> Answer:
    """Has the environment's runner run the verb."""
    event = {"action": "operate", "verb": verb.name, "arguments": dict(values)}
    if service:
        event["service"] = service
    response = clients.runner.invoke(
        FunctionName=f"{PROJECT}-{target}-runner", Payload=json.dumps(event).encode()
    )
    body = json.loads(response["Payload"].read())
    if "FunctionError" in response:
        raise RefusedError(str(body.get("errorMessage", body)))
    if "task" in body:
        return {"task": body["task"], "log": f"scripts/operate {target} logs {verb.services[0]}"}
    if "secret" in body:
        body = take_secret(clients, body["secret"])
    return answer_of(body)


def take_secret(clients: Clients, arn: str) -> Any:
    """Reads an answer and deletes the secret that carried it."""
    text = clients.secrets.get_secret_value(SecretId=arn)["SecretString"]
    # Who may not delete (a deployment of production) leaves that to the runner, which does it
    # within the hour.
    with contextlib.suppress(ClientError):
        clients.secrets.delete_secret(SecretId=arn, ForceDeleteWithoutRecovery=True)
    return json.loads(text)


def read_outputs(target: str) -> dict[str, Any]:
    """Returns the stack's outputs. Raises RefusedError."""
    command = ["pulumi", "stack", "output", "--json", "--stack", target]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise RefusedError("Pulumi's CLI is needed: it knows the stack's outputs") from None
    if done.returncode:
        raise RefusedError(f"{' '.join(command)}: {done.stderr.strip()}")
    outputs: dict[str, Any] = json.loads(done.stdout)
    return outputs


def show_status(clients: Clients, target: str, values: Mapping[str, Any]) -> Answer:
    outputs = read_outputs(target)
    try:
        cluster = outputs["platform"]["cluster_arn"]
        names = {each["name"]: service for service, each in outputs["services"].items()}
    except KeyError as error:
        raise RefusedError(f"{target} is not up: its stack has no output {error}") from None
    found = clients.ecs.describe_services(cluster=cluster, services=sorted(names))
    rows = []
    for each in found["services"]:
        primaries = [one for one in each["deployments"] if one["status"] == "PRIMARY"]
        primary: Mapping[str, Any] = primaries[0] if primaries else {}
        rows.append(
            {
                "service": names[each["serviceName"]],
                "running": each["runningCount"],
                "wanted": each["desiredCount"],
                "deployment": primary.get("rolloutState", "none"),
                "trouble": primary.get("rolloutStateReason", ""),
            }
        )
    return sorted(rows, key=lambda row: str(row["service"]))


def show_sign_in(clients: Clients, target: str, values: Mapping[str, Any]) -> Answer:
    outputs = read_outputs(target)
    if "url" not in outputs:
        raise RefusedError(f"{target} is not up: its stack has no output 'url'")
    known = {"url": outputs["url"], "sign in": f"{outputs['url']}/oauth2/sign-in"}
    trial = outputs.get("sign_in")
    if not isinstance(trial, dict):
        first = f"scripts/operate {target} users first-admin ADDRESS"
        return {**known, "first administrator": first}

    def read(name: str) -> str:
        return read_filled_place(clients.secrets, trial[name])

    return {
        **known,
        "user": trial["user"],
        "password": read("password_arn"),
        "client": trial["client_id"],
        "client secret": read("client_secret_arn"),
    }


def show_logs(clients: Clients, target: str, values: Mapping[str, Any]) -> Answer:
    service = values.get("service")
    if service is not None and service not in SERVICES:
        raise RefusedError(f"there is no service {service}: there are {', '.join(SERVICES)}")
    count = min(int(values.get("lines", DEFAULT_LINES)), MAX_LINES)
    lines: list[tuple[int, str]] = []
    for name in [service] if service else SERVICES:
        options: dict[str, Any] = {"logGroupName": f"/{PROJECT}/{target}/{name}"}
        if "request_id" in values:
            options["filterPattern"] = json.dumps(values["request_id"])
        pages = clients.logs.get_paginator("filter_log_events").paginate(**options)
        events = [event for page in pages for event in page["events"]]
        lines += [
            (event["timestamp"], f"{name:<9} | {event['message'].rstrip()}")
            for event in sorted(events, key=lambda event: event["timestamp"])[-count:]
        ]
    return "\n".join(line for _, line in sorted(lines))


HERE: Mapping[str, Callable[[Clients, str, Mapping[str, Any]], Answer]] = {
    "status": show_status,
    "sign-in": show_sign_in,
    "logs": show_logs,
}
