"""A resource in hand meets what a scope asks of it, or it cannot be told."""

from typing import Any

import pytest

from apps.patient.search.criteria.criteria import EVERYTHING, NOTHING, AllOf, Identity, Not
from apps.patient.search.index.resource_index import index_of
from apps.patient.search.matching import meets
from tests.patient.search.reading.queries import BASE, read

RESOURCE: dict[str, Any] = {
    "resourceType": "Observation",
    "meta": {"profile": ["http://p/a/b"]},
    "status": "final",
    "code": {"coding": [{"system": "s", "code": "c"}]},
    "subject": {"reference": "Patient/p"},
}
ROWS = index_of(RESOURCE, BASE).rows


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("status=final", True),
        ("status=amended", False),
        ("status=amended,final", True),
        ("status=final&code=c", True),
        ("status=final&code=d", False),
        ("code=s|c", True),
        ("code=t|c", False),
        ("code:not=d", True),
        ("code:not=c", False),
        ("subject=Patient/p", True),
        ("subject=q", False),
        ("code:missing=false", True),
        ("code:missing=true", False),
        ("encounter:missing=true", True),
        ("encounter:missing=false", False),
        ("_profile:below=http://p/a", True),
        ("_profile:below=http://p/a/b", True),
        ("_profile:below=http://p/a/", True),
        ("_profile:below=http://p/a/b/c", False),
        ("_profile:below=http://p/aa", False),
        ("_profile:below=http://p/", True),
        # The database alone can tell these.
        ("_lastUpdated=ge2000", False),
        ("code:text=x", False),
        ("subject.name=x", False),
    ],
)
def test_resource_meets_what_is_asked(query: str, expected: bool) -> None:
    criterion = read(query, "Observation").criteria["Observation"]
    assert meets("Observation", ROWS, criterion) is expected


def test_what_cannot_be_told_is_not_met_negated_either() -> None:
    unknown = Identity(hashes=(1,))
    for criterion in (unknown, Not(criterion=unknown), Not(criterion=AllOf(criteria=(unknown,)))):
        assert not meets("Observation", ROWS, criterion)
    assert meets("Observation", ROWS, EVERYTHING)
    assert not meets("Observation", ROWS, NOTHING)
    # A parameter of the same address under another name.
    (below,) = (read("_profile:below=http://p/a", "Observation").criteria["Observation"],)
    other = index_of({**RESOURCE, "meta": {"source": "http://p/a/b"}}, BASE).rows
    assert not meets("Observation", other, below)
