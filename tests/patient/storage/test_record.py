"""What the record does after a write."""

import secrets
from typing import Any

import pytest

from tests.patient.patient_service import Service
from tests.patient.storage.conditional_writes import body, criteria

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("header", ["", "Idempotency-Key", "If-None-Exist"])
def test_creation_wakes_the_relays(service: Service, woken: list[str], header: str) -> None:
    value = secrets.token_hex(6)
    sent = {"": {}, "Idempotency-Key": {header: value}, "If-None-Exist": {header: criteria(value)}}
    service.create(body(value), headers=sent[header])
    assert sorted(woken) == ["billing", "kafka"]


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_change_wakes_the_relays(service: Service, woken: list[str], method: str) -> None:
    made = service.create(body(secrets.token_hex(6)))
    woken.clear()
    options: dict[str, Any] = {"json": made} if method == "PUT" else {}
    assert service.call(method, f"/fhir/R4/Patient/{made['id']}", **options).is_success
    assert sorted(woken) == ["billing", "kafka"]
