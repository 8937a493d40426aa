"""The command that writes the definitions: what it reads, and whether its data is its own."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from apps.patient.definitions.generator import __main__ as generator
from apps.patient.definitions.generator.parameters import SERVED_TYPES, split_union
from apps.patient.definitions.generator.value_sets import ValueSets
from apps.patient.definitions.model import (
    codes_above,
    codes_below,
    definition_of,
    search_parameters,
    served_types,
)

CODES = "http://terminology.hl7.org/CodeSystem"


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data in a folder that a test may spoil."""
    data = tmp_path / "data"
    shutil.copytree(generator.DATA, data)
    monkeypatch.setattr(generator, "DATA", data)
    return data


def test_data_is_what_its_generator_wrote(copied: Path) -> None:
    assert generator.check_recorded() == 0


@pytest.mark.parametrize("name", ["definitions.json", "contained.json", "hierarchies.json"])
def test_data_that_was_edited_is_noticed(
    copied: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = copied / name
    path.write_text(path.read_text() + " ")
    assert generator.check_recorded() == 1
    assert "run scripts/definitions" in capsys.readouterr().out


def test_changed_generator_is_noticed(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generator, "generator_digest", lambda: "another")
    assert generator.check_recorded() == 1


def test_union_is_split_outside_of_parentheses() -> None:
    assert split_union("A.b | (A.c | A.d).e | A.f('|')") == ["A.b", "(A.c | A.d).e", "A.f('|')"]


def test_value_set_that_is_not_enumerated_is_told() -> None:
    source: dict[str, Any] = {"valuesets": {"entry": []}, "v3-codesystems": {"entry": []}}
    sets = ValueSets(source)
    assert sets.name_of("http://hl7.org/fhir/ValueSet/unknown|4.0.1") is None
    assert sets.uncounted == {"unknown"}
    assert sets.name_of("http://hl7.org/fhir/ValueSet/mimetypes") == "mimetypes"


def test_every_served_type_is_defined_with_its_parameters() -> None:
    assert served_types() == SERVED_TYPES
    for name in served_types():
        assert definition_of(name).is_resource
        assert {"_id", "_lastUpdated", "_tag"} <= search_parameters(name).keys()


def test_search_parameters_are_r4s_own() -> None:
    assert search_parameters("AllergyIntolerance")["date"].expression == (
        "AllergyIntolerance.recordedDate"
    )
    assert search_parameters("Observation")["date"].expression == "Observation.effective"
    assert "phone" in search_parameters("Patient")
    assert "identifier" in search_parameters("Observation")


@pytest.mark.parametrize(
    ("system", "code", "below"),
    [
        (f"{CODES}/condition-clinical", "active", {"active", "recurrence", "relapse"}),
        (f"{CODES}/condition-clinical", "relapse", {"relapse"}),
        ("http://hl7.org/fhir/administrative-gender", "male", {"male"}),
    ],
)
def test_hierarchy_has_all_that_is_below(system: str, code: str, below: set[str]) -> None:
    assert codes_below(system, code) == frozenset(below)
    assert all(code in (codes_above(system, name) or ()) for name in below)


def test_hierarchy_is_not_limited_to_one_level() -> None:
    relatives = codes_below(f"{CODES}/v3-RoleCode", "FAMMEMB") or frozenset()
    assert {"FAMMEMB", "PRN", "MTH", "NMTH"} <= relatives


def test_system_that_is_not_known_has_no_hierarchy() -> None:
    assert codes_below("http://loinc.org", "1234-5") is None
    assert codes_above("http://loinc.org", "1234-5") is None
