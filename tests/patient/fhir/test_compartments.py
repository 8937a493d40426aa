"""Searches of a patient's compartment: `Patient/<id>/Observation` and `Patient/<id>/*`."""

import pytest

from tests.patient.fhir.resources import ids, observation, patient
from tests.patient.patient_service import PUBLIC_URL, Service, principal

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def record(service: Service) -> dict[str, str]:
    """A patient with two resources, and another with one."""
    own, other = (str(service.create(patient())["id"]) for _ in range(2))
    service.create(observation(other))
    condition = {
        "resourceType": "Condition",
        "code": {"text": "x"},
        "subject": {"reference": f"Patient/{own}"},
    }
    return {
        "patient": own,
        "observation": str(service.create(observation(own))["id"]),
        "condition": str(service.create(condition)["id"]),
    }


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("Observation", ["observation"]),
        ("Observation?status=final", ["observation"]),
        ("Observation?status=amended", []),
        ("Condition", ["condition"]),
        ("Encounter", []),
        ("*", ["observation", "condition"]),
        ("*?_type=Condition", ["condition"]),
    ],
)
def test_compartment_has_the_resources_of_its_patient(
    service: Service, record: dict[str, str], path: str, names: list[str]
) -> None:
    url = f"/fhir/R4/Patient/{record['patient']}/{path}"
    expected = {record[name] for name in names}
    assert set(ids(service.call("GET", url))) == expected
    base, _, query = url.partition("?")
    search = base.removesuffix("/*") + "/_search"
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    posted = service.call("POST", search, content=query, headers=headers)
    assert set(ids(posted)) == expected
    link = service.call("GET", url).json()["link"][0]["url"].removeprefix(PUBLIC_URL)
    assert set(ids(service.call("GET", link))) == expected


def test_what_is_no_part_of_a_compartment_is_not_found(
    service: Service, record: dict[str, str]
) -> None:
    path = f"/fhir/R4/Patient/{record['patient']}"
    for name in ("Practitioner", "Organization", "Banana"):
        assert service.call("GET", f"{path}/{name}").status_code == 404
    assert service.call("GET", f"{path}/Observation?shoe=1").status_code == 400
    assert service.call("GET", f"{path}/*?_type=Practitioner").status_code == 400


def test_compartment_of_nobody_is_no_empty_one(service: Service, record: dict[str, str]) -> None:
    gone = service.create(patient())["id"]
    service.call("DELETE", f"/fhir/R4/Patient/{gone}")
    for id, status in (("nobody", 404), (gone, 410), ("a_b", 404)):
        for name in ("Observation", "*"):
            assert service.call("GET", f"/fhir/R4/Patient/{id}/{name}").status_code == status


def test_compartment_is_searched_by_the_callers_scopes(
    service: Service, record: dict[str, str]
) -> None:
    path = f"/fhir/R4/Patient/{record['patient']}"
    principals = service.verifier.principals
    principals["observer"] = principal("user/Observation.rs")
    principals["other"] = principal("patient/*.rs", patient_id="another")
    assert ids(service.call("GET", f"{path}/*", by="observer")) == [record["observation"]]
    assert ids(service.call("GET", f"{path}/Observation", by="observer")) == [record["observation"]]
    assert service.call("GET", f"{path}/Condition", by="observer").status_code == 403
    # Whether there is such a patient is not for this caller to know.
    assert ids(service.call("GET", "/fhir/R4/Patient/nobody/Observation", by="observer")) == []
    assert service.call("GET", f"{path}/Observation", by="other").status_code == 404
