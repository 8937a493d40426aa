"""The timeline shows everything that the record holds for a patient, and only what is chosen."""

from typing import Any

import httpx
import pytest

from apps.console.screens.timeline import TIMELINE, moment_of
from apps.patient.definitions.model import search_parameters, served_types
from tests.console.sessions import Visitor

# Administrative data, and who looked: both have pages of their own.
ELSEWHERE = {"Patient", "RelatedPerson", "AuditEvent"}
DAY = "2026-05-01"


def coding(system: str, code: str) -> list[dict[str, str]]:
    return [{"system": system, "code": code}]


def resources(patient_id: str) -> dict[str, dict[str, Any]]:
    """Makes one resource of each type that says what it is by its own name."""
    who = {"reference": f"Patient/{patient_id}"}

    def named(kind: str) -> dict[str, str]:
        return {"text": f"One {kind}"}

    terminology = "http://terminology.hl7.org/CodeSystem"
    kind = coding(f"{terminology}/claim-type", "professional")
    claim: dict[str, Any] = {
        "status": "active",
        "use": "claim",
        "patient": who,
        "created": DAY,
        "provider": {"display": "Ward"},
        "insurance": [{"sequence": 1, "focal": True, "coverage": {"display": "Cover"}}],
    }
    process = f"{terminology}/processpriority"
    return {
        "MedicationStatement": {
            "status": "active",
            "medicationCodeableConcept": named("MedicationStatement"),
            "subject": who,
            "effectiveDateTime": DAY,
        },
        "MedicationAdministration": {
            "status": "completed",
            "medicationCodeableConcept": named("MedicationAdministration"),
            "subject": who,
            "effectiveDateTime": DAY,
        },
        "ServiceRequest": {
            "status": "active",
            "intent": "order",
            "code": named("ServiceRequest"),
            "subject": who,
            "occurrenceDateTime": "2026-06-01",
            "authoredOn": DAY,
        },
        "ImagingStudy": {
            "status": "available",
            "subject": who,
            "started": DAY,
            "description": "One ImagingStudy",
        },
        "CarePlan": {
            "status": "active",
            "intent": "plan",
            "title": "One CarePlan",
            "subject": who,
            "period": {"start": DAY},
        },
        "CareTeam": {"name": "One CareTeam", "subject": who, "period": {"start": DAY}},
        "Goal": {"lifecycleStatus": "active", "description": named("Goal"), "subject": who},
        "Device": {"type": named("Device"), "patient": who},
        "SupplyDelivery": {
            "patient": who,
            "suppliedItem": {"itemCodeableConcept": named("SupplyDelivery")},
        },
        "Appointment": {
            "status": "booked",
            "description": "One Appointment",
            "start": f"{DAY}T10:00:00Z",
            "end": f"{DAY}T10:20:00Z",
            "participant": [{"actor": who, "status": "accepted"}],
        },
        "Consent": {
            "status": "active",
            "scope": {"coding": coding(f"{terminology}/consentscope", "research")},
            "category": [{"coding": coding("http://loinc.org", "59284-0"), "text": "One Consent"}],
            "patient": who,
            "dateTime": DAY,
            "policyRule": {"coding": coding(f"{terminology}/consentpolicycodes", "cric")},
        },
        "Coverage": {
            "status": "active",
            "type": named("Coverage"),
            "beneficiary": who,
            "payor": [{"display": "Insurer"}],
        },
        "Claim": {
            **claim,
            "type": {"coding": kind, "text": "One Claim"},
            "priority": {"coding": coding(process, "normal")},
        },
        "ExplanationOfBenefit": {
            **claim,
            "type": {"coding": kind, "text": "One ExplanationOfBenefit"},
            "insurer": {"display": "Insurer"},
            "outcome": "complete",
            "insurance": [{"focal": True, "coverage": {"display": "Cover"}}],
        },
        "Provenance": {
            "target": [who],
            "recorded": f"{DAY}T10:00:00Z",
            "agent": [{"who": {"display": "Ward"}}],
        },
        **{
            f"Observation of {category or 'none'}": {
                "status": "final",
                "code": named(f"{category or 'plain'} observation"),
                "subject": who,
                "effectiveDateTime": DAY,
                **(
                    {
                        "category": [
                            {"coding": coding(f"{terminology}/observation-category", category)}
                        ]
                    }
                    if category
                    else {}
                ),
            }
            for category in ("laboratory", "survey", "social-history", "")
        },
    }


def test_every_type_that_is_about_a_patient_is_in_the_timeline() -> None:
    about_patients = {each for each in served_types() if "patient" in search_parameters(each)}
    assert about_patients - ELSEWHERE == {each.resource_type for each in TIMELINE}


def test_entry_stands_where_the_record_is_searched_for_it() -> None:
    made = resources("p")
    at = f"{DAY}T11:00:00Z"
    for name, each in made.items():
        kind = name.partition(" ")[0]
        moment = moment_of({"resourceType": kind, **each, "meta": {"lastUpdated": at}})
        by_recording = kind in {"Goal", "Device", "SupplyDelivery", "Coverage"}
        assert moment == at if by_recording else moment.startswith(DAY), name


@pytest.mark.integration
def test_timeline_has_one_of_everything_and_filters(
    admin: httpx.Client, visitors: dict[str, Visitor]
) -> None:
    patient = {"resourceType": "Patient", "name": [{"family": "Whole"}]}
    headers = {"Content-Type": "application/fhir+json", "Prefer": "return=representation"}

    def create(resource: dict[str, Any]) -> str:
        path = f"/fhir/R4/{resource['resourceType']}"
        answer = admin.post(path, json=resource, headers=headers)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    patient_id = create(patient)
    base = f"/patients/{patient_id}"
    links = {}
    for name, each in resources(patient_id).items():
        kind = name.partition(" ")[0]
        links[name] = f'"{base}/entries/{kind}/{create({"resourceType": kind, **each})}"'
    clinician = visitors["clinician"]
    page = clinician.get(f"{base}/timeline").text
    assert [name for name, link in links.items() if page.count(link) != 1] == []
    for name in ("Goal", "SupplyDelivery", "ImagingStudy", "laboratory observation"):
        assert f"One {name}</a>" in page
    chosen = clinician.get(f"{base}/timeline?kind=laboratory&kind=claims").text
    found = [name for name, link in links.items() if link in chosen]
    assert found == ["Claim", "Observation of laboratory"]
    # Who may see less sees less.
    biller = visitors["billing"].get(f"{base}/timeline").text
    assert [name for name, link in links.items() if link in biller] == ["Coverage"]
