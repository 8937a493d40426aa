"""Whole Bundles of Synthea, with their hospitals and practitioners: one call loads all of them, and
they are given back digit by digit.

They are read where they lie beside the checkout (`../shared/data/synthea-full`).
"""

import gzip
import json
import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fhir.clients.access import base_url, fetch_token

pytestmark = pytest.mark.fhir

ROOT = Path(__file__).parents[2]
FOLDER = ROOT.parent / "shared" / "data" / "synthea-full"
LOAD_SECONDS = 120
# What is read back: a person of many pages, and one of few.
SAMPLE = ("person-02.json.gz", "person-09.json.gz")


def parse(text: bytes | str) -> Any:
    """Returns JSON with its numbers as they are written: 1.0 is not 1.00."""
    return json.loads(text, parse_float=lambda digits: f"number {digits}", parse_int=Decimal)


def entries_of(path: Path) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = parse(gzip.decompress(path.read_bytes()))["entry"]
    return [entry["resource"] for entry in entries]


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {fetch_token()}"}
    with httpx.Client(base_url=base_url(), headers=headers, timeout=30) as client:
        yield client


def count(client: httpx.Client, kind: str) -> int:
    answer = client.get(f"/{kind}?_summary=count").raise_for_status()
    return int(answer.json()["total"])


def read_all(client: httpx.Client, url: str) -> Iterator[dict[str, Any]]:
    """Yields what a search finds, page by page."""
    while url:
        page = parse(client.get(url).raise_for_status().content)
        yield from (entry["resource"] for entry in page.get("entry", ()))
        url = next((link["url"] for link in page["link"] if link["relation"] == "next"), "")
        # The public address may be another than the one that is called.
        url = url.partition("/fhir/R4")[2]


def as_written(value: Any) -> Any:
    """Returns the value without what a server sets: ids, versions, the medical record number it
    issues, and where references lead.
    """
    if isinstance(value, list):
        return [as_written(item) for item in value]
    if not isinstance(value, dict):
        return value
    found = {name: as_written(item) for name, item in value.items()}
    if "resourceType" in found:
        found.pop("id", None)
        meta = {
            name: item
            for name, item in found.pop("meta", {}).items()
            if name not in ("versionId", "lastUpdated")
        }
        found |= {"meta": meta} if meta else {}
    if "reference" in found:
        found["reference"] = found["reference"][:1] == "#"
    if "attachment" in found and "url" in found["attachment"]:
        del found["attachment"]["url"]
    return found


@pytest.fixture(scope="module")
def loaded(client: httpx.Client) -> dict[str, int]:
    """Loads every file by one call and returns how many resources of each type came."""
    if not FOLDER.is_dir():
        pytest.skip(f"there is no {FOLDER.relative_to(ROOT.parent)} beside the checkout")
    if client.get("/Patient", params={"identifier": f"{identifier()}", "_summary": "count"}).json()[
        "total"
    ]:
        pytest.skip("this platform has them already")
    kinds = sorted({item["resourceType"] for path in files() for item in entries_of(path)})
    before = {kind: count(client, kind) for kind in kinds}
    run = subprocess.run(
        [str(ROOT / "scripts" / "load"), *map(str, files())],
        capture_output=True,
        text=True,
        timeout=LOAD_SECONDS,
        check=False,
        env=dict(os.environ),
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "(10 patients), 0 files skipped, 0 refused" in run.stdout, run.stdout
    return {kind: count(client, kind) - before[kind] for kind in kinds}


def files() -> list[Path]:
    return sorted(FOLDER.glob("*.json.gz"))


def identifier() -> str:
    person = entries_of(FOLDER / SAMPLE[0])[0]["identifier"][0]
    return f"{person['system']}|{person['value']}"


def test_every_resource_of_every_file_is_there(loaded: dict[str, int]) -> None:
    asked = Counter(item["resourceType"] for path in files() for item in entries_of(path))
    assert loaded == asked
    assert (asked.total(), len(asked)) == (5_624, 24)


@pytest.mark.parametrize("name", SAMPLE)
def test_person_is_given_back_digit_by_digit(
    client: httpx.Client, loaded: dict[str, int], name: str
) -> None:
    written = entries_of(FOLDER / name)
    person = written[0]["identifier"][0]
    found = list(read_all(client, f"/Patient?identifier={person['system']}|{person['value']}"))
    assert len(found) == 1
    id = found[0]["id"]
    # Synthea's own number of the person's record stays beside the one that is issued here.
    numbers = [item for item in found[0]["identifier"] if item not in written[0]["identifier"]]
    assert len(numbers) == 1
    found[0]["identifier"].remove(numbers[0])
    assert as_written(found[0]) == as_written(written[0])
    compared = 1
    # A Medication belongs to no patient: its order refers to it.
    for kind in sorted({item["resourceType"] for item in written} - {"Patient", "Medication"}):
        mine = [item for item in written if item["resourceType"] == kind]
        stored = list(read_all(client, f"/{kind}?patient={id}&_count=100"))
        assert list(map(as_written, stored)) == list(map(as_written, mine)), kind
        compared += len(mine)
    assert compared > 150
