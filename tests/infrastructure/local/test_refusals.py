"""A part of the platform that does not start or stay is told in one line."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from apps.catalogue import SERVICES, Topic
from infrastructure.local import kafka as broker
from infrastructure.local import process, services
from infrastructure.local.postgres import initialise, wait_for_previous
from infrastructure.local.process import StartError
from infrastructure.local.services import Services


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ("a note\ninitdb: error: no room\nmore", "initdb: error: no room"),
        ("no room", "no room"),
        ("", "status 3"),
    ],
)
def test_cluster_that_cannot_be_made_is_told_and_leaves_no_password(
    told: str, reason: str, tmp_path: Path
) -> None:
    initdb = tmp_path / "initdb"
    initdb.write_text(f"#!/bin/sh\nprintf '{told}' >&2\nexit 3\n")
    initdb.chmod(0o755)
    with pytest.raises(StartError, match=f"^initdb failed: {reason}$"):
        initialise(tmp_path, tmp_path, "secret", None)
    assert not (tmp_path / "password").exists()
    assert not (tmp_path / "cluster").exists()


def test_cluster_that_another_server_holds_is_refused(tmp_path: Path) -> None:
    lock = tmp_path / "postmaster.pid"
    with subprocess.Popen(
        [sys.executable, "-c", "print('up', flush=True); input()"],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        lock.write_text(f"{other.pid}\n")
        with pytest.raises(StartError, match=f"another PostgreSQL .pid {other.pid}. still runs"):
            wait_for_previous(tmp_path, seconds=0.2)
        # A pid that another process has by now says nothing.
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        (elsewhere / "postmaster.pid").write_text(f"{other.pid}\n")
        wait_for_previous(elsewhere, seconds=0.0)
        other.communicate()
    wait_for_previous(tmp_path, seconds=0.0)


def test_topics_without_a_broker_are_refused() -> None:
    with pytest.raises(StartError, match="could not create Kafka's topics"):
        broker.create_topics("127.0.0.1:1", ())


@pytest.mark.integration
def test_topic_that_the_broker_does_not_take_is_refused_by_name(kafka: str) -> None:
    topic = Topic("no topic", 1, "delete", -1, -1)
    with pytest.raises(StartError, match="Kafka refused the topic no topic: InvalidTopic"):
        broker.create_topics(kafka, [topic])


def test_broker_keeps_its_ids(tmp_path: Path) -> None:
    broker.format_storage(tmp_path)
    first = (tmp_path / "meta.properties").read_text()
    broker.format_storage(tmp_path)
    assert (tmp_path / "meta.properties").read_text() == first


def test_id_of_a_broker_begins_with_no_dash(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter([b"\xf8" + bytes(15), bytes(16)])
    monkeypatch.setattr("uuid.uuid4", lambda: SimpleNamespace(bytes=next(drawn)))
    assert broker.make_kafka_id() == "A" * 22


def test_machine_without_a_free_port_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "port_is_free", lambda port: False)
    with pytest.raises(StartError, match="no free port"):
        process.free_port()


class Ended:
    status = 3

    def check(self) -> None:
        raise StartError("it ended with status 3")


class Restarting(Services):
    """Starts processes that end at once."""

    def start(self, entry: Any) -> None:
        self.processes[entry.name] = Ended()  # type: ignore[assignment]


def restarting(tmp_path: Path, said: list[str]) -> Restarting:
    output: Any = SimpleNamespace(progress=said.append)
    locate: Any = SimpleNamespace(ports=dict.fromkeys(SERVICES, 1))
    return Restarting(locate, {}, output, (), tmp_path / "pids.json")


def test_service_that_ends_again_and_again_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "WATCH_SECONDS", 0.0)
    said: list[str] = []
    running = restarting(tmp_path, said)
    running.start(SERVICES["auth"])
    with pytest.raises(StartError, match="it ended with status 3"):
        running.watch(lambda: None)
    assert said == ["auth ended with status 3; it is started again"] * services.MOST_RESTARTS


def test_service_that_is_never_ready_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "READY_SECONDS", 0.0)
    monkeypatch.setattr(services, "is_ready", lambda entry, port: entry.name != "patient")
    running = restarting(tmp_path, [])
    alive: Any = SimpleNamespace(check=lambda: None)
    running.processes = dict.fromkeys(SERVICES, alive)
    with pytest.raises(StartError, match="patient was not ready within 0 s"):
        running.wait_ready()
