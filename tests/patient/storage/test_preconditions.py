"""What headers say of the version that is there."""

from datetime import UTC, datetime

import pytest

from apps.kit.errors import PreconditionFailed
from apps.patient.storage.preconditions import ANY_VERSION, Expected
from apps.patient.storage.versions import Version

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = Version("Patient", "p", 2, "p", MOMENT, "PUT", "{}")
DELETED = Version("Patient", "p", 3, "p", MOMENT, "DELETE", None)


@pytest.mark.parametrize(
    ("expected", "current", "told"),
    [
        (ANY_VERSION, None, ""),
        (ANY_VERSION, SECOND, ""),
        (ANY_VERSION, DELETED, ""),
        (Expected(version_id=2), SECOND, ""),
        (Expected(version_id=1), SECOND, "not the current one"),
        (Expected(version_id=3), SECOND, "not the current one"),
        (Expected(version_id=3), DELETED, "no such resource"),
        (Expected(version_id=1), None, "no such resource"),
        (Expected(must_exist=True), SECOND, ""),
        (Expected(must_exist=True), DELETED, "no such resource"),
        (Expected(must_exist=True), None, "no such resource"),
        (Expected(must_not_exist=True), SECOND, "already"),
        (Expected(must_not_exist=True), DELETED, ""),
        (Expected(must_not_exist=True), None, ""),
    ],
)
def test_version_that_is_there_is_the_expected_one(
    expected: Expected, current: Version | None, told: str
) -> None:
    if not told:
        expected.check(current)
        return
    with pytest.raises(PreconditionFailed, match="stale_version") as refused:
        expected.check(current)
    assert told in refused.value.detail
    assert refused.value.headers == ({"ETag": current.etag} if current else {})


def test_version_and_absence_are_strict() -> None:
    assert Expected(version_id=0).is_strict
    assert Expected(must_not_exist=True).is_strict
    assert not Expected(must_exist=True).is_strict
    assert not ANY_VERSION.is_strict
