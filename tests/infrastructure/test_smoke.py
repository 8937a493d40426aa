"""After `up`: a deployment that ECS took back, one that never ends, and an address that does not
answer are told.
"""

import base64
import json
import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from apps.catalogue import SERVICES
from infrastructure import smoke
from infrastructure.operate.answers import RefusedError
from infrastructure.recording import Recording
from infrastructure.smoke import (
    BrokenError,
    NotReadyError,
    Running,
    check_answers,
    check_services,
    check_sign_in,
    main,
    read_running,
    wait_for,
)

pytestmark = pytest.mark.infrastructure
REGION = "us-east-1"


@pytest.fixture
def ecs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(variable, "testing")
    with mock_aws():
        yield boto3.client("ecs", region_name=REGION)


@pytest.fixture
def running(ecs: Any, monkeypatch: pytest.MonkeyPatch) -> Running:
    """Two services in moto, each with its one task running."""
    monkeypatch.setenv("MOTO_ECS_SERVICE_RUNNING", "1")
    cluster = ecs.create_cluster(clusterName="patient-dev")["cluster"]["clusterArn"]
    definitions = {}
    for name in ("dev-auth", "dev-patient"):
        definitions[name] = register(ecs, name)
        ecs.create_service(
            cluster=cluster, serviceName=name, taskDefinition=definitions[name], desiredCount=1
        )
    return Running("http://127.0.0.1", cluster, REGION, definitions)


def register(ecs: Any, family: str) -> str:
    containers = [{"name": family, "image": "it", "memory": 64}]
    made = ecs.register_task_definition(family=family, containerDefinitions=containers)[
        "taskDefinition"
    ]
    return str(made["taskDefinitionArn"])


@pytest.fixture
def site() -> Iterator["Site"]:
    with Site() as site:
        yield site


class Site:
    """The stack's address on loopback. `answers`: status and body by path."""

    def __init__(self) -> None:
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.do_GET()

            def do_GET(self) -> None:
                site.credentials.append(self.headers.get("Authorization"))
                status, body = site.answers.get(self.path, (404, {}))
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            def log_message(self, format: str, *arguments: object) -> None:
                site.asked.append(self.path)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.asked: list[str] = []
        self.credentials: list[str | None] = []
        self.answers: dict[str, tuple[int, Any]] = {
            smoke.DISCOVERY: (200, {"issuer": self.url}),
            "/fhir/R4/metadata": (200, {}),
            "/api/patients": (401, {}),
            "/oauth2/token": (200, {"access_token": "a-token"}),
            smoke.CLIENT_PATH: (200, {}),
        }

    def __enter__(self) -> "Site":
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


def test_services_that_run_what_was_declared_pass(ecs: Any, running: Running) -> None:
    check_services(ecs, running)


def test_a_deployment_that_was_taken_back_is_told_at_once(ecs: Any, running: Running) -> None:
    # The stack declared a second revision, and ECS went back to the first.
    wanted = {**running.definitions, "dev-patient": register(ecs, "dev-patient")}
    told = (
        f"dev-patient runs {running.definitions['dev-patient']}, not {wanted['dev-patient']}: .* "
        f"taken back"
    )
    with pytest.raises(BrokenError, match=told):
        wait_for(lambda: check_services(ecs, replace(running, definitions=wanted)), 60, 60)


def test_a_service_that_is_not_there_is_told_at_once(ecs: Any, running: Running) -> None:
    gone = replace(running, definitions={**running.definitions, "dev-gateway": "it"})
    with pytest.raises(BrokenError, match=r"not there: .*dev-gateway"):
        wait_for(lambda: check_services(ecs, gone), 60, 60)


