"""Entries of Bundles: what each may say, and the fault of each that may not."""

import base64
import json
from typing import Any

import pytest

from apps.kit.errors import ContentTooLarge, Forbidden, Problem, Unprocessable
from apps.patient.fhir.bundles.parsing import Entry, entries_of, parse_entry, parse_url
from apps.patient.search.reading.reader import Reader
from apps.patient.storage.access import Caller
from apps.patient.storage.preconditions import ANY_VERSION, Expected
from apps.patient.storage.versions import Author
from tests.patient.patient_service import principal

BASE = "http://platform.test/fhir/R4"
PATIENT = {"resourceType": "Patient", "active": True}
PATCH = [{"op": "remove", "path": "/active"}]


def caller(*scopes: str) -> Caller:
    return Caller(
        principal=principal(*(scopes or ("system/*.cruds",))),
        author=Author("user-1", "client-1", "", ""),
        reader=Reader(base_url=BASE),
    )


def parsed(
    method: str, url: Any, resource: Any = None, by: Caller | None = None, **request: Any
) -> Entry:
    item = {"request": {"method": method, "url": url, **request}, "resource": resource}
    return parse_entry(item, 3, by or caller())


def pointer_of(item: Any) -> str:
    with pytest.raises(Unprocessable) as refused:
        parse_entry(item, 3, caller())
    assert refused.value.code == "invalid_bundle"
    return refused.value.faults[0].pointer


def refused_at(method: str, url: Any, resource: Any = None, **request: Any) -> str:
    item = {"request": {"method": method, "url": url, **request}, "resource": resource}
    pointer = pointer_of(item)
    assert pointer.startswith("/entry/3/")
    return pointer.removeprefix("/entry/3/")


@pytest.mark.parametrize(
    ("url", "path", "pairs"),
    [
        ("Patient", ("Patient",), []),
        ("/Patient/1", ("Patient", "1"), []),
        (f"{BASE}/Patient/1", ("Patient", "1"), []),
        ("Patient/a%2Fb", ("Patient", "a/b"), []),
        ("Patient?name=a&name=", ("Patient",), [("name", "a"), ("name", "")]),
        ("Patient?url=http://x", ("Patient",), [("url", "http://x")]),
        ("?_type=Patient", (), [("_type", "Patient")]),
        ("_history", ("_history",), []),
        ("$match", ("$match",), []),
        ("Patient?" + "&".join(["name=a"] * 100), ("Patient",), [("name", "a")] * 100),
        pytest.param("Patient/" + "1" * 3_992, ("Patient", "1" * 3_992), [], id="longest"),
    ],
)
def test_url_is_that_behind_the_base(
    url: str, path: tuple[str, ...], pairs: list[tuple[str, str]]
) -> None:
    assert parse_url(url, BASE, "/url") == (path, pairs)


@pytest.mark.parametrize(
    "url",
    [
        None,
        1,
        pytest.param("Patient/" + "1" * 3_993, id="too long"),
        "http://other.test/Patient/1",
        "Banana/1",
        "Patient?" + "&".join(["name=a"] * 101),
    ],
)
def test_url_of_nothing_here_is_refused(url: Any) -> None:
    with pytest.raises(Unprocessable) as refused:
        parse_url(url, BASE, "/url")
    (told,) = refused.value.faults
    assert told.pointer == "/url"
    is_elsewhere = told.message == "this is not a URL of this service"
    assert is_elsewhere == ("://" in str(url))


def test_entry_says_what_is_to_be_done() -> None:
    made = parsed("POST", "Patient", PATIENT, ifNoneExist="name=a")
    assert (made.id, made.resource, made.expected) == ("", PATIENT, ANY_VERSION)
    assert made.condition is not None
    put = parsed("PUT", "Patient/1", {**PATIENT, "id": "1"}, ifMatch='W/"7"')
    assert (put.id, put.condition) == ("1", None)
    assert put.expected == Expected(version_id=7)
    created = parsed("PUT", "Patient/1", {**PATIENT, "id": "1"}, ifNoneMatch="*")
    assert created.expected == Expected(must_not_exist=True)
    gone = parsed("DELETE", "Patient/1", ifMatch="*")
    assert (gone.resource, gone.expected) == (None, Expected(must_exist=True))
    searched = parsed("PUT", "Patient?name=a", PATIENT)
    assert searched.id == "" and searched.condition == made.condition
    data = base64.b64encode(json.dumps(PATCH).encode()).decode()
    for kind in ("application/json-patch+json", "Application/JSON-Patch+JSON; charset=utf-8"):
        binary = {"resourceType": "Binary", "contentType": kind, "data": data}
        patch = parsed("PATCH", "Patient/1", binary)
        assert patch.make is not None and patch.resource is None
    for method in ("GET", "HEAD"):
        assert not parsed(method, "Patient/1").is_write


@pytest.mark.parametrize(
    ("item", "pointer"),
    [
        ("x", "/entry/3/request"),
        ({}, "/entry/3/request"),
        ({"request": []}, "/entry/3/request"),
        ({"request": {"method": "TRACE", "url": "Patient"}}, "/entry/3/request/method"),
        ({"request": {"url": "Patient"}}, "/entry/3/request/method"),
        ({"fullUrl": 1, "request": {"method": "GET", "url": "Patient"}}, "/entry/3/fullUrl"),
        (
            {"fullUrl": "u" * 4_001, "request": {"method": "GET", "url": "Patient"}},
            "/entry/3/fullUrl",
        ),
        ({"request": {"method": "GET"}}, "/entry/3/request/url"),
    ],
)
def test_entry_without_a_request_is_refused(item: Any, pointer: str) -> None:
    assert pointer_of(item) == pointer


