"""The runner that starts the release and waits for it, and the release's own side of AWS, against
moto.
"""

import json
import secrets
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import boto3
import pytest
from moto import mock_aws

from apps.catalogue import DATABASES, SECRETS, UNSET
from apps.release.aws import NotHere, open_target
from apps.release.bootstrap import DatabaseRoles
from apps.release.secret_places import arns_of, place_of_member, read_place
from apps.release.secrets import fill_secrets
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


@pytest.fixture
def target_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """What the release's task is given, its secrets made empty in moto as Pulumi makes them."""
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(variable, "testing")
    # The stacks' own account may be open around this: another region, and names of one's own.
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    own = secrets.token_hex(4)
    with mock_aws():
        client = boto3.client("secretsmanager")
        values = {
            f"{name}_ARN": client.create_secret(Name=f"{own}/{name}")["ARN"] for name in SECRETS
        }
        master = json.dumps({"username": "master", "password": "p/w:d@?"})
        arn = client.create_secret(Name=f"rds!{own}", SecretString=master)["ARN"]
        for database in DATABASES:
            values[f"{database.upper()}_DATABASE_HOST"] = "main.rds.amazonaws.com"
            values[f"{database.upper()}_MASTER_SECRET_ARN"] = arn
        values["PUBLIC_URL"] = "https://dev.example.org"
        yield values


def test_empty_secrets_are_filled_once(target_environment: dict[str, str]) -> None:
    target = open_target(target_environment)
    first = fill_secrets(target.secrets)
    assert set(first) == set(SECRETS)
    made = [value for value in first.values() if value != UNSET]
    assert len(set(made)) == len(made) == len([name for name in SECRETS if SECRETS[name].bytes])
    assert fill_secrets(open_target(target_environment).secrets) == first


def test_secret_that_an_operator_set_stays(target_environment: dict[str, str]) -> None:
    target = open_target(target_environment)
    assert fill_secrets(target.secrets)["AUTH_SMTP_URL"] == UNSET
    boto3.client("secretsmanager").put_secret_value(
        SecretId=target_environment["AUTH_SMTP_URL_ARN"],
        SecretString="smtps://user:password@mail.example.org:465",
    )
    # A rotation is of what the release makes.
    again = fill_secrets(open_target(target_environment).secrets, version=2)
    assert again["AUTH_SMTP_URL"].startswith("smtps://user:")
    assert again["AUTH_EXTERNAL_CLIENT_SECRET"] == UNSET


def test_rotated_secrets_stand_beside_the_ones_before(target_environment: dict[str, str]) -> None:
    first = fill_secrets(open_target(target_environment).secrets)
    rotated = open_target({**target_environment, "SECRETS_VERSION": "2"})
    assert rotated.secrets_version == 2
    second = fill_secrets(rotated.secrets, version=rotated.secrets_version)

    client = boto3.client("secretsmanager")
    for name in (name for name in SECRETS if SECRETS[name].bytes):
        arn = target_environment[f"{name}_ARN"]
        before = client.get_secret_value(SecretId=arn, VersionStage="AWSPREVIOUS")
        assert before["SecretString"] == first[name] != second[name]
    # Repeating it changes nothing.
    again = open_target({**target_environment, "SECRETS_VERSION": "2"})
    assert fill_secrets(again.secrets, version=2) == second


def test_of_two_releases_at_once_the_first_value_of_a_version_stands(
    target_environment: dict[str, str],
) -> None:
    store = open_target(target_environment).secrets
    name = next(iter(SECRETS))
    store.write_all({name: "first"}, 2)
    store.write_all({name: "second"}, 2)
    assert store.read(name) == "first"
    assert store.version(name) == 2


@pytest.fixture
def preview_environment(target_environment: dict[str, str]) -> dict[str, str]:
    """A preview's: one secret holds all."""
    arn = boto3.client("secretsmanager").create_secret(Name=f"preview/{secrets.token_hex(4)}")[
        "ARN"
    ]
    return target_environment | {f"{name}_ARN": place_of_member(arn, name) for name in SECRETS}