def test_a_deployment_that_never_ends_is_told_when_the_time_is_over(
    ecs: Any, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOTO_ECS_SERVICE_RUNNING", "0")
    arn = register(ecs, "dev-billing")
    ecs.create_service(
        cluster=running.cluster, serviceName="dev-billing", taskDefinition=arn, desiredCount=1
    )
    slow = replace(running, definitions={**running.definitions, "dev-billing": arn})
    with pytest.raises(NotReadyError):
        check_services(ecs, slow)
    with pytest.raises(BrokenError, match="after 0 seconds: dev-billing: IN_PROGRESS, 0 of 1 run"):
        wait_for(lambda: check_services(ecs, slow), 0.1, 0.06)


def test_a_failed_rollout_is_told_with_its_reason() -> None:
    class Ecs:
        def describe_services(self, **wanted: Any) -> Any:
            return {"failures": [], "services": [service]}

    deployment = {
        "status": "PRIMARY",
        "taskDefinition": "it",
        "rolloutState": "FAILED",
        "rolloutStateReason": "why",
    }
    service = {
        "serviceName": "dev-auth",
        "deployments": [deployment],
        "runningCount": 1,
        "desiredCount": 1,
    }
    with pytest.raises(BrokenError, match="dev-auth: why"):
        check_services(Ecs(), Running("", "c", REGION, {"dev-auth": "it"}))


def test_an_address_that_answers_for_its_services_passes(site: Site) -> None:
    check_answers(site.url)
    assert site.asked == list(smoke.QUESTIONS)
    assert set(site.credentials) == {None}


def answer(path: str, status: int, body: Any = None) -> Callable[[Site], None]:
    return lambda site: site.answers.update({path: (status, body)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (answer(smoke.DISCOVERY, 503), "openid-configuration answers 503"),
        (answer("/fhir/R4/metadata", 502), "metadata answers 502"),
        # A gateway that lets anybody in.
        (answer("/api/patients", 200, []), "patients answers 200, not 401"),
        (
            answer(smoke.DISCOVERY, 200, {"issuer": "https://elsewhere.example.org"}),
            "speaks for https://elsewhere",
        ),
        (answer(smoke.DISCOVERY, 200, "hello"), "speaks for nobody"),
    ],
)
def test_an_answer_that_is_another_is_told(
    site: Site, change: Callable[[Site], None], message: str
) -> None:
    change(site)
    with pytest.raises(BrokenError, match=message):
        wait_for(lambda: check_answers(site.url), 0.1, 0.06)


class Environment:
    """An environment's verbs on clients; `refuses`: the verbs that it refuses."""

    def __init__(self, *names: str, refuses: str = "") -> None:
        self.clients = {f"id-{name}": name for name in names}
        self.refuses = refuses
        self.ran: list[tuple[str, Mapping[str, Any]]] = []

    def operate(self, verb: str, values: Mapping[str, Any]) -> Any:
        self.ran.append((verb, values))
        if verb == self.refuses:
            raise RefusedError("it may not")
        if verb == "clients list":
            return [{"id": key, "name": name} for key, name in self.clients.items()]
        return {"id": "id-1", "secret": "a:secret"}


def test_client_of_its_own_signs_in_and_reads(site: Site) -> None:
    environment = Environment("Another")
    check_sign_in(site.url, environment.operate)
    assert site.asked == ["/oauth2/token", smoke.CLIENT_PATH]
    basic = base64.b64encode(b"id-1:a%3Asecret").decode()
    assert site.credentials == [f"Basic {basic}", "Bearer a-token"]
    assert environment.ran[1:] == [
        ("clients create", {"name": smoke.CLIENT_NAME, "scope": ["analytics.read"]})
    ]


def test_client_of_the_run_before_gets_a_new_secret(site: Site) -> None:
    environment = Environment("Another", smoke.CLIENT_NAME)
    check_sign_in(site.url, environment.operate)
    assert environment.ran[1:] == [
        ("clients rotate-secret", {"client_id": f"id-{smoke.CLIENT_NAME}"})
    ]


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/oauth2/token", 503, "nobody can sign in"),
        ("/oauth2/token", 401, "nobody can sign in"),
        (smoke.CLIENT_PATH, 401, "answers 401 to a token"),
    ],
)
def test_sign_in_that_fails_is_told(site: Site, path: str, status: int, message: str) -> None:
    site.answers[path] = (status, {})
    with pytest.raises(NotReadyError, match=message):
        check_sign_in(site.url, Environment().operate)


