"""FHIR clients for Python that others wrote, against the running platform: every call
that they offer.
"""

import warnings
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from tests.fhir.clients.access import base_url, fetch_token

pytestmark = pytest.mark.clients


@pytest.fixture(scope="module", name="base_url")
def base_url_fixture() -> str:
    return base_url()


@pytest.fixture(scope="module")
def token() -> str:
    return fetch_token()


class TestFhirpy:
    """https://github.com/beda-software/fhir-py"""

    @pytest.fixture
    def client(self, base_url: str, token: str) -> Any:
        from fhirpy import SyncFHIRClient

        return SyncFHIRClient(base_url, authorization=f"Bearer {token}")

    def test_creates_reads_updates_and_deletes(self, client: Any) -> None:
        patient = client.resource("Patient", name=[{"family": "Fhirpy", "given": ["Ada"]}])
        patient.save()
        assert patient.id and patient["meta"]["versionId"] == "1"

        read = client.reference("Patient", patient.id).to_resource()
        assert read["name"] == [{"family": "Fhirpy", "given": ["Ada"]}]

        read["birthDate"] = "1980-01-02"
        read.save()
        assert read["meta"]["versionId"] == "2"
        read.patch(gender="female")
        read.refresh()
        assert (read["gender"], read["birthDate"]) == ("female", "1980-01-02")
        assert read.is_valid()

        read.delete()
        from fhirpy.base.exceptions import ResourceNotFound

        with pytest.raises(ResourceNotFound):
            client.reference("Patient", patient.id).to_resource()

    def test_searches_counts_includes_and_pages(self, client: Any) -> None:
        patient = client.resource("Patient", name=[{"family": "Fhirpysearch"}])
        patient.save()
        for number in range(5):
            client.resource(
                "Observation",
                status="final",
                code={"coding": [{"system": "http://loinc.org", "code": "8867-4"}]},
                subject=patient.to_reference(),
                valueQuantity={"value": 60 + number, "unit": "/min"},
                effectiveDateTime=f"2024-05-0{number + 1}",
            ).save()

        observations = client.resources("Observation").search(patient=patient.id)
        assert observations.count() == 5
        values = [
            each["valueQuantity"]["value"]
            for each in observations.sort("-date").limit(2).fetch_all()
        ]
        assert values == [64, 63, 62, 61, 60]
        bundle = observations.include("Observation", "subject").fetch_raw()
        kinds = {entry["resource"]["resourceType"] for entry in bundle["entry"]}
        assert kinds == {"Observation", "Patient"}
        found = client.resources("Patient").search(family="fhirpysearch").first()
        assert found.id == patient.id

    def test_conditional_create_update_and_delete(self, client: Any) -> None:
        identifier = {"system": "urn:fhirpy", "value": f"x-{datetime.now().timestamp()}"}
        query = {"identifier": f"urn:fhirpy|{identifier['value']}"}
        make = {"resource_type": "Patient", "identifier": [identifier]}
        first, created = (
            client.resources("Patient").search(**query).get_or_create(client.resource(**make))
        )
        second, created_again = (
            client.resources("Patient").search(**query).get_or_create(client.resource(**make))
        )
        assert (created, created_again, first.id == second.id) == (1, 0, True)
        changed, _ = (
            client.resources("Patient")
            .search(**query)
            .update(client.resource(**make, gender="male"))
        )
        assert changed["gender"] == "male"

    def test_metadata_and_operations(self, client: Any) -> None:
        metadata = client.execute("metadata", method="get")
        assert metadata["fhirVersion"] == "4.0.1"
        patient = client.resource("Patient", name=[{"family": "Everything"}])
        patient.save()
        everything = patient.execute("$everything", method="get")
        assert [entry["resource"]["id"] for entry in everything["entry"]] == [patient.id]
        bundle = client.resource(
            "Bundle",
            type="transaction",
            entry=[
                {
                    "fullUrl": "urn:uuid:6f3d4e0a-5a34-4a4f-9df5-6a9c8d8a4f0e",
                    "resource": {"resourceType": "Patient", "name": [{"family": "Bundle"}]},
                    "request": {"method": "POST", "url": "Patient"},
                },
                {
                    "resource": {
                        "resourceType": "Condition",
                        "subject": {"reference": "urn:uuid:6f3d4e0a-5a34-4a4f-9df5-6a9c8d8a4f0e"},
                        "code": {"text": "Asthma"},
                        "clinicalStatus": {
                            "coding": [
                                {
                                    "system": "http://terminology.hl7.org/CodeSystem/"
                                    "condition-clinical",
                                    "code": "active",
                                }
                            ]
                        },
                    },
                    "request": {"method": "POST", "url": "Condition"},
                },
            ],
        )
        answer = client.execute("", method="post", data=bundle.serialize())
        assert [entry["response"]["status"][:3] for entry in answer["entry"]] == ["201", "201"]
        batch = {"resourceType": "Bundle", "type": "batch", "entry": bundle["entry"][:1]}
        answer = client.execute("", method="post", data=batch)
        assert [entry["response"]["status"][:3] for entry in answer["entry"]] == ["201"]

    def test_history(self, client: Any) -> None:
        patient = client.resource("Patient", name=[{"family": "History"}])
        patient.save()
        patient["gender"] = "female"
        patient.save()
        history = client.execute(f"Patient/{patient.id}/_history", method="get")
        versions = [entry["resource"]["meta"]["versionId"] for entry in history["entry"]]
        assert versions == ["2", "1"]


