import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from apps.client.bundles import read_bundle
from apps.client.client import Response
from apps.client.demo import PEOPLE
from apps.client.load import main, print_report
from apps.client.loading import Report, load_files
from apps.client.settings import PlatformError

PERSON = PEOPLE / "person-1.json"


class FakeClient:
    """Keeps who was loaded, by idempotency key; answers `responses` first."""

    def __init__(self, *responses: Response) -> None:
        self.responses = list(responses)
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
    ) -> Response:
        if method == "GET":
            found = (
                path.partition("?")[2].removesuffix("&_count=1") in self.known
                and not self.early_searches
            )
            self.early_searches = max(0, self.early_searches - 1)
            return Response(
                status=200,
                headers={},
                body={"resourceType": "Bundle", **({"entry": [{}]} if found else {})},
            )
        if self.responses:
            return self.responses.pop(0)
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
            return Response(status=200, headers={"Idempotency-Replayed": "true"}, body=created)
        self.loaded[key] = body
        self.known |= {condition for condition in conditions if condition}
        return Response(status=200, headers={}, body=created)


async def load(client: Any, *paths: Path) -> Report:
    report = Report()
    done = [path async for path in load_files(client, paths, report)]
    assert sorted(done) == sorted(paths)
    return report


async def test_second_load_creates_nothing() -> None:
    client = FakeClient()
    first, second = await load(client, PERSON), await load(client, PERSON)
    assert first.created["Patient"] == 1
    assert first.created.total() == len(json.loads(PERSON.read_text())["entry"])
    assert (second.created.total(), list(second.skipped)) == (0, [PERSON])


async def test_load_under_way_elsewhere_is_waited_for_and_counted_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("apps.client.loading.IN_FLIGHT_PAUSE_SECONDS", 0)
    client = FakeClient()
    await load(client, PERSON)
    client.early_searches = 1
    client.responses = [Response(status=409, headers={}, body=None)] * 3
    report = await load(client, PERSON)
    assert (report.created.total(), report.skipped) == (0, {PERSON: "another load created it"})


async def test_person_who_was_deleted_since_is_refused() -> None:
    client = FakeClient()
    await load(client, PERSON)
    client.known.clear()
    report = await load(client, PERSON)
    assert (report.created.total(), report.skipped) == (0, {})
    assert "was loaded before and then deleted" in report.refused[PERSON][0]


async def test_history_added_to_a_person_who_was_there_is_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    client = FakeClient()
    await load(client, PERSON)
    # Another file of the same person came between the search and the Bundle.
    client.loaded.clear()
    client.early_searches = 1
    report = await load(client, PERSON)
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
    client = FakeClient(
        Response(
            status=422, headers={}, body={"resourceType": "OperationOutcome", "issue": [issue]}
        )
    )
    report = await load(client, tmp_path / "none", PERSON, PEOPLE / "person-2.json")
    assert report.refused[PERSON] == ["Bundle.entry[0].resource.gender: expected one of"]
    assert report.refused[tmp_path / "none"] == ["no such file or directory"]
    assert report.created["Patient"] == 1


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
                f"apps.client.{command}",
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