def test_environment_that_gives_no_client_fails_the_smoke_test(site: Site) -> None:
    with pytest.raises(BrokenError, match="it may not"):
        check_sign_in(site.url, Environment(refuses="clients create").operate)


def test_an_address_where_nobody_is_is_told_when_the_time_is_over() -> None:
    with Site() as site:
        url = site.url
    with pytest.raises(BrokenError, match="does not answer"):
        wait_for(lambda: check_answers(url), 0.1, 0.06)


def test_an_address_where_somebody_speaks_no_http_is_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"not yet\r\n")

        threading.Thread(target=greet, daemon=True).start()
        with pytest.raises(NotReadyError, match="does not answer"):
            check_answers(f"http://127.0.0.1:{server.getsockname()[1]}")


def test_what_comes_in_time_is_waited_for(site: Site) -> None:
    site.answers[smoke.DISCOVERY] = (503, {})
    tries: list[int] = []

    def check() -> None:
        tries.append(1)
        if len(tries) == 3:
            site.answers[smoke.DISCOVERY] = (200, {"issuer": site.url})
        check_answers(site.url)

    wait_for(check, 60, 0.01)
    assert len(tries) == 3


def test_every_stack_tells_what_it_runs(stacks: dict[str, Recording]) -> None:
    for name in ("dev", "staging", "prod"):
        stack = stacks[name]
        told = read_running(stack.outputs)
        made = {
            each.outputs["name"]: each.inputs["taskDefinition"]
            for each in stack.of("aws:ecs/service:Service")
        }
        assert told.definitions == made
        assert len(made) == len(SERVICES)
        assert (told.url, told.region) == (stack.outputs["url"], REGION)
    assert set(stacks["pr-1"].outputs["services"]) == set(SERVICES)


def test_outputs_of_an_older_program_are_told() -> None:
    with pytest.raises(BrokenError, match="lack 'services'"):
        read_running({"url": "https://dev.example.org"})


@pytest.fixture
def pulumi_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], None]:
    """A `pulumi` on the PATH that prints what a stack's outputs are."""

    def say(text: str, code: int) -> None:
        command = tmp_path / "pulumi"
        (tmp_path / "says").write_text(text)
        command.write_text(
            f'#!/bin/sh\necho "$@" > {tmp_path}/asked\ncat {tmp_path}/says\nexit {code}\n'
        )
        command.chmod(command.stat().st_mode | stat.S_IXUSR)

    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return say


def test_the_command_is_loud_and_ends_with_one(
    ecs: Any,
    running: Running,
    site: Site,
    pulumi_says: Callable[[str, int], None],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    services = {
        name: {"name": name, "definition": arn} for name, arn in running.definitions.items()
    }
    outputs = {"url": site.url, "platform": {"cluster_arn": running.cluster}, "services": services}
    pulumi_says(json.dumps(outputs), 0)
    environment = Environment()
    monkeypatch.setattr(
        "infrastructure.operate.aws.run",
        lambda stack, verb, values, service, *, clients: environment.operate(verb.name, values),
    )
    assert main(["dev"]) == 0
    assert smoke.CLIENT_PATH in site.asked
    site.answers["/oauth2/token"] = (503, {})
    assert main(["dev"]) == 1
    assert "nobody can sign in" in capsys.readouterr().err
    assert (tmp_path / "asked").read_text() == "stack output --json --stack dev\n"
    services["dev-auth"]["definition"] = "arn:of-another"
    pulumi_says(json.dumps(outputs), 0)
    assert main(["dev"]) == 1
    assert "smoke: dev: dev-auth runs" in capsys.readouterr().err
    pulumi_says("", 255)
    assert main(["dev"]) == 1
