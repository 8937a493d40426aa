"""Answers: the text of a query, links and the entries of histories."""

from datetime import UTC, datetime
from typing import Any

import pytest

from apps.patient.codec import encode
from apps.patient.fhir.responses import history_entry, links_of, query_text, version_headers
from apps.patient.storage.versions import Method, Version

BASE = "http://platform.test/fhir/R4"
MOMENT = datetime(2026, 1, 2, 3, 4, 5, 600_000, tzinfo=UTC)


def version(version_id: int, method: Method, body: str | None = '{"a":1}') -> Version:
    return Version("Patient", "p", version_id, "p", MOMENT, method, body)


@pytest.mark.parametrize(
    ("pairs", "text"),
    [
        ([], ""),
        ([("name", "a b")], "name=a%20b"),
        ([("code", "http://x|1,2"), ("date", "ge2020")], "code=http://x|1,2&date=ge2020"),
        ([("name:contains", "&=+#%")], "name:contains=%26%3D%2B%23%25"),
        ([("name", "é")], "name=%C3%A9"),
    ],
)
def test_query_is_written_so_that_it_is_read_again(pairs: list[tuple[str, str]], text: str) -> None:
    assert query_text(pairs) == text


def test_link_without_a_query_is_the_address() -> None:
    assert links_of(f"{BASE}/Patient", {"self": "", "next": "a=b"}) == [
        {"relation": "self", "url": f"{BASE}/Patient"},
        {"relation": "next", "url": f"{BASE}/Patient?a=b"},
    ]


def test_version_is_told_by_its_headers() -> None:
    assert version_headers(version(7, "PUT")) == {
        "ETag": 'W/"7"',
        "Last-Modified": "Fri, 02 Jan 2026 03:04:05 GMT",
    }


@pytest.mark.parametrize(
    ("given", "url", "status"),
    [
        (version(1, "POST"), "Patient", "201"),
        (version(1, "PUT"), "Patient/p", "201"),
        (version(2, "PUT"), "Patient/p", "200"),
        (version(2, "PATCH"), "Patient/p", "200"),
        (version(2, "DELETE", None), "Patient/p", "204"),
    ],
)
def test_entry_of_a_history_tells_what_was_done(given: Version, url: str, status: str) -> None:
    entry = history_entry(given, BASE, with_body=True)
    assert entry["request"] == {"method": given.method, "url": url}
    response: dict[str, Any] = entry["response"]
    assert (response["status"], response["etag"]) == (status, given.etag)
    assert ("resource" in entry) is (given.body is not None)
    assert given.body is None or encode(entry["resource"]) == given.body.encode()
    assert "resource" not in history_entry(given, BASE, with_body=False)
