"""The patient that the tests of searches look for."""

import pytest

from tests.patient.fhir.resources import patient
from tests.patient.patient_service import Service


@pytest.fixture(scope="module")
def person(service: Service) -> str:
    """A patient with one of each of what searches look for."""
    id = service.create(
        patient(
            identifier=[
                {
                    "type": {
                        "coding": [
                            {
                                "system": "http://terminology.hl7.org/CodeSystem/v2-0203",
                                "code": "SS",
                            }
                        ]
                    },
                    "system": "urn:cases:id",
                    "value": "SX\\",
                },
                {"system": "urn:cases:blank", "value": "AX "},
            ],
            name=[{"given": ["Ana", "Maria"], "family": "Zedcase"}, {"family": "Strøm-Łukasz"}],
            telecom=[{"system": "phone", "value": "(03) 5555 0123"}],
            gender="female",
            birthDate="1980-02-03",
        )
    )["id"]
    return str(id)
