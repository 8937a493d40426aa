"""Verbs against the platform on this machine, by its state file."""

import json
import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from apps.catalogue import SERVICES
from apps.verbs import VERBS
from infrastructure.local import state as module
from infrastructure.local.home import LocalSecrets, wanted_version
from infrastructure.local.state import NotRunningError, State, published, read_state
from infrastructure.operate import local as operate
from infrastructure.operate.answers import RefusedError
from infrastructure.operate.local import keep_secret, last_lines, probe_readiness, run


def make_state(folder: Path, **changes: Any) -> State:
    values: dict[str, Any] = {
        "url": "http://127.0.0.1:4004",
        "logs": str(folder / "logs"),
        "secrets_file": str(folder / "secrets.json"),
        "user": "admin@example.org",
        "client_id": "local",
        "environments": {"auth": {"PATH": "/usr/bin:/bin"}},
        "targets": {},
        "database_urls": {"patient": "postgresql://patient:p@127.0.0.1:1/patient"},
        "kafka": "127.0.0.1:1",
    }
    return State(**{**values, **changes})


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[State]:
    """The published state of a platform that is said to run."""
    (tmp_path / "logs").mkdir()
    path = tmp_path / "state.json"
    monkeypatch.setenv("PLATFORM_STATE", str(path))
    made = make_state(tmp_path)
    with published(made, path):
        yield made


