"""Stored bodies: smaller, and given back as they were."""

import subprocess
import sys
from pathlib import Path

import pytest

from apps.patient.storage import bodies
from apps.patient.storage.bodies import pack, unpack

OBSERVATION = (
    '{"resourceType":"Observation","id":"01a224eb-0535-7346-a6a3-ab589250a7ab","meta":{"versionId":"1",'
    '"lastUpdated":"2026-01-01T01:28:31.797Z"},"status":"final","code":{"coding":[{"system":'
    '"http://loinc.org","code":"8302-2","display":"Body Height"}],"text":"Body Height"},"subject":'
    '{"reference":"Patient/01a224eb-0535-7346-a6a3-ab589250a7ac"},"valueQuantity":{"value":180.50,'
    '"unit":"cm","system":"http://unitsofmeasure.org","code":"cm"}}'
)


@pytest.mark.parametrize(
    "body", ["{}", OBSERVATION, '{"text":"Žofie 北京 \\u0001"}', "x" * 100_000]
)
def test_body_is_given_back_as_it_was(body: str) -> None:
    assert unpack(pack(body)) == body


def test_body_of_the_release_before_is_read_as_it_is() -> None:
    assert unpack(OBSERVATION.encode()) == OBSERVATION
    assert unpack(None) is None


def test_usual_resource_takes_a_third() -> None:
    assert len(pack(OBSERVATION)) < len(OBSERVATION) / 3


def test_dictionary_is_never_written_again() -> None:
    folder = Path(bodies.__file__).parent / "dictionaries"
    before = (folder / "1.zdict").read_bytes()
    command = [sys.executable, "-m", "apps.patient.storage.bodies", str(folder), "1"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 2
    assert (folder / "1.zdict").read_bytes() == before
