"""References to what is not there."""

import pytest

from tests.patient.fhir.resources import observation, patient
from tests.patient.patient_service import Service

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(("count", "told"), [(19, 19), (20, 20), (21, 20)])
def test_references_that_lead_nowhere_are_told_up_to_a_number(
    service: Service, count: int, told: int
) -> None:
    person = service.create(patient())["id"]
    performers = [{"reference": f"Practitioner/nobody-{number}"} for number in range(count)]
    answer = service.call(
        "POST", "/fhir/R4/Observation", json=observation(person, performer=performers)
    )
    assert answer.status_code == 422
    named = {issue["expression"][0] for issue in answer.json()["issue"]}
    assert len(named) == told
    assert named <= {f"Observation.performer[{number}].reference" for number in range(count)}
