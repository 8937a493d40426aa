import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from apps.client.bundles import BundleError, parse_bundle, read_bundle
from apps.client.demo import PEOPLE


def bundle(**patient: Any) -> dict[str, Any]:
    person = {
        "resourceType": "Patient",
        "identifier": [{"value": "no system"}, {"system": "http://s", "value": "a|b"}],
    }
    request = {"method": "POST", "url": "Patient"}
    return {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {"resource": {**person, **patient}, "request": request},
            {
                "resource": {"resourceType": "Observation"},
                "request": {"method": "POST", "url": "Observation"},
            },
        ],
    }


def test_person_is_created_only_where_nobody_has_the_identifier() -> None:
    parsed = parse_bundle(json.dumps(bundle()).encode())
    request = json.loads(parsed.body)["entry"][0]["request"]
    assert request["ifNoneExist"] == parsed.condition == "identifier=http%3A%2F%2Fs%7Ca%5C%7Cb"
    assert parsed.types == ("Patient", "Observation")


def test_numbers_are_passed_on_as_they_are_written() -> None:
    content = json.dumps(bundle(extension=[{"url": "u", "valueDecimal": "N"}])).replace(
        '"N"', "5.8400"
    )
    assert b"5.8400" in parse_bundle(content.encode()).body
    given = bundle()
    given["entry"][1]["resource"]["valueQuantity"] = {"value": "N"}
    content = json.dumps(given).replace('"N"', "1.50E+2")
    assert b":1.50E+2}" in parse_bundle(content.encode()).body


def test_file_is_passed_on_without_the_space_between_its_parts() -> None:
    given = bundle()
    given["entry"][1]["resource"]["note"] = [{"text": 'two  spaces, a "quote" and \n'}]
    body = parse_bundle(json.dumps(given, indent=2).encode()).body
    given["entry"][0]["request"]["ifNoneExist"] = "identifier=http%3A%2F%2Fs%7Ca%5C%7Cb"
    assert body == json.dumps(given, separators=(",", ":")).encode()


def test_key_is_the_hash_of_the_content_packed_or_not(tmp_path: Path) -> None:
    content = json.dumps(bundle()).encode()
    plain, packed = tmp_path / "a.json", tmp_path / "b.json.gz"
    plain.write_bytes(content)
    packed.write_bytes(gzip.compress(content))
    assert read_bundle(plain) == read_bundle(packed)
    plain.write_bytes(content + b"\n")
    assert read_bundle(plain).key != read_bundle(packed).key


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no FHIR transaction Bundle"),
        (b"\xff", "no FHIR transaction Bundle"),
        (
            b'{"entry":[{"resource":{"resourceType":"Patient","id":"p"}},'
            b'{"resource":{"resourceType":"Condition","id":"caf\xe9"}}]}',
            "no FHIR transaction Bundle",
        ),
        (b"[1]", "no FHIR transaction Bundle"),
        # CPython 3.14 limits the depth by the stack, which is large enough to see that it is cut.
        (b'{"entry":' + b"[" * 100_000, "nested too deeply|no FHIR transaction Bundle"),
        (b"\x1f\x8b", "no whole gzip file"),
        (gzip.compress(b"x" * 1000)[:-8], "no whole gzip file"),
        (gzip.compress(b" " * (16 * 1024 * 1024 + 1)), "over 16 MiB"),
        (json.dumps(bundle(identifier=[])).encode(), "has no identifier"),
        (json.dumps({**bundle(), "entry": bundle()["entry"][1:]}).encode(), "0 patients"),
        (json.dumps({**bundle(), "entry": bundle()["entry"] * 2}).encode(), "2 patients"),
    ],
    # Not the bytes: a packed file carries the time, and every worker must call the test the same.
    ids=[
        "empty",
        "binary",
        "latin-1",
        "list",
        "deep",
        "gzip-head",
        "gzip-cut",
        "huge",
        "nameless",
        "nobody",
        "two",
    ],
)
def test_file_that_cannot_be_loaded_says_why(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(BundleError, match=reason):
        read_bundle(path)


def test_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no such file"):
        read_bundle(tmp_path / "none")


def test_people_of_the_demo_are_three_and_made_up() -> None:
    people = [read_bundle(path) for path in sorted(PEOPLE.glob("*.json"))]
    assert len({person.condition for person in people}) == 3
    assert all("urn%3Aexample%3Ademo-person" in str(person.condition) for person in people)