class TestFhirclient:
    """https://github.com/smart-on-fhir/client-py"""

    @pytest.fixture
    def server(self, base_url: str, token: str) -> Iterator[Any]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from fhirclient import server

            class Authorized(server.FHIRServer):  # type: ignore[misc]  # carries no types
                def _headers(self) -> dict[str, str]:
                    return {"Authorization": f"Bearer {token}"}

            made = Authorized(None, base_uri=base_url)
            made.session.headers["Authorization"] = f"Bearer {token}"
            yield made
            made.session.close()

    def test_finds_the_sign_in_in_the_metadata(self, server: Any) -> None:
        server.get_capability()
        assert server.auth.auth_type == "oauth2"

    def test_creates_reads_searches_updates_and_deletes(self, server: Any) -> None:
        from fhirclient.models.humanname import HumanName
        from fhirclient.models.patient import Patient

        family = f"Clientpy{datetime.now().microsecond}"
        patient = Patient()
        name = HumanName()
        name.family = family
        patient.name = [name]
        made = patient.create(server)
        assert made["id"]

        read = Patient.read(made["id"], server)
        assert read.name[0].family == family
        read.gender = "female"
        read.update(server)
        assert Patient.read(made["id"], server).gender == "female"

        (found,) = Patient.where({"family": family}).perform_resources(server)
        assert found.id == made["id"]
        assert read.delete() is None

    def test_pages_patches_and_calls_operations(self, server: Any) -> None:
        from fhirclient.models.patient import Patient

        family = f"Clientpages{datetime.now().microsecond}"
        bundle = {
            "resourceType": "Bundle",
            "entry": [
                {
                    "resource": {"resourceType": "Patient", "name": [{"family": family}]},
                    "request": {"method": "POST", "url": "Patient"},
                }
            ]
            * 3,
        }
        for kind in ("transaction", "batch"):
            answer = server.post_json("", {**bundle, "type": kind}).json()
            statuses = [entry["response"]["status"][:3] for entry in answer["entry"]]
            assert statuses == ["201"] * 3
        search = Patient.where({"family": family, "_count": "2"})
        found = list(search.perform_resources_iter(server))
        assert len(found) == 6
        id = found[0].id
        everything = server.request_json(f"Patient/{id}/$everything")
        assert [entry["resource"]["id"] for entry in everything["entry"]] == [id]
        history = server.request_json(f"Patient/{id}/_history")
        assert len(history["entry"]) == 1
        outcome = server.post_json("Patient/$validate", {"resourceType": "Patient"}).json()
        assert outcome["resourceType"] == "OperationOutcome"
