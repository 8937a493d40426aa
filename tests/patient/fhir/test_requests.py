"""What a request says, read from its headers, its URL and its body."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from starlette.requests import Request

from apps.kit.errors import BadRequest, NotFound, Problem, Unprocessable, UnsupportedMediaType
from apps.patient.fhir.requests import (
    NO_VERSION,
    check_content_type,
    check_parameters,
    condition_of,
    is_unchanged,
    parse_if_match,
    path_id,
    path_version,
    read_expected,
    read_form,
    read_operation,
)
from apps.patient.search.reading.reader import Reader
from apps.patient.storage.preconditions import Expected
from apps.patient.storage.versions import Version

READER = Reader(base_url="http://platform.test/fhir/R4", lenient=True)
MOMENT = datetime(2026, 1, 2, 3, 4, 5, 600_000, tzinfo=UTC)
VERSION = Version("Patient", "p", 7, "p", MOMENT, "PUT", "{}")


def request(
    *headers: tuple[str, str], method: str = "GET", query: str = "", body: bytes = b"", **path: str
) -> Request:
    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    scope = {
        "type": "http",
        "method": method,
        "headers": [(name.encode(), value.encode()) for name, value in headers],
        "query_string": query.encode(),
        "path_params": path,
    }
    return Request(scope, receive)


@pytest.mark.parametrize("id", ["a", "1", "A-b.9", "x" * 64])
def test_path_has_an_id(id: str) -> None:
    assert path_id(request(id=id)) == id


@pytest.mark.parametrize("id", ["", "a_b", "x" * 65, "é", "a\n"])
def test_path_without_an_id_names_nothing(id: str) -> None:
    with pytest.raises(NotFound):
        path_id(request(id=id))


def test_path_has_a_version() -> None:
    for text, version in (("0", 0), ("17", 17), ("9" * 18, 10**18 - 1)):
        assert path_version(request(vid=text)) == version
    for text in ("", "x", "-1", "²", "٣", "9" * 19):
        with pytest.raises(NotFound):
            path_version(request(vid=text))


@pytest.mark.parametrize(
    ("texts", "version"),
    [
        ([], None),
        (["*"], None),
        (['W/"3"'], 3),
        ([' "3" '], 3),
        (['W/"' + "9" * 18 + '"'], 10**18 - 1),
        (['W/"' + "9" * 19 + '"'], NO_VERSION),
        (['W/"x"'], NO_VERSION),
        (['W/"²"'], NO_VERSION),
        (['W/""'], NO_VERSION),
    ],
)
def test_if_match_names_a_version(texts: list[str], version: int | None) -> None:
    assert parse_if_match(texts, "If-Match") == version


@pytest.mark.parametrize("texts", [["3"], ["W/3"], ['W/"1"', 'W/"2"'], ['W/"1", W/"2"'], [""]])
def test_if_match_of_no_version_is_refused(texts: list[str]) -> None:
    with pytest.raises(BadRequest) as refused:
        parse_if_match(texts, "If-Match")
    assert refused.value.faults[0].pointer == "If-Match"


def test_headers_say_which_version_is_expected() -> None:
    assert read_expected(request()) == Expected()
    assert read_expected(request(("if-match", 'W/"3"'))) == Expected(version_id=3)
    assert read_expected(request(("if-match", "*"))) == Expected(must_exist=True)
    assert read_expected(request(("if-none-match", "*"))) == Expected(must_not_exist=True)
    with pytest.raises(BadRequest) as refused:
        read_expected(request(("if-none-match", 'W/"3"')))
    assert refused.value.faults[0].pointer == "If-None-Match"


@pytest.mark.parametrize(
    ("headers", "unchanged"),
    [
        ([], False),
        ([("if-none-match", 'W/"7"')], True),
        ([("if-none-match", '"7"')], True),
        ([("if-none-match", 'W/"6"')], False),
        ([("if-none-match", 'W/"6", W/"7"')], True),
        ([("if-none-match", 'W/"6"'), ("if-none-match", " * ")], True),
        ([("if-modified-since", "soon")], False),
        ([("if-modified-since", "Fri, 02 Jan 2026 03:04:04 GMT")], False),
        ([("if-modified-since", "Fri, 02 Jan 2026 03:04:05 GMT")], True),
        ([("if-modified-since", "Fri, 02 Jan 2026 03:04:05 -0000")], True),
        ([("if-modified-since", "Fri, 02 Jan 2026 02:04:05 -0100")], True),
        # A list of versions is asked before the time.
        (
            [("if-none-match", 'W/"6"'), ("if-modified-since", "Fri, 02 Jan 2026 03:04:05 GMT")],
            False,
        ),
    ],
)
def test_client_may_have_the_version_already(
    headers: list[tuple[str, str]], unchanged: bool
) -> None:
    assert is_unchanged(request(*headers), VERSION) is unchanged


def test_time_that_is_yet_to_come_is_none() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(days=1), usegmt=True)
    assert not is_unchanged(request(("if-modified-since", later)), VERSION)


@pytest.mark.parametrize(
    ("header", "is_taken"),
    [
        ("application/fhir+json", True),
        ("application/json; charset=utf-8", True),
        ('text/json; charset="UTF8"', True),
        ("application/json; charset=us-ascii", True),
        ("application/json; charset=latin-1", False),
        ("application/xml", False),
        ("", False),
    ],
)
def test_body_is_json_in_utf_8(header: str, is_taken: bool) -> None:
    if is_taken:
        check_content_type(header)
    else:
        with pytest.raises(UnsupportedMediaType):
            check_content_type(header)


def test_parameters_that_are_not_taken_are_refused_unless_handling_is_lenient() -> None:
    for query in ("", "_elements=name", "_format=json&_pretty=true&_elements=name"):
        check_parameters(request(query=query), ("_elements",))
    check_parameters(request(("prefer", "handling=lenient"), query="shoe=1"), ())
    long = "x" * 101
    for query, told in (("shoe=1", "shoe"), ("_elements=a&shoe=", "shoe"), (long, long[:100])):
        with pytest.raises(BadRequest) as refused:
            check_parameters(request(query=query), ("_elements",))
        assert refused.value.faults[0].pointer == told
        assert refused.value.detail == f"{told} is not served here"


FORM = ("content-type", "application/x-www-form-urlencoded")


async def test_form_adds_to_the_parameters_of_the_url() -> None:
    asked = request(FORM, method="POST", query="_count=1", body=b"name=a&name=")
    assert await read_form(asked) == [("_count", "1"), ("name", "a"), ("name", "")]
    fields = b"&".join([b"name=a"] * 100)
    assert len(await read_form(request(FORM, method="POST", body=fields))) == 100
    for body in (fields + b"&name=a", b"name=\xff"):
        with pytest.raises(BadRequest, match="malformed_form"):
            await read_form(request(FORM, method="POST", body=body))
    with pytest.raises(UnsupportedMediaType):
        await read_form(request(("content-type", "application/json"), method="POST", body=b"{}"))


JSON = ("content-type", "application/json")


def parameters(*given: dict[str, Any]) -> bytes:
    body: dict[str, Any] = {"resourceType": "Parameters"}
    return json.dumps({**body, "parameter": list(given)} if given else body).encode()


async def test_operation_has_the_parameters_of_its_url_and_its_body() -> None:
    body = parameters(
        {"name": "code", "valueString": "x"},
        {"name": "max", "valueInteger": 2},
        {"name": "exact", "valueBoolean": True},
    )
    asked = request(JSON, method="POST", query="_count=1&_format=json&_pretty=true", body=body)
    assert await read_operation(asked) == [
        ("_count", "1"),
        ("code", "x"),
        ("max", "2"),
        ("exact", "true"),
    ]
    assert await read_operation(request(JSON, method="POST", body=parameters())) == []
    assert await read_operation(request(method="POST", query="a=b")) == [("a", "b")]
    assert await read_operation(request(query="a=b", body=b"{")) == [("a", "b")]


@pytest.mark.parametrize(
    ("parameter", "pointer"),
    [
        ({"name": "code"}, "/parameter/1"),
        ({"name": "code", "valuePeriod": {"start": "2020"}}, "/parameter/1"),
        ({"name": "code", "part": [{"name": "x", "valueString": "y"}]}, "/parameter/1"),
        ({"name": "code", "resource": {"resourceType": "Patient", "active": True}}, "/parameter/1"),
        ({"valueString": "y"}, "/parameter/1/name"),
    ],
)
async def test_operation_takes_simple_values(parameter: dict[str, Any], pointer: str) -> None:
    body = parameters({"name": "max", "valueInteger": 2}, parameter)
    with pytest.raises(Unprocessable) as refused:
        await read_operation(request(JSON, method="POST", body=body))
    assert refused.value.faults[0].pointer == pointer
    with pytest.raises(Problem):
        await read_operation(request(JSON, method="POST", body=b'{"resourceType":"Patient"}'))


@pytest.mark.parametrize(
    "text",
    ["name=a", "?name=a", "Patient?name=a", "/Patient?name=a", "http://x/fhir/Patient?name=a"],
)
def test_condition_is_the_same_however_its_url_is_written(text: str) -> None:
    found = condition_of(READER, "Patient", text, "If-None-Exist")
    assert found == condition_of(READER, "Patient", "name=a", "If-None-Exist")
    assert condition_of(READER, "Patient", None, "If-None-Exist") is None


def test_condition_is_the_same_in_any_order() -> None:
    first, second = (
        condition_of(READER, "Patient", text, "If-None-Exist")
        for text in ("name=a&gender=male", "gender=male&name=a")
    )
    assert first == second
    thirty = "&".join([f"name=a{number}" for number in range(30)])
    assert condition_of(READER, "Patient", thirty, "If-None-Exist")


@pytest.mark.parametrize(
    "text",
    [
        "",
        1,
        ["name=a"],
        "name",
        "Practitioner?name=a",
        "_count=1&name=a",
        "_cursor=x&name=a",
        "_total=none&name=a",
        "_totalMethod=count&name=a",
        "_include=Patient:organization&name=a",
        "_sort=name&name=a",
        "shoe=1",
        "&".join(["name=a"] * 101),
    ],
)
def test_condition_that_asks_for_more_than_criteria_is_refused(text: Any) -> None:
    with pytest.raises((Unprocessable, BadRequest)) as refused:
        condition_of(READER, "Patient", text, "If-None-Exist")
    assert refused.value.faults[0].pointer