def test_state_is_its_owners_alone_and_gone_after_the_stop(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    environ = {"PLATFORM_STATE": str(path)}
    state = make_state(tmp_path)
    with published(state, path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert read_state(environ) == state
    with pytest.raises(NotRunningError):
        read_state(environ)


def test_state_that_a_killed_runner_left_is_no_running_platform(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOCAL", tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "lock.runner").write_text("7\n")
    (tmp_path / "data" / "state.json").write_text("{}")
    with pytest.raises(NotRunningError, match="start one with scripts/up"):
        read_state({})


def test_last_lines_keep_the_time_of_the_line_before(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text(
        "2026-01-31T08:00:00.001Z INFO a request_id=r-1\n"
        "2026-01-31 08:00:00.002 UTC [7] LOG: b\n"
        "  more of b\n"
        "2026-01-31T08:00:00.003Z INFO c request_id=r-1\n"
    )
    assert last_lines(log, 3, None) == [
        ("2026-01-31T08:00:00.002", "2026-01-31 08:00:00.002 UTC [7] LOG: b"),
        ("2026-01-31T08:00:00.002", "  more of b"),
        ("2026-01-31T08:00:00.003", "2026-01-31T08:00:00.003Z INFO c request_id=r-1"),
    ]
    assert [time[-3:] for time, _ in last_lines(log, 9, "r-1")] == ["001", "003"]


def test_logs_of_the_services_are_mixed_by_time(state: State) -> None:
    logs = Path(state.logs)
    (logs / "auth.log").write_text("2026-01-31T08:00:00.002Z INFO b\n")
    (logs / "patient.log").write_text("2026-01-31T08:00:00.001Z INFO a\n")
    shown = run(VERBS["logs"], {}, None)
    assert [line.split(" | ")[0] for line in str(shown).splitlines()] == ["patient  ", "auth     "]
    with pytest.raises(RefusedError, match="there is no log of x: there are auth, patient"):
        run(VERBS["logs"], {"service": "x"}, None)


def test_service_that_fails_is_told_with_its_last_words(state: State) -> None:
    # Its environment lacks everything.
    with pytest.raises(RefusedError, match=r"users list failed with status 2: .* is required"):
        run(VERBS["users list"], {}, None)


def test_service_without_a_database_has_no_psql(state: State) -> None:
    with pytest.raises(RefusedError, match="gateway has no database: there are patient"):
        run(VERBS["psql"], {"service": "gateway"}, None)


def test_rotated_secret_of_the_first_client_is_kept(tmp_path: Path) -> None:
    state = make_state(tmp_path)
    keep_secret(state, {"id": "another", "secret": "x"})
    assert not (tmp_path / "secrets.json").exists()
    keep_secret(state, {"id": "local", "secret": "new"})
    assert LocalSecrets(tmp_path / "secrets.json").read("PLATFORM_CLIENT_SECRET") == "new"


@pytest.mark.parametrize(
    ("status", "expected"), [(200, (True, "outbox_late, billing")), (503, (False, "HTTP 503"))]
)
def test_readiness_tells_what_is_degraded(status: int, expected: tuple[bool, str]) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps({"degraded": ["outbox_late", "billing"]}).encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        assert probe_readiness(f"http://127.0.0.1:{server.server_port}/readyz") == expected
    finally:
        server.shutdown()
        server.server_close()


def test_secrets_are_listed_without_a_value_and_rotated_by_the_next_start(state: State) -> None:
    store = LocalSecrets(Path(state.secrets_file))
    store.write("AUTH_KEY_ENCRYPTION_KEY", "a-value", 3)
    listed = run(VERBS["secrets list"], {}, None)
    assert isinstance(listed, list)
    assert "a-value" not in json.dumps(listed)
    rows = {row["secret"]: (row["version"], row["state"]) for row in listed}
    assert rows["AUTH_KEY_ENCRYPTION_KEY"] == (3, "made")
    assert rows["PATIENT_CLIENT_SECRET"] == (1, "empty")

    assert wanted_version(LocalSecrets(Path(state.secrets_file))) == 1
    run(VERBS["secrets rotate"], {}, None)
    run(VERBS["secrets rotate"], {}, None)
    assert wanted_version(LocalSecrets(Path(state.secrets_file))) == 3


def test_a_restore_beside_a_running_platform_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infrastructure.operate.local.is_held", lambda path: True)
    with pytest.raises(RefusedError, match="stop it first"):
        run(VERBS["restore"], {"directory": str(tmp_path)}, None)


def test_a_restore_of_what_is_no_backup_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infrastructure.operate.local.is_held", lambda path: False)
    with pytest.raises(RefusedError, match="is no backup"):
        run(VERBS["restore"], {"directory": str(tmp_path)}, None)


def test_verb_that_takes_too_long_is_refused(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operate, "TIMEOUT_SECONDS", 0.01)
    with pytest.raises(RefusedError, match=r"users list took longer than 0\.01 s"):
        run(VERBS["users list"], {}, None)


def test_psql_that_cannot_connect_is_refused(state: State) -> None:
    with pytest.raises(RefusedError, match="psql ended with status 2"):
        run(VERBS["psql"], {"service": "patient", "command": "SELECT 1"}, None)


def test_a_backup_of_a_server_that_is_not_there_is_refused(state: State, tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    with pytest.raises(RefusedError, match="pg_basebackup"):
        run(VERBS["backup"], {"directory": str(tmp_path / "backup")}, None)


def test_state_that_cannot_be_read_is_of_no_platform_that_is_ready(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text("{")
    with pytest.raises(NotRunningError, match="is not ready"):
        read_state({"PLATFORM_STATE": str(tmp_path / "state.json")})


def test_service_that_does_not_answer_is_not_ready(state: State) -> None:
    targets = {
        name: "127.0.0.1:1" if entry.protocol == "grpc" else "http://127.0.0.1:1"
        for name, entry in SERVICES.items()
    }
    with published(replace(state, targets=targets), Path(os.environ["PLATFORM_STATE"])):
        rows: Any = run(VERBS["status"], {}, None)
    assert {row["service"]: row["state"] for row in rows} == dict.fromkeys(SERVICES, "not ready")
    troubles = {row["service"]: row["trouble"] for row in rows}
    assert "refused" in troubles["gateway"]


@pytest.mark.parametrize(("lines", "shown"), [({}, 100), ({"lines": "2"}, 2)])
def test_so_many_lines_of_a_log_are_shown(state: State, lines: dict[str, str], shown: int) -> None:
    (Path(state.logs) / "auth.log").write_text("a line\n" * 101)
    answer = run(VERBS["logs"], {"service": "auth", **lines}, None)
    assert str(answer).splitlines() == ["auth      | a line"] * shown
