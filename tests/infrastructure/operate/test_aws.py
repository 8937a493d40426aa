"""Verbs in an environment on AWS, with the clients of AWS replaced."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from apps.verbs import VERBS
from infrastructure.operate import aws
from infrastructure.operate.answers import RefusedError
from infrastructure.operate.aws import Clients, run

UNLOCK = VERBS["users unlock"]
ADDRESS = {"address": "a@example.org"}


class FakeRunner:
    def __init__(self, body: Any, **response: Any) -> None:
        self.body = body
        self.response = response
        self.calls: list[tuple[str, Any]] = []

    def invoke(self, *, FunctionName: str, Payload: bytes) -> Any:
        self.calls.append((FunctionName, json.loads(Payload)))
        return {"Payload": io.BytesIO(json.dumps(self.body).encode()), **self.response}


class FakeSecrets:
    def __init__(self, **values: str) -> None:
        self.values = values

    def get_secret_value(self, *, SecretId: str) -> Any:
        return {"SecretString": self.values[SecretId]}

    def delete_secret(self, *, SecretId: str, ForceDeleteWithoutRecovery: bool) -> None:
        assert ForceDeleteWithoutRecovery
        del self.values[SecretId]


def clients(**known: Any) -> Clients:
    return Clients(**{"runner": None, "secrets": None, "ecs": None, "logs": None, **known})


def test_runner_is_asked_for_the_verb_and_its_arguments() -> None:
    runner = FakeRunner({"answer": {"unlocked": "a@example.org"}})
    answer = run("dev", UNLOCK, ADDRESS, None, clients=clients(runner=runner))
    assert answer == {"unlocked": "a@example.org"}
    event = {"action": "operate", "verb": "users unlock", "arguments": ADDRESS}
    assert runner.calls == [("patient-management-dev-runner", event)]


def test_named_service_is_passed_on() -> None:
    runner = FakeRunner({"answer": []})
    run("prod", VERBS["audit search"], {}, "patient", clients=clients(runner=runner))
    assert runner.calls[0][1]["service"] == "patient"


def test_secret_answer_is_read_once_and_deleted() -> None:
    secrets = FakeSecrets(arn=json.dumps({"answer": {"link": "https://x"}}))
    known = clients(runner=FakeRunner({"secret": "arn"}), secrets=secrets)
    assert run("dev", VERBS["users reset"], ADDRESS, None, clients=known) == {"link": "https://x"}
    assert secrets.values == {}


def test_verb_that_takes_long_names_its_task() -> None:
    runner = FakeRunner({"task": "arn:task"})
    answer: Any = run("dev", VERBS["figures rebuild"], {}, None, clients=clients(runner=runner))
    assert answer == {"task": "arn:task", "log": "scripts/operate dev logs analytics"}


@pytest.mark.parametrize(
    ("runner", "reason"),
    [
        (FakeRunner({"refused": "there is no user"}), "there is no user"),
        (FakeRunner({"errorMessage": "it timed out"}, FunctionError="Unhandled"), "it timed out"),
    ],
)
def test_refusal_of_the_runner_is_told(runner: FakeRunner, reason: str) -> None:
    with pytest.raises(RefusedError, match=reason):
        run("dev", UNLOCK, ADDRESS, None, clients=clients(runner=runner))


def test_refusal_of_aws_is_told() -> None:
    class Denied:
        def invoke(self, **_: Any) -> Any:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "Invoke")

    with pytest.raises(RefusedError, match="AccessDenied"):
        run("dev", UNLOCK, ADDRESS, None, clients=clients(runner=Denied()))


def test_preview_takes_no_verb_of_a_service() -> None:
    with pytest.raises(RefusedError, match="only status, sign-in, logs are for previews"):
        run("pr-7", UNLOCK, ADDRESS, None, clients=clients())


def outputs(monkeypatch: pytest.MonkeyPatch, values: Any) -> None:
    monkeypatch.setattr(aws, "read_outputs", lambda target: values)


def test_status_says_what_runs_and_what_should(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ecs:
        def describe_services(self, *, cluster: str, services: list[str]) -> Any:
            assert (cluster, services) == ("arn:cluster", ["dev-auth"])
            deployment = {"status": "PRIMARY", "rolloutState": "IN_PROGRESS"}
            return {
                "services": [
                    {
                        "serviceName": "dev-auth",
                        "runningCount": 1,
                        "desiredCount": 2,
                        "deployments": [deployment],
                    }
                ]
            }

    services = {"auth": {"name": "dev-auth"}}
    outputs(monkeypatch, {"platform": {"cluster_arn": "arn:cluster"}, "services": services})
    rows: Any = run("dev", VERBS["status"], {}, None, clients=clients(ecs=Ecs()))
    (row,) = rows
    assert (row["service"], row["running"], row["wanted"]) == ("auth", 1, 2)
    assert row["deployment"] == "IN_PROGRESS"
    outputs(monkeypatch, {})
    with pytest.raises(RefusedError, match="dev is not up"):
        run("dev", VERBS["status"], {}, None, clients=clients(ecs=Ecs()))


def test_sign_in_names_the_trial_account_of_a_preview_and_the_verb_of_an_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trial = {"user": "u", "password_arn": "p", "client_id": "c", "client_secret_arn": "s"}
    outputs(monkeypatch, {"url": "https://x", "sign_in": trial})
    known = clients(secrets=FakeSecrets(p="pass", s="secret"))
    answer: Any = run("pr-7", VERBS["sign-in"], {}, None, clients=known)
    assert (answer["password"], answer["client secret"]) == ("pass", "secret")
    outputs(monkeypatch, {"url": "https://x", "sign_in": {**trial, "password_arn": "all:p::"}})
    with pytest.raises(RefusedError, match="all has no member p"):
        run("pr-7", VERBS["sign-in"], {}, None, clients=clients(secrets=FakeSecrets(all="{}")))
    outputs(monkeypatch, {"url": "https://x"})
    first: Any = run("dev", VERBS["sign-in"], {}, None, clients=known)
    assert first["first administrator"] == "scripts/operate dev users first-admin ADDRESS"


def test_logs_are_the_last_lines_in_the_order_of_their_times() -> None:
    class Logs:
        def get_paginator(self, name: str) -> Any:
            assert name == "filter_log_events"
            return self

        def paginate(self, *, logGroupName: str, filterPattern: str = "") -> Any:
            assert filterPattern == '"r-1"'
            service = logGroupName.removeprefix("/patient-management/dev/")
            times = {"auth": (3, 1), "patient": (2,)}.get(service, ())
            return [{"events": [{"timestamp": at, "message": f"{at}\n"} for at in times]}]

    values = {"request_id": "r-1", "lines": "1"}
    shown = run("dev", VERBS["logs"], values, None, clients=clients(logs=Logs()))
    assert shown == "patient   | 2\nauth      | 3"
    with pytest.raises(RefusedError, match="there is no service x"):
        run("dev", VERBS["logs"], {"service": "x"}, None, clients=clients(logs=Logs()))


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("", "Pulumi's CLI is needed"),
        ("echo 'no such stack' >&2; exit 1", "stack output --json --stack dev: no such stack"),
    ],
)
def test_outputs_that_cannot_be_read_are_refused(
    script: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if script:
        (tmp_path / "pulumi").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "pulumi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RefusedError, match=reason):
        run("dev", VERBS["status"], {}, None, clients=clients())


def test_stack_without_an_address_has_no_sign_in(monkeypatch: pytest.MonkeyPatch) -> None:
    outputs(monkeypatch, {})
    with pytest.raises(RefusedError, match="dev is not up"):
        run("dev", VERBS["sign-in"], {}, None, clients=clients())
