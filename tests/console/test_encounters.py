"""An encounter that is started says why: by code where the shipped list has one."""

from datetime import UTC, datetime
from typing import Any

import pytest

from apps.console.screens.encounters import build_encounter

ASTHMA = {"system": "http://snomed.info/sct", "code": "195967001", "display": "Asthma"}


@pytest.mark.parametrize(
    ("reason", "reasons"),
    [
        ("asthma", [{"coding": [ASTHMA], "text": "Asthma"}]),
        ("Cough for two weeks", [{"text": "Cough for two weeks"}]),
        ("x" * 301, [{"text": "x" * 300}]),
        ("", None),
    ],
)
def test_reason_has_its_code_or_the_persons_words(
    reason: str, reasons: list[dict[str, Any]] | None
) -> None:
    values = {"class": "AMB", "reason": reason}
    now = datetime(2026, 11, 29, 9, 0, tzinfo=UTC)
    encounter = build_encounter(values, "p", author="Test Person", now=now)
    assert encounter.get("reasonCode") == reasons
    assert encounter["period"] == {"start": "2026-11-29T09:00:00+00:00"}
