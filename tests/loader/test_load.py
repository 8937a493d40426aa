import json
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from infrastructure.loader.demo import PEOPLE
from infrastructure.loader.load import Report, load_files
from infrastructure.loader.platform import Answer, PlatformError, PlatformSettings, read_settings

PERSON = PEOPLE / "person-1.json"


class FakePlatform:
    """Keeps who was loaded, by idempotency key; answers `answers` first."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.loaded: dict[str, bytes] = {}
        self.known: set[str] = set()

    async def call(
        self, method: str, path: str, *, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        if method == "GET":
            found = path.partition("?")[2].removesuffix("&_count=1") in self.known
            return Answer(200, {}, {"resourceType": "Bundle", **({"entry": [{}]} if found else {})})
        if self.answers:
            return self.answers.pop(0)
        assert body is not None
        assert headers is not None
        key = headers["Idempotency-Key"]
        replayed = {"Idempotency-Replayed": "true"} if key in self.loaded else {}
        self.loaded[key] = body
        entries = json.loads(body)["entry"]
        self.known |= {entry["request"].get("ifNoneExist") for entry in entries}
        return Answer(200, replayed, {"entry": [{"response": {"status": "201 Created"}} for _ in entries]})


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


async def test_load_under_way_elsewhere_is_waited_for_and_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infrastructure.loader.load.IN_FLIGHT_PAUSE_SECONDS", 0)
    platform = FakePlatform()
    await load(platform, PERSON)
    platform.known.clear()
    platform.answers = [Answer(409, {}, None)] * 3
    report = await load(platform, PERSON)
    assert (report.created.total(), report.skipped) == (0, {PERSON: "another load made it"})


async def test_refusal_names_the_element_and_the_rest_is_loaded(tmp_path: Path) -> None:
    issue = {"expression": ["Bundle.entry[0].resource.gender"], "diagnostics": "expected one of"}
    platform = FakePlatform(Answer(422, {}, {"resourceType": "OperationOutcome", "issue": [issue]}))
    report = await load(platform, tmp_path / "none", PERSON, PEOPLE / "person-2.json")
    assert report.refused[PERSON] == ["Bundle.entry[0].resource.gender: expected one of"]
    assert report.refused[tmp_path / "none"] == ["no such file or directory"]
    assert report.created["Patient"] == 1


def test_settings_come_from_the_environment() -> None:
    environ = {"PLATFORM_URL": "https://x.test/", "PLATFORM_CLIENT_ID": "c", "PLATFORM_CLIENT_SECRET": "s"}
    assert read_settings(environ) == PlatformSettings("https://x.test", "c", "s")


def test_secret_of_this_machine_is_not_sent_elsewhere() -> None:
    with pytest.raises(PlatformError, match="PLATFORM_CLIENT_SECRET"):
        read_settings({"PLATFORM_URL": "https://x.test"})


@pytest.mark.parametrize("command", ["load", "demo"])
def test_absent_platform_is_one_clear_line(command: str) -> None:
    with socket.socket() as listener:
        # Bound and not listening: nobody else takes the port meanwhile.
        listener.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        done = subprocess.run(
            [sys.executable, "-m", f"infrastructure.loader.{command}", *([str(PERSON)] if command == "load" else [])],
            env={"PLATFORM_URL": url, "PLATFORM_CLIENT_ID": "c", "PLATFORM_CLIENT_SECRET": "s"},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert done.returncode == 1
    assert done.stderr == f"scripts/{command}: {url} does not answer (ClientConnectorError): is the platform up?\n"
