"""Operators' verbs in an environment's runner: whose task it starts, how answers come back, when
secrets go.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from apps.verbs import VERBS
from infrastructure.config.files import ROOT
from infrastructure.ecs.runner import ARCHIVE, OPERATED
from infrastructure.recording import Recording
from infrastructure.runner import handler, verbs
from infrastructure.runner.tasks import RefusedError, TaskFailedError
from infrastructure.runner.verbs import Clients

pytestmark = pytest.mark.infrastructure
PREFIX = "patient-management/dev/answers/"
ENVIRONMENT = {
    "MODE": "environment",
    "CLUSTER": "arn:aws:ecs:us-east-1:1:cluster/c",
    "STACK": "dev",
    "DEFINITION": "dev-release",
    "LOG_GROUP": "/patient-management/dev/release",
    "LOG_PREFIX": "/patient-management/dev/",
    "ANSWERS": PREFIX,
    "KEY": "alias/aws/secretsmanager",
    "SUBNETS": "s",
    "GROUPS": "g",
}
SERVICES = ["dev-auth-1a2b3c4", "dev-authority-1a2b3c4", "dev-patient-1a2b3c4"]
TASK = "arn:aws:ecs:us-east-1:1:task/c/17"
UNLOCK = {
    "action": "operate",
    "verb": "users unlock",
    "arguments": {"address": "ada@example.org"},
}
FIRST = {
    "action": "operate",
    "verb": "users first-admin",
    "arguments": {"address": "ada@example.org"},
}


class Ecs:
    """A cluster whose services run; a task writes `lines` and ends with `code`."""

    def __init__(self, code: int = 0) -> None:
        self.code = code
        self.calls: list[dict[str, Any]] = []

    def get_paginator(self, operation: str) -> "Ecs":
        assert operation == "list_services"
        return self

    def paginate(self, *, cluster: str) -> list[dict[str, Any]]:
        assert cluster == ENVIRONMENT["CLUSTER"]
        # More than one page, as a cluster with previews has.
        return [{"serviceArns": [f"{cluster}/{name}"]} for name in SERVICES]

    def describe_services(self, *, cluster: str, services: list[str]) -> dict[str, Any]:
        (arn,) = services
        name = arn.rpartition("/")[2].rpartition("-")[0]
        network = {"subnets": ["private"], "securityGroups": [f"group-of-{name}"]}
        return {
            "services": [
                {
                    "taskDefinition": f"arn:definition/{name}:7",
                    "networkConfiguration": {"awsvpcConfiguration": network},
                }
            ]
        }

    def run_task(self, **call: Any) -> dict[str, Any]:
        self.calls.append(call)
        return {"tasks": [{"taskArn": TASK}]}

    def describe_tasks(self, **wanted: Any) -> dict[str, Any]:
        name = self.calls[-1]["overrides"]["containerOverrides"][0]["name"]
        containers = [{"name": name, "exitCode": self.code}]
        return {"tasks": [{"lastStatus": "STOPPED", "taskArn": TASK, "containers": containers}]}


class Logs:
    def __init__(self, *lines: str) -> None:
        self.lines = lines
        self.asked: list[tuple[str, list[str]]] = []

    def get_paginator(self, operation: str) -> "Logs":
        return self

    def paginate(self, *, logGroupName: str, logStreamNames: list[str]) -> list[dict[str, Any]]:
        self.asked.append((logGroupName, logStreamNames))
        return [{"events": []}, {"events": [{"message": line} for line in self.lines]}]


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(variable, "testing")
    with mock_aws():
        client: Any = boto3.client
        secrets = client("secretsmanager", region_name="eu-west-1")
        yield secrets
        # The stacks' own account may be open around this, and then it lasts.
        for each in secrets.list_secrets()["SecretList"]:
            secrets.delete_secret(SecretId=each["ARN"], ForceDeleteWithoutRecovery=True)


def answers(secrets: Any) -> list[str]:
    return [
        each["ARN"]
        for each in secrets.list_secrets()["SecretList"]
        if each["Name"].startswith(PREFIX)
    ]


def test_verb_runs_in_what_its_service_runs_now(secrets: Any) -> None:
    ecs, logs = Ecs(), Logs('{"answer":{"user":"u-1"}}')
    clients = Clients(ecs=ecs, logs=logs, secrets=secrets)

    answer = handler.run(clients, ENVIRONMENT, UNLOCK)

    assert answer == {"answer": {"user": "u-1"}}
    (call,) = ecs.calls
    assert call["taskDefinition"] == "arn:definition/dev-auth:7"
    assert call["networkConfiguration"]["awsvpcConfiguration"] == {
        "subnets": ["private"],
        "securityGroups": ["group-of-dev-auth"],
        "assignPublicIp": "DISABLED",
    }
    (override,) = call["overrides"]["containerOverrides"]
    assert override == {
        "name": "auth",
        "command": ["operate", "users", "unlock", "ada@example.org"],
    }
    assert logs.asked == [("/patient-management/dev/auth", ["auth/auth/17"])]
    assert answers(secrets) == []


def test_answer_that_holds_a_secret_comes_back_by_its_arn_alone(secrets: Any) -> None:
    ecs = Ecs()
    clients = Clients(ecs=ecs, logs=Logs('{"answered":true}'), secrets=secrets)

    answer = handler.run(clients, ENVIRONMENT, FIRST)

    assert answer == {"secret": answers(secrets)[0]}
    (override,) = ecs.calls[0]["overrides"]["containerOverrides"]
    assert override["environment"] == [{"name": "OPERATE_ANSWER_SECRET", "value": answer["secret"]}]


def test_refusal_is_told_and_leaves_no_secret(secrets: Any) -> None:
    refused = '{"refused":"there is an administrator already"}'
    clients = Clients(ecs=Ecs(1), logs=Logs(refused), secrets=secrets)
    answer = handler.run(clients, ENVIRONMENT, FIRST)
    assert answer == {"refused": "there is an administrator already"}
    assert answers(secrets) == []


@pytest.mark.parametrize("code", [2, 137])
def test_task_that_fails_leaves_no_secret_and_names_no_argument(secrets: Any, code: int) -> None:
    clients = Clients(ecs=Ecs(code), logs=Logs(), secrets=secrets)
    with pytest.raises(TaskFailedError, match="exit codes") as failed:
        handler.run(clients, ENVIRONMENT, FIRST)
    assert "ada@example.org" not in str(failed.value)
    assert answers(secrets) == []


def test_verb_that_takes_long_is_answered_by_its_task(secrets: Any) -> None:
    event = {"action": "operate", "verb": "figures rebuild", "arguments": {}}
    cluster = Ecs()
    cluster.paginate = lambda *, cluster: [  # type: ignore[method-assign]
        {"serviceArns": [f"{cluster}/dev-analytics-1a2b3c4"]}
    ]
    clients = Clients(ecs=cluster, logs=Logs(), secrets=secrets)
    assert handler.run(clients, ENVIRONMENT, event) == {"task": TASK}


def test_service_that_does_not_run_is_named(secrets: Any) -> None:
    event = {"action": "operate", "verb": "figures rebuild", "arguments": {}}
    with pytest.raises(TaskFailedError, match="dev-analytics-"):
        handler.run(Clients(ecs=Ecs(), logs=Logs(), secrets=secrets), ENVIRONMENT, event)


@pytest.mark.parametrize(
    "event",
    [
        {**UNLOCK, "verb": "users rename"},
        {**UNLOCK, "arguments": {"address": "--role=admin"}},
        {**UNLOCK, "arguments": {"address": "ada@example.org", "command": "sh"}},
        {**UNLOCK, "arguments": ["ada@example.org"]},
        {**UNLOCK, "service": "patient"},
        {**UNLOCK, "image": "another"},
        {"action": "operate", "verb": "users unlock"},
        {"action": "operate", "verb": "psql", "arguments": {"service": "auth"}},
        {"action": "expire", "prefix": "patient-management/prod/"},
    ],
)
def test_runner_takes_verbs_of_the_table_with_typed_arguments_and_nothing_else(
    secrets: Any, event: dict[str, Any]
) -> None:
    ecs = Ecs()
    with pytest.raises(RefusedError):
        handler.run(Clients(ecs=ecs, logs=Logs(), secrets=secrets), ENVIRONMENT, event)
    assert ecs.calls == []


def test_verb_for_one_machine_is_refused(secrets: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    local = replace(VERBS["users unlock"], places=("local",))
    monkeypatch.setattr(verbs, "VERBS", {"users unlock": local})
    with pytest.raises(RefusedError, match="on one machine"):
        handler.run(Clients(ecs=Ecs(), logs=Logs(), secrets=secrets), ENVIRONMENT, UNLOCK)


def test_previews_runner_runs_no_verb(secrets: Any) -> None:
    preview = {**ENVIRONMENT, "MODE": "preview"}
    with pytest.raises(RefusedError):
        handler.run(Clients(ecs=Ecs(), logs=Logs(), secrets=secrets), preview, UNLOCK)


def test_answers_that_nobody_read_are_deleted_within_an_hour(secrets: Any) -> None:
    old = secrets.create_secret(Name=f"{PREFIX}1", SecretString="a link")["ARN"]
    other = secrets.create_secret(Name="patient-management/dev/AUTH_KEY", SecretString="k")["ARN"]
    clients = Clients(ecs=Ecs(), logs=Logs(), secrets=secrets)
    assert handler.run(clients, ENVIRONMENT, {"action": "expire"}) == {"deleted": 0}
    later = datetime.now(UTC) + verbs.ANSWER_LIFE
    assert verbs.delete_answers(secrets, PREFIX, later - timedelta(minutes=1)) == 0
    assert verbs.delete_answers(secrets, PREFIX, later + timedelta(seconds=1)) == 1
    left = {each["ARN"] for each in secrets.list_secrets()["SecretList"]}
    assert old not in left
    assert other in left


def test_schedule_has_the_runner_delete_answers(dev: Recording, prod: Recording) -> None:
    for stack in (dev, prod):
        rule = stack.one("aws:cloudwatch/eventRule:EventRule", "app-runner")
        target = stack.one("aws:cloudwatch/eventTarget:EventTarget", "app-runner")
        (permission,) = stack.of("aws:lambda/permission:Permission")
        function = stack.one("aws:lambda/function:Function", "app-runner")
        assert rule.inputs["scheduleExpression"] == "rate(15 minutes)"
        assert verbs.ANSWER_LIFE + timedelta(minutes=15) <= timedelta(hours=1)
        assert json.loads(target.inputs["input"]) == {"action": "expire"}
        assert target.inputs["arn"] == function.outputs["arn"]
        assert permission.inputs["sourceArn"] == rule.outputs["arn"]
        assert permission.inputs["principal"] == "events.amazonaws.com"


def test_services_that_answer_with_secrets_may_write_them(stacks: dict[str, Recording]) -> None:
    answering = {service for verb in VERBS.values() if verb.secret for service in verb.services}
    for name in ("dev", "staging", "prod"):
        stack = stacks[name]
        writers = {
            each.name.split("-")[1]
            for each in stack.of("aws:iam/rolePolicy:RolePolicy")
            if each.name.endswith("-task-work")
            and f"secret:patient-management/{name}/answers/*" in each.inputs["policy"]
            and each.name.startswith(f"{name}-")
        }
        assert writers == answering
    assert not any(
        "/answers/" in each.inputs["policy"]
        for each in stacks["pr-1"].of("aws:iam/rolePolicy:RolePolicy")
    )


def test_function_imports_nothing_but_what_its_archive_holds(tmp_path: Path) -> None:
    # As Lambda unpacks it.
    for file in ARCHIVE:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / file)
    program = "import infrastructure.runner.handler as h; print(h.handler.__name__, h.__file__)"
    done = subprocess.run(
        # Without site-packages: the project itself is installed there.
        [sys.executable, "-S", "-c", program],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("handler ")
    assert str(tmp_path) in done.stdout


def test_every_service_of_the_table_can_be_operated() -> None:
    assert set(OPERATED) == {service for verb in VERBS.values() for service in verb.services}