class SlowClient(FakeClient):
    """Takes a while for each Bundle, and notes how many are under way."""

    def __init__(self) -> None:
        super().__init__()
        self.running = 0
        self.most = 0
        self.order: list[str] = []

    async def call(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        if method == "GET":
            return await super().call(method, path, body=body, headers=headers)
        assert body is not None
        bundle = json.loads(body)
        self.running += 1
        self.most = max(self.most, self.running)
        self.order.append(f"begin {bundle['type']}")
        await asyncio.sleep(0.05)
        self.running -= 1
        self.order.append(f"end {bundle['type']}")
        return await super().call(method, path, body=body, headers=headers)


def copies_of_a_person(folder: Path, count: int) -> list[Path]:
    paths = []
    for number in range(count):
        bundle = json.loads(PERSON.read_text())
        bundle["entry"][0]["resource"]["identifier"] = [{"system": "urn:t", "value": f"{number}"}]
        paths.append(folder / f"{number}.json")
        paths[-1].write_text(json.dumps(bundle))
    return paths


def shared_batch(folder: Path, **request: str) -> Path:
    """A file of what people share: one hospital."""
    entry = {
        "resource": {"resourceType": "Organization", "name": "Hospital"},
        "request": {"method": "POST", "url": "Organization", **request},
    }
    path = folder / "hospitals.json"
    path.write_text(json.dumps({"resourceType": "Bundle", "type": "batch", "entry": [entry]}))
    return path


async def test_several_files_are_loaded_at_once_and_no_more_than_asked(tmp_path: Path) -> None:
    client: Any = SlowClient()
    report = Report()
    paths = copies_of_a_person(tmp_path, 7)
    done = [path async for path in load_files(client, paths, report, parallel=3)]
    assert (client.most, sorted(done), report.done) == (3, paths, 7)
    assert report.created["Patient"] == 7


async def test_what_people_share_is_loaded_before_those_behind_it(tmp_path: Path) -> None:
    client: Any = SlowClient()
    report = Report()
    people = copies_of_a_person(tmp_path, 3)
    batch = shared_batch(tmp_path, ifNoneExist="identifier=x")
    paths = [people[0], batch, *people[1:]]
    done = [path async for path in load_files(client, paths, report, parallel=3)]
    assert client.order[:4] == ["begin transaction", "end transaction", "begin batch", "end batch"]
    assert (len(done), report.created["Organization"]) == (4, 1)


async def test_batch_that_a_second_load_would_repeat_is_refused(tmp_path: Path) -> None:
    client: Any = SlowClient()
    path = shared_batch(tmp_path)
    report = await load(client, path)
    assert report.refused == {
        path: ["entry 0 has neither ifNoneExist nor an id: a second load would create it again"]
    }


async def test_entry_of_a_batch_that_has_an_id_alone_is_stored_by_it_once(tmp_path: Path) -> None:
    path = shared_batch(tmp_path)
    batch = json.loads(path.read_text())
    batch["entry"][0]["resource"]["id"] = "h1"
    path.write_text(json.dumps(batch))
    request = json.loads(read_bundle(path).body)["entry"][0]["request"]
    assert request == {"method": "PUT", "url": "Organization/h1", "ifNoneMatch": "*"}
    answers = [
        Response(status=200, headers={}, body={"entry": [{"response": {"status": status}}]})
        for status in ("201", "412")
    ]
    client = FakeClient(*answers)
    first, second = await load(client, path), await load(client, path)
    assert (first.created["Organization"], first.refused) == (1, {})
    assert second.skipped == {path: "everything in it is there already"}


async def test_entry_of_a_batch_that_was_refused_is_named(tmp_path: Path) -> None:
    outcome = {"resourceType": "OperationOutcome", "issue": [{"diagnostics": "name: required"}]}
    entries = [{"response": {"status": "422", "outcome": outcome}}]
    client = FakeClient(Response(status=200, headers={}, body={"entry": entries}))
    path = shared_batch(tmp_path, ifNoneExist="identifier=x")
    report = await load(client, path)
    assert report.refused == {path: ["Organization: name: required"]}


async def test_platform_that_goes_away_ends_every_load(tmp_path: Path) -> None:
    class LostClient(SlowClient):
        async def call(self, method: str, path: str, **options: Any) -> Response:
            if self.running == 2:
                raise PlatformError("away")
            return await super().call(method, path, **options)

    client: Any = LostClient()
    report = Report()
    with pytest.raises(PlatformError):
        async for _ in load_files(client, copies_of_a_person(tmp_path, 4), report, parallel=3):
            pass
    await asyncio.sleep(0.1)
    assert (report.done, client.loaded) == (0, {})


@pytest.mark.parametrize("words", [[], ["--parallel", "0", "x"], ["--paralell", "3", "x"]])
def test_wrong_words_are_refused(words: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 2
