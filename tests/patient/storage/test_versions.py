"""Versions as they are stored."""

from datetime import UTC, datetime

from apps.patient.search.index.index_rows import INDEX_VERSION
from apps.patient.storage.versions import Stored, Version, change_of

BASE = "http://platform.test/fhir/R4"


def moment(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type,misc]


STORED = Stored(
    version=Version("Patient", "ours", 1, "ours", moment(2025, 1, 1), "POST", "{}"),
    number=1,
    value_hashes=(),
    target_hashes=frozenset(),
    ranges_hash=0,
    mrn=None,
    index_version=INDEX_VERSION,
)


def test_stored_resource_says_its_own_id_and_version() -> None:
    resource = {
        "resourceType": "Patient",
        "id": "theirs",
        "meta": {"versionId": "9", "profile": ["http://p"]},
    }
    change = change_of(
        resource,
        id="ours",
        base_url=BASE,
        stored=STORED,
        recorded_at=moment(2026, 1, 1),
        method="PUT",
    )
    assert change.version.body == (
        '{"resourceType":"Patient","id":"ours","meta":{"versionId":"2","lastUpdated":"2026-01-01T00:00:00.000Z",'
        '"profile":["http://p"]}}'
    )
