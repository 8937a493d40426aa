"""Bundles among other writers."""

import secrets

import pytest

from apps.patient.fhir.bundles.routes import MAX_FAULTS
from tests.patient.patient_service import Service
from tests.patient.storage.conditional_writes import exchange
from tests.patient.storage.waiting import holding, started, wait_until_blocked

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("unhurried_pool")]


@pytest.mark.parametrize("kind", ["transaction", "batch"])
def test_condition_of_an_entry_is_held_until_the_write_is_committed(
    service: Service, kind: str
) -> None:
    value = secrets.token_hex(6)
    # Nobody can write yet: both have looked for a match where nothing keeps the second from it.
    with holding(service, "LOCK TABLE resource IN SHARE MODE"):
        futures = started(lambda: exchange(service, kind, value), 2)
        wait_until_blocked(service, futures)
    answers = [future.result().json()["entry"][0]["response"] for future in futures]
    assert sorted(answer["status"] for answer in answers) == ["200 OK", "201 Created"]


def test_faults_of_a_transaction_are_told_up_to_a_number(service: Service) -> None:
    # Three faults each.
    wrong = {"resourceType": "Patient", "gender": "x", "active": 1, "shoe": 44}
    entry = {"resource": wrong, "request": {"method": "POST", "url": "Patient"}}
    for count, told in ((3, 9), (60, MAX_FAULTS)):
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry] * count}
        refused = service.call("POST", "/fhir/R4", json=bundle)
        assert refused.status_code == 422
        assert len(refused.json()["issue"]) == told