def test_previews_secrets_are_filled_once_into_one(preview_environment: dict[str, str]) -> None:
    first = fill_secrets(open_target(preview_environment).secrets)
    (arn,) = arns_of(preview_environment[f"{name}_ARN"] for name in SECRETS)
    client = boto3.client("secretsmanager")
    assert json.loads(client.get_secret_value(SecretId=arn)["SecretString"]) == first
    assert set(first) == set(SECRETS)
    assert fill_secrets(open_target(preview_environment).secrets) == first
    assert len(client.list_secret_version_ids(SecretId=arn)["Versions"]) == 1
    place = preview_environment["PATIENT_CLIENT_SECRET_ARN"]
    assert read_place(client, place) == first["PATIENT_CLIENT_SECRET"]


def test_secret_that_the_catalogue_has_since_joins_the_others(
    preview_environment: dict[str, str],
) -> None:
    store = open_target(preview_environment).secrets
    older = [secret for secret in SECRETS.values() if secret.name != "PATIENT_CLIENT_SECRET"]
    before = fill_secrets(store, older)
    after = fill_secrets(store)
    assert after == {**before, "PATIENT_CLIENT_SECRET": after["PATIENT_CLIENT_SECRET"]}
    assert fill_secrets(store, version=2) != after
    assert store.version("PATIENT_CLIENT_SECRET") == 2


def test_of_two_releases_of_a_preview_the_first_values_stand(
    preview_environment: dict[str, str],
) -> None:
    store = open_target(preview_environment).secrets
    store.write_all(dict.fromkeys(SECRETS, "first"))
    store.write_all(dict.fromkeys(SECRETS, "second"))
    assert {store.read(name) for name in SECRETS} == {"first"}


def test_a_service_may_open_as_many_connections_as_the_stack_reckons(
    target_environment: dict[str, str],
) -> None:
    assert open_target(target_environment).runtime_connections == 60
    assert (
        open_target({**target_environment, "RUNTIME_CONNECTIONS": "240"}).runtime_connections == 240
    )


def test_the_administrator_signs_in_by_token_where_rds_takes_it(
    target_environment: dict[str, str],
) -> None:
    tried: list[str] = []

    def admits(url: str) -> bool:
        tried.append(url)
        return True

    target = open_target(target_environment, admits)
    urls = {target.admin_url(database) for database in DATABASES}
    # One instance, one token: a second's would be another administrator to whoever groups by it.
    assert urls == set(tried) and len(tried) == 1
    parts = urlsplit(tried[0])
    assert (parts.username, parts.path) == ("master", "/postgres")
    assert "Action=connect&DBUser=master" in unquote(parts.password or "")


def test_the_administrator_signs_in_with_rdss_own_secret_over_verified_tls(
    target_environment: dict[str, str],
) -> None:
    target = open_target(target_environment, lambda url: False)
    parts = urlsplit(target.admin_url("patient"))
    assert (parts.username, unquote(parts.password or ""), parts.path) == (
        "master",
        "p/w:d@?",
        "/postgres",
    )
    assert parse_qs(parts.query) == {
        "sslmode": ["verify-full"],
        "sslrootcert": ["/etc/ssl/certs/rds.pem"],
    }
    assert len({target.admin_url(database) for database in DATABASES}) == 1


def test_owners_sign_in_with_a_token(target_environment: dict[str, str]) -> None:
    target = open_target(target_environment)
    parts = urlsplit(target.owner_url("patient", DatabaseRoles("pr_7_patient")))
    assert (parts.username, parts.path) == ("pr_7_patient_owner", "/pr_7_patient")
    assert "Action=connect&DBUser=pr_7_patient_owner" in unquote(parts.password or "")
    assert target.password_of is None


def test_a_previews_release_has_no_administrator(target_environment: dict[str, str]) -> None:
    without = {key: value for key, value in target_environment.items() if "MASTER" not in key}
    with pytest.raises(NotHere, match="PATIENT_MASTER_SECRET_ARN"):
        open_target(without).admin_url("patient")