def test_full_url_is_taken_up_to_its_length() -> None:
    item = {"fullUrl": "u" * 4_000, "request": {"method": "GET", "url": "Patient"}}
    assert len(parse_entry(item, 3, caller()).full_url) == 4_000


BINARY = {"resourceType": "Binary", "contentType": "application/json-patch+json"}


@pytest.mark.parametrize(
    ("method", "url", "more", "pointer"),
    [
        ("POST", "", {}, "request/url"),
        ("POST", "AuditEvent", {}, "request/url"),
        ("POST", "$match", {}, "request/url"),
        ("POST", "Patient/1", {}, "request/url"),
        ("POST", "Patient?name=a", {}, "request/url"),
        ("PUT", "Patient", {}, "request/url"),
        ("PUT", "Patient/1?name=a", {}, "request/url"),
        ("PUT", "Patient/1/2", {}, "request/url"),
        ("DELETE", "Patient", {}, "request/url"),
        ("PUT", "Patient/a_b", {}, "request/url"),
        ("PUT", "Patient/" + "1" * 65, {}, "request/url"),
        ("POST", "Patient", {"ifMatch": 'W/"1"'}, "request/ifMatch"),
        ("POST", "Patient", {"ifNoneMatch": "*"}, "request/ifNoneMatch"),
        ("POST", "Patient", {"ifNoneExist": ""}, "request/ifNoneExist"),
        ("POST", "Patient", {"ifNoneExist": "_count=1"}, "request/ifNoneExist"),
        ("PUT", "Patient/1", {"ifNoneExist": "name=a"}, "request/ifNoneExist"),
        ("PUT", "Patient/1", {"ifMatch": 1}, "request/ifMatch"),
        ("PUT", "Patient/1", {"ifMatch": "1"}, "request/ifMatch"),
        ("PUT", "Patient/1", {"ifNoneMatch": 'W/"1"'}, "request/ifNoneMatch"),
        ("PUT", "Patient?_sort=name", {}, "request/url"),
        ("PUT", "Patient/2", {"resource": {**PATIENT, "id": "1"}}, "resource/id"),
        ("PUT", "Patient/2", {"resource": PATIENT}, "resource/id"),
        ("POST", "Patient", {"resource": {**PATIENT, "shoe": 1}}, "resource/shoe"),
        ("POST", "Patient", {"resource": None}, "resource"),
        (
            "PATCH",
            "Patient/1",
            {"resource": {**BINARY, "contentType": "x"}},
            "resource/contentType",
        ),
        ("PATCH", "Patient/1", {"resource": {**BINARY, "data": "*"}}, "resource/data"),
        ("PATCH", "Patient/1", {"resource": {**BINARY, "data": "e"}}, "resource/data"),
        ("PATCH", "Patient/1", {"resource": {**BINARY, "data": "eA=="}}, "resource/data"),
        ("PATCH", "Patient/1", {"resource": {**BINARY, "data": "MQ=="}}, "resource"),
    ],
)
def test_write_that_makes_no_sense_is_refused_at_its_place(
    method: str, url: str, more: dict[str, Any], pointer: str
) -> None:
    given = {"resource": PATIENT, **more}
    assert refused_at(method, url, given.pop("resource"), **given) == pointer


@pytest.mark.parametrize(
    ("method", "url", "scope", "is_enough"),
    [
        ("POST", "Patient", "user/Patient.c", True),
        ("POST", "Patient", "user/Patient.u", False),
        ("PUT", "Patient/1", "user/Patient.u", True),
        ("PUT", "Patient/1", "user/Patient.c", False),
        ("PUT", "Patient?name=a", "user/Patient.u", False),
        ("PUT", "Patient?name=a", "user/Patient.us", True),
        ("DELETE", "Patient/1", "user/Patient.d", True),
        ("DELETE", "Patient/1", "user/Patient.u", False),
    ],
)
def test_write_needs_its_scope(method: str, url: str, scope: str, is_enough: bool) -> None:
    resource = {**PATIENT, "id": "1"}
    if is_enough:
        assert parsed(method, url, resource, caller(scope)).is_write
    else:
        with pytest.raises(Forbidden, match="insufficient_scope"):
            parsed(method, url, resource, caller(scope))


def test_create_on_a_condition_needs_the_scope_to_search() -> None:
    with pytest.raises(Forbidden):
        parsed("POST", "Patient", PATIENT, caller("user/Patient.c"), ifNoneExist="name=a")
    by = caller("user/Patient.cs")
    assert parsed("POST", "Patient", PATIENT, by, ifNoneExist="name=a").condition


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ([], "not_a_bundle"),
        ({"resourceType": "Patient"}, "not_a_bundle"),
        ({"resourceType": "Bundle", "type": "history"}, "bundle_type_not_served"),
        ({"resourceType": "Bundle", "type": "batch", "shoe": 1}, "invalid_bundle"),
        ({"resourceType": "Bundle", "type": "batch", "entry": {}}, "empty_bundle"),
        ({"resourceType": "Bundle", "type": "batch", "entry": []}, "empty_bundle"),
    ],
)
def test_body_that_is_no_bundle_to_carry_out_is_refused(body: Any, problem: str) -> None:
    with pytest.raises(Problem, match=problem):
        entries_of(body, 3)


def test_bundle_has_up_to_so_many_entries() -> None:
    body = {"resourceType": "Bundle", "type": "batch", "entry": ["x"] * 3}
    assert entries_of(body, 3) == ("batch", ["x"] * 3)
    assert entries_of({"resourceType": "Bundle", "type": "transaction"}, 3) == ("transaction", [])
    with pytest.raises(ContentTooLarge):
        entries_of(body, 2)
