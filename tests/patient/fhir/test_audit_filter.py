"""What a search of the audit asks for, and what an entry tells as an AuditEvent."""

import base64
from datetime import UTC, datetime
from typing import Any

import pytest

from apps.kit.errors import BadRequest, Forbidden
from apps.patient.fhir.audit_search import audit_filter, is_event_id, resource_of
from apps.patient.search.criteria.query import Query
from apps.patient.search.reading.reader import Reader
from apps.patient.storage.access import Caller
from apps.patient.storage.audit_events import AuditFilter, AuditRow
from apps.patient.storage.versions import Author
from tests.patient.patient_service import principal

START, END = datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 3, tzinfo=UTC)
EVERY = ("create", "read", "update", "delete", "search", "history")


def asked(*pairs: tuple[str, str], scope: str = "system/*.rs", patient_id: str = "") -> AuditFilter:
    caller = Caller(
        principal=principal(scope, patient_id=patient_id),
        author=Author("user-1", "client-1", "", ""),
        reader=Reader(base_url="http://platform.test/fhir/R4"),
    )
    return audit_filter(caller, Query(types=("AuditEvent",), accepted=list(pairs)))


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("_id", "1,2", {"ids": [1, 2]}),
        ("_id", "x," + "9" * 18 + "," + "9" * 19, {"ids": [10**18 - 1]}),
        ("patient", "a,Patient/b", {"entities": [(("Patient", "a"), ("Patient", "b"))]}),
        ("patient:Patient", "a", {"entities": [(("Patient", "a"),)]}),
        ("entity", "Device/1", {"entities": [(("Device", "1"),)]}),
        ("agent", "u", {"actors": [("u",)]}),
        ("agent:identifier", "urn:patient-management:user|u", {"actors": [("u",)]}),
        ("agent", "urn:patient-management:client|c,x|y", {"actors": [("c", "")]}),
        ("agent:not", "u,v", {"not_actors": ["u", "v"]}),
        ("action", "R", {"actions": [("read", "history")]}),
        ("action", "R,C", {"actions": [("create", "read", "history")]}),
        ("action", "read", {"actions": [("",)]}),
        ("subtype", "history-instance", {"actions": [("history",)]}),
        ("subtype", "http://hl7.org/fhir/restful-interaction|read", {"actions": [("read",)]}),
        ("subtype", "x|read", {"actions": [("",)]}),
        ("type", "rest", {"actions": [EVERY]}),
        ("type", "x", {"actions": [("",)]}),
        ("date", "2026-01-02", {"dates": [(">=", START), ("<", END)]}),
        ("date", "eq2026-01-02", {"dates": [(">=", START), ("<", END)]}),
        ("date", "gt2026-01-02", {"dates": [(">=", END)]}),
        ("date", "sa2026-01-02", {"dates": [(">=", END)]}),
        ("date", "ge2026-01-02", {"dates": [(">=", START)]}),
        ("_lastUpdated", "lt2026-01-02", {"dates": [("<", START)]}),
        ("date", "eb2026-01-02", {"dates": [("<", START)]}),
        ("date", "le2026-01-02", {"dates": [("<", END)]}),
        ("date", "ge2026-01-02T01:00 01:00", {"dates": [(">=", START)]}),
        ("_sort", "-date", {}),
        ("_count", "5", {}),
    ],
)
def test_parameter_is_part_of_the_filter(name: str, value: str, expected: dict[str, Any]) -> None:
    empty: dict[str, Any] = {
        "entities": [],
        "actors": [],
        "not_actors": [],
        "actions": [],
        "dates": [],
    }
    assert asked((name, value)) == AuditFilter(**{**empty, **expected})


def test_repeated_parameters_must_all_be_met() -> None:
    assert asked(("_id", "1,2"), ("_id", "2,3")).ids == [2]
    assert asked(("agent", "a"), ("agent", "b")).actors == [("a",), ("b",)]
    assert asked(("patient", "a"), ("entity", "Device/1")).entities == [
        (("Patient", "a"),),
        (("Device", "1"),),
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("site", "x"),
        ("_sort", "date"),
        ("agent:text", "x"),
        ("date:not", "2026"),
        ("patient:identifier", "x"),
        ("date", "ne2026"),
        ("date", "soon"),
        ("date", "ge"),
        ("entity", "x"),
        ("patient", "a/b/c"),
    ],
)
def test_parameter_that_the_audit_does_not_have_is_refused(name: str, value: str) -> None:
    with pytest.raises(BadRequest) as refused:
        asked((name, value))
    assert refused.value.faults[0].pointer in (name, name.partition(":")[0])


def test_long_name_is_told_by_its_beginning() -> None:
    with pytest.raises(BadRequest) as refused:
        asked(("x" * 101, "1"))
    assert refused.value.faults[0].pointer == "x" * 100
    assert f"{'x' * 100} is not served" in refused.value.detail


def test_scopes_reach_the_whole_audit_or_that_of_one_patient() -> None:
    assert asked().own is None
    assert asked(scope="patient/*.rs", patient_id="p").own == "p"
    for scope in ("user/AuditEvent.rs?action=R", "user/Patient.rs", "user/AuditEvent.r"):
        with pytest.raises(Forbidden, match="insufficient_scope"):
            asked(scope=scope)


@pytest.mark.parametrize(
    ("text", "may_be"),
    [("1", True), ("9" * 18, True), ("9" * 19, False), ("", False), ("-1", False), ("²", False)],
)
def test_id_of_an_event_is_a_number_that_the_database_takes(text: str, may_be: bool) -> None:
    assert is_event_id(text) is may_be


def row(**changes: Any) -> AuditRow:
    values: dict[str, Any] = {
        "id": 7,
        "recorded_at": START,
        "action": "read",
        "actor_id": "u",
        "client_id": "c",
        "request_id": "r",
        "resource_type": "Observation",
        "resource_id": None,
        "version_id": None,
        "patient_id": None,
        "query": None,
        "returned_ids": None,
    }
    return AuditRow(**{**values, **changes})


@pytest.mark.parametrize(
    ("changes", "entities"),
    [
        ({}, [{"name": "request r"}]),
        ({"resource_id": "o"}, ["Observation/o"]),
        ({"resource_id": "o", "version_id": 3}, ["Observation/o/_history/3"]),
        ({"resource_id": "o", "patient_id": "p"}, ["Observation/o", "Patient/p"]),
        (
            {"resource_type": "Patient", "resource_id": "p", "version_id": 1, "patient_id": "p"},
            ["Patient/p/_history/1"],
        ),
        ({"returned_ids": ["a", "Device/b"]}, ["Observation/a", "Device/b"]),
        ({"returned_ids": ["Patient/p"], "patient_id": "p"}, ["Patient/p"]),
        ({"returned_ids": ["Patient/p2"], "patient_id": "p"}, ["Patient/p2", "Patient/p"]),
        ({"query": "code=1"}, [{"query": base64.b64encode(b"Observation?code=1").decode()}]),
    ],
)
def test_event_names_what_was_seen_or_changed(changes: dict[str, Any], entities: list[Any]) -> None:
    told = resource_of(row(**changes))["entity"]
    found = [each["what"]["reference"] if "what" in each else each for each in told]
    assert found == entities
