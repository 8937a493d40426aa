import json
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from infrastructure.loader import platform as module
from infrastructure.loader.demo import PEOPLE
from infrastructure.loader.load import Report, load_files, print_report
from infrastructure.loader.platform import Answer, PlatformError, PlatformSettings, read_settings
from infrastructure.local.home import LocalSecrets

PERSON = PEOPLE / "person-1.json"


class FakePlatform:
    """Keeps who was loaded, by idempotency key; answers `answers` first."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.loaded: dict[str, bytes] = {}
        self.known: set[str] = set()
        # Searches that come before another load's end.
        self.early_searches = 0

    async def call(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        if method == "GET":
            found = (
                path.partition("?")[2].removesuffix("&_count=1") in self.known
                and not self.early_searches
            )
            self.early_searches = max(0, self.early_searches - 1)
            return Answer(200, {}, {"resourceType": "Bundle", **({"entry": [{}]} if found else {})})
        if self.answers:
            return self.answers.pop(0)
        assert body is not None
        assert headers is not None
        key = headers["Idempotency-Key"]
        entries = json.loads(body)["entry"]
        conditions = [entry["request"].get("ifNoneExist") for entry in entries]
        statuses = [
            "200 OK" if condition in self.known else "201 Created" for condition in conditions
        ]
        created = {"entry": [{"response": {"status": status}} for status in statuses]}
        if key in self.loaded:
            return Answer(200, {"Idempotency-Replayed": "true"}, created)
        self.loaded[key] = body
        self.known |= {condition for condition in conditions if condition}
        return Answer(200, {}, created)


async def load(platform: Any, *paths: Path) -> Report:
    report = Report()
    done = [path async for path in load_files(platform, paths, report)]
    assert done == list(paths)
    return report


async def test_second_load_creates_nothing() -> None:
    platform = FakePlatform()
    first, second = await load(platform, PERSON), await load(platform, PERSON)
    assert first.created["Patient"] == 1
    assert first.created.total() == len(json.loads(PERSON.read_text())["entry"])
    assert (second.created.total(), list(second.skipped)) == (0, [PERSON])


async def test_load_under_way_elsewhere_is_waited_for_and_counted_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("infrastructure.loader.load.IN_FLIGHT_PAUSE_SECONDS", 0)
    platform = FakePlatform()
    await load(platform, PERSON)
    platform.early_searches = 1
    platform.answers = [Answer(409, {}, None)] * 3
    report = await load(platform, PERSON)
    assert (report.created.total(), report.skipped) == (0, {PERSON: "another load made it"})


async def test_person_who_was_deleted_since_is_refused() -> None:
    platform = FakePlatform()
    await load(platform, PERSON)
    platform.known.clear()
    report = await load(platform, PERSON)
    assert (report.created.total(), report.skipped) == (0, {})
    assert "was loaded before and then deleted" in report.refused[PERSON][0]


async def test_history_added_to_a_person_who_was_there_is_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    platform = FakePlatform()
    await load(platform, PERSON)
    # Another file of the same person came between the search and the Bundle.
    platform.loaded.clear()
    platform.early_searches = 1
    report = await load(platform, PERSON)
    count = len(json.loads(PERSON.read_text())["entry"]) - 1
    assert report.added == {PERSON: f"the person was there already; {count} resources added"}
    assert (report.created["Patient"], report.created.total()) == (0, count)
    print_report(report, 1, Console(width=200))
    assert (
        f"added to {PERSON.name}: the person was there already; {count} resources added"
        in capsys.readouterr().out
    )


async def test_refusal_names_the_element_and_the_rest_is_loaded(tmp_path: Path) -> None:
    issue = {"expression": ["Bundle.entry[0].resource.gender"], "diagnostics": "expected one of"}
    platform = FakePlatform(Answer(422, {}, {"resourceType": "OperationOutcome", "issue": [issue]}))
    report = await load(platform, tmp_path / "none", PERSON, PEOPLE / "person-2.json")
    assert report.refused[PERSON] == ["Bundle.entry[0].resource.gender: expected one of"]
    assert report.refused[tmp_path / "none"] == ["no such file or directory"]
    assert report.created["Patient"] == 1


def test_settings_come_from_the_environment() -> None:
    environ = {
        "PLATFORM_URL": "https://x.test/",
        "PLATFORM_CLIENT_ID": "c",
        "PLATFORM_CLIENT_SECRET": "s",
    }
    assert read_settings(environ) == PlatformSettings("https://x.test", "c", "s")


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalSecrets:
    monkeypatch.setattr(module, "LOCAL", tmp_path)
    (tmp_path / "data").mkdir()
    secrets = LocalSecrets(tmp_path / "data" / "secrets.json")
    secrets.write("PLATFORM_CLIENT_SECRET", "s")
    return secrets


def test_platform_of_this_checkout_is_found_at_whatever_port_it_listens(
    local: LocalSecrets,
) -> None:
    local.write("PLATFORM_URL", "http://127.0.0.1:4104")
    assert read_settings({}) == PlatformSettings("http://127.0.0.1:4104", "local", "s")
    assert read_settings({"PLATFORM_URL": "http://127.0.0.1:4104/"}) == read_settings({})


@pytest.mark.parametrize("url", ["https://x.test", "http://127.0.0.1:4004"])
def test_secret_of_this_machine_is_not_sent_elsewhere(local: LocalSecrets, url: str) -> None:
    local.write("PLATFORM_URL", "http://127.0.0.1:4104")
    with pytest.raises(PlatformError, match="PLATFORM_CLIENT_SECRET"):
        read_settings({"PLATFORM_URL": url})


@pytest.mark.parametrize("environ", [{}, {"PLATFORM_CLIENT_SECRET": "s"}])
def test_platform_that_was_never_ready_is_not_guessed(
    local: LocalSecrets, environ: dict[str, str]
) -> None:
    with pytest.raises(PlatformError, match="start one with scripts/up"):
        read_settings(environ)


@pytest.mark.parametrize("command", ["load", "demo"])
def test_absent_platform_is_one_clear_line(command: str) -> None:
    with socket.socket() as listener:
        # Bound and not listening: nobody else takes the port meanwhile.
        listener.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                f"infrastructure.loader.{command}",
                *([str(PERSON)] if command == "load" else []),
            ],
            env={"PLATFORM_URL": url, "PLATFORM_CLIENT_ID": "c", "PLATFORM_CLIENT_SECRET": "s"},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert done.returncode == 1
    assert (
        done.stderr
        == f"scripts/{command}: {url} does not answer (ClientConnectorError): is the platform up?\n"
    )
