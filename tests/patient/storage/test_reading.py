"""What reading for a write locks."""

import pytest

from tests.patient.patient_service import Service
from tests.patient.storage.waiting import (
    DELETE_PATIENT,
    holding,
    observation,
    started,
    wait_until_blocked,
)

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("unhurried_pool")]


def test_transaction_waits_for_the_deletion_of_its_patient_and_is_refused(
    service: Service,
) -> None:
    patient_id = service.register()
    request = {"method": "POST", "url": "Observation"}
    entry = {"resource": observation(patient_id), "request": request}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
    with holding(service, DELETE_PATIENT, patient_id):
        futures = started(lambda: service.call("POST", "/fhir/R4", json=bundle), 1)
        wait_until_blocked(service, futures)
    assert futures[0].result().status_code == 422
