"""What a comparison of resources may cost."""

from types import SimpleNamespace
from typing import Any

import pytest

from apps.kit.errors import BadRequest
from apps.patient.search.criteria.criteria import EVERYTHING, Scanned
from apps.patient.storage import scanning
from apps.patient.storage.scanning import ScanBudget, Scans, scan
from tests.patient.storage.failing import Failing

SCANNED = Scanned(parameter="address", relation="eq", value="x")


async def test_comparison_that_takes_too_long_is_too_costly() -> None:
    connection: Any = Failing(TimeoutError())
    with pytest.raises(BadRequest, match="too_costly"):
        await scan(connection, "Patient", SCANNED, EVERYTHING, Scans())


class Found:
    """A connection that finds resources with these bodies."""

    def __init__(self, *bodies: str, counted: int | None = None) -> None:
        self.bodies = bodies
        self.counted = counted

    async def fetch(self, statement: str, *arguments: Any, **options: Any) -> list[Any]:
        if "octet_length" in statement:
            return [
                {"number": number, "bytes": len(body) if self.counted is None else self.counted}
                for number, body in enumerate(self.bodies)
            ]
        return [
            {"reference_hash": number, "body": self.bodies[number].encode()}
            for number in arguments[0]
        ]


BODY = '{"resourceType":"Patient"}'


async def compare(budget: ScanBudget, *bodies: str, counted: int | None = None) -> None:
    connection: Any = Found(*bodies, counted=counted)
    await scan(connection, "Patient", SCANNED, EVERYTHING, Scans(budget=budget))


async def test_budget_is_what_may_be_read_in_all() -> None:
    budget = ScanBudget(resources=2, bytes=3 * len(BODY))
    await compare(budget, BODY, BODY)
    assert (budget.resources, budget.bytes) == (0, len(BODY))
    for bodies in ((BODY,), (BODY, BODY)):
        with pytest.raises(BadRequest, match="too_costly"):
            await compare(budget, *bodies)


@pytest.mark.parametrize("counted", [None, 1])
async def test_bytes_are_bounded_as_stored_and_as_read(counted: int | None) -> None:
    # A stored body may be smaller than what it is unpacked to.
    await compare(ScanBudget(bytes=len(BODY)), BODY, counted=counted)
    with pytest.raises(BadRequest, match="too_costly"):
        await compare(ScanBudget(bytes=len(BODY) - 1), BODY, counted=counted)


async def test_stored_bytes_alone_are_too_many() -> None:
    await compare(ScanBudget(bytes=len(BODY)), BODY, counted=len(BODY))
    with pytest.raises(BadRequest, match="too_costly"):
        await compare(ScanBudget(bytes=len(BODY)), BODY, counted=len(BODY) + 1)


async def test_comparison_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanning, "time", SimpleNamespace(monotonic=lambda: 10.0))
    await compare(ScanBudget(ends_at=10.0), BODY)
    with pytest.raises(BadRequest, match="too_costly"):
        await compare(ScanBudget(ends_at=9.5), BODY)


async def test_each_resource_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanning, "_BATCH", 2)
    budget = ScanBudget(bytes=5 * len(BODY))
    await compare(budget, *[BODY] * 5)
    assert budget.bytes == 0
