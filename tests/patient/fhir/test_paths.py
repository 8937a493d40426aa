"""Addresses that lead nowhere, and parameters that are known."""

import pytest

from tests.patient.patient_service import Service

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("version", ["0", "2", "9" * 18, "9" * 19, "abc", "-1", "%C2%B2"])
def test_version_that_nobody_made_is_not_found(service: Service, version: str) -> None:
    id = service.create({"resourceType": "Patient"})["id"]
    answer = service.call("GET", f"/fhir/R4/Patient/{id}/_history/{version}")
    assert answer.status_code == 404, answer.text


def test_types_of_a_search_are_no_unknown_parameter(service: Service) -> None:
    strict = {"Prefer": "handling=strict"}
    path = "/fhir/R4?_type=Patient,Observation&_lastUpdated=gt2000&_count=1"
    answer = service.call("GET", path, headers=strict)
    assert answer.status_code == 200, answer.text
    assert service.call("GET", f"{path}&color=red", headers=strict).status_code == 400
