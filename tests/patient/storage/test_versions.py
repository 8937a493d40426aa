"""Versions as they are stored."""

from datetime import UTC, datetime

from apps.patient.storage.versions import change_of


def moment(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type,misc]


def test_stored_resource_says_its_own_id_and_version() -> None:
    resource = {
        "resourceType": "Patient",
        "id": "theirs",
        "meta": {"versionId": "9", "profile": ["http://p"]},
    }
    change = change_of(
        resource,
        id="ours",
        version_id=2,
        patient_id="ours",
        recorded_at=moment(2026, 1, 1),
        method="PUT",
    )
    assert change.version.body == (
        '{"resourceType":"Patient","id":"ours","meta":{"versionId":"2","lastUpdated":"2026-01-01T00:00:00.000Z",'
        '"profile":["http://p"]}}'
    )
