"""What R4 forbids: each invariant and binding that other servers' users were let down by."""

from typing import Any

import pytest

from apps.patient.definitions.validation import find_faults

Resource = dict[str, Any]

CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"
VERIFICATION = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
ALLERGY = "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical"
ALLERGY_VERIFICATION = "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification"
UCUM = "http://unitsofmeasure.org"
DIV = '<div xmlns="http://www.w3.org/1999/xhtml">x</div>'
PATIENT = {"reference": "Patient/1"}
CODE = {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]}


def patient(**changes: Any) -> Resource:
    return {"resourceType": "Patient", **changes}


def observation(**changes: Any) -> Resource:
    return {"resourceType": "Observation", "status": "final", "code": CODE, **changes}


def condition(**changes: Any) -> Resource:
    return {"resourceType": "Condition", "subject": PATIENT, **changes}


def allergy(**changes: Any) -> Resource:
    return {"resourceType": "AllergyIntolerance", "patient": PATIENT, **changes}


def coded(system: str, code: str) -> Resource:
    return {"coding": [{"system": system, "code": code}]}


def organization(id: str, **changes: Any) -> Resource:
    return {"resourceType": "Organization", "id": id, "name": "x", **changes}


MEDICATION = {
    "resourceType": "MedicationRequest",
    "status": "active",
    "intent": "order",
    "subject": PATIENT,
    "medicationCodeableConcept": CODE,
}


def timed(**repeat: Any) -> Resource:
    return {**MEDICATION, "dosageInstruction": [{"timing": {"repeat": repeat}}]}


ACTIVE = coded(CLINICAL, "active")

# (the resource, the pointer of its fault, what the fault's message or code says)
REFUSED: list[tuple[Resource, str, str]] = [
    (patient(extension=[{"url": "http://x"}]), "/extension/0", "ext-1"),
    (
        patient(
            extension=[
                {"url": "u", "valueString": "x", "extension": [{"url": "v", "valueCode": "y"}]}
            ]
        ),
        "/extension/0",
        "ext-1",
    ),
    (patient(extension=[{"valueString": "x"}]), "/extension/0/url", "required"),
    (
        patient(
            contained=[organization("a", contained=[organization("b", partOf={"reference": "#"})])],
            managingOrganization={"reference": "#a"},
        ),
        "",
        "dom-2",
    ),
    (patient(contained=[organization("a")]), "/contained/0", "dom-3"),
    (
        patient(
            contained=[organization("a", meta={"versionId": "1"})],
            managingOrganization={"reference": "#a"},
        ),
        "",
        "dom-4",
    ),
    (
        patient(
            contained=[organization("a", meta={"security": [{"code": "R"}]})],
            managingOrganization={"reference": "#a"},
        ),
        "",
        "dom-5",
    ),
    (
        patient(
            contained=[{"resourceType": "Organization", "name": "x", "partOf": {"reference": "#"}}],
        ),
        "/contained/0/id",
        "id",
    ),
    (
        patient(
            contained=[organization("a"), organization("a")],
            managingOrganization={"reference": "#a"},
        ),
        "/contained/1/id",
        "another",
    ),
    (patient(managingOrganization={"reference": "#nope"}), "/managingOrganization", "ref-1"),
    (
        patient(name=[{"period": {"start": "2024-02-01", "end": "2024-01-31"}}]),
        "/name/0/period",
        "per-1",
    ),
    (
        {
            "resourceType": "Encounter",
            "status": "finished",
            "class": {"code": "AMB"},
            "period": {"start": "2024-01-01T10:00:00Z", "end": "2024-01-01T11:30:00+02:00"},
        },
        "/period",
        "per-1",
    ),
    (allergy(), "", "ait-1"),
    (
        allergy(
            clinicalStatus=coded(ALLERGY, "active"),
            verificationStatus=coded(ALLERGY_VERIFICATION, "entered-in-error"),
        ),
        "",
        "ait-2",
    ),
    (condition(clinicalStatus=ACTIVE, abatementDateTime="2024"), "", "con-4"),
    (
        condition(
            clinicalStatus=ACTIVE, verificationStatus=coded(VERIFICATION, "entered-in-error")
        ),
        "",
        "con-5",
    ),
    (condition(clinicalStatus=ACTIVE, stage=[{"type": CODE}]), "/stage/0", "con-1"),
    (condition(clinicalStatus=coded(CLINICAL, "banana")), "/clinicalStatus", "expected one of"),
    (condition(clinicalStatus=coded("urn:x", "active")), "/clinicalStatus", "expected one of"),
    (condition(clinicalStatus={"text": "active"}), "/clinicalStatus", "expected one of"),
    (condition(verificationStatus=coded(CLINICAL, "confirmed")), "/verificationStatus", "expected"),
    (allergy(clinicalStatus=coded(CLINICAL, "active")), "/clinicalStatus", "expected one of"),
    (observation(valueString="x", dataAbsentReason=CODE), "", "obs-6"),
    (
        observation(valueString="x", component=[{"code": CODE, "valueString": "y"}]),
        "",
        "obs-7",
    ),
    (observation(referenceRange=[{"appliesTo": [CODE]}]), "/referenceRange/0", "obs-3"),
    (observation(valueString="x", valueInteger=1), "/valueInteger", "only one"),
    (observation(valueQuantity={"value": 1, "code": "mg"}), "/valueQuantity", "qty-3"),
    (
        observation(valueRange={"low": {"value": 1, "comparator": "<"}}),
        "/valueRange/low/comparator",
        "no such element",
    ),
    (observation(valueRange={"low": {"value": 2}, "high": {"value": 1}}), "/valueRange", "rng-2"),
    (observation(valueRatio={"numerator": {"value": 1}}), "/valueRatio", "rat-1"),
    (observation(valueCodeableReference={"concept": CODE}), "/valueCodeableReference", "no such"),
    (observation(encounter={"reference": "Banana/1"}), "/encounter/reference", "Encounter"),
    (observation(encounter={"reference": "Patient/1"}), "/encounter/reference", "Encounter"),
    (
        observation(encounter={"reference": "http://x/fhir/Patient/1/_history/2"}),
        "/encounter/reference",
        "Encounter",
    ),
    (observation(encounter={"reference": "Patient?identifier=x"}), "/encounter/reference", "Enc"),
    (observation(encounter={"type": "Patient", "display": "x"}), "/encounter/type", "Encounter"),
    (
        patient(
            contained=[organization("a")],
            generalPractitioner=[{"reference": "#a"}],
            link=[{"type": "refer", "other": {"reference": "#a"}}],
        ),
        "/link/0/other/reference",
        "Patient",
    ),
    (patient(contact=[{"gender": "male"}]), "/contact/0", "pat-1"),
    (patient(telecom=[{"value": "1"}]), "/telecom/0", "cpt-2"),
    (patient(photo=[{"data": "aGk="}]), "/photo/0", "att-1"),
    (patient(photo=[{"contentType": "image/png", "data": "a"}]), "/photo/0/data", "base64"),
    (patient(photo=[{"contentType": "image/png", "data": "*aGk="}]), "/photo/0/data", "base64"),
    (patient(photo=[{"contentType": "banana"}]), "/photo/0/contentType", "mimetypes"),
    (timed(period=1), "/dosageInstruction/0/timing/repeat", "tim-2"),
    (timed(duration=1), "/dosageInstruction/0/timing/repeat", "tim-1"),
    (timed(period=-1, periodUnit="d"), "/dosageInstruction/0/timing/repeat", "tim-5"),
    (timed(when=["C"], offset=10), "/dosageInstruction/0/timing/repeat", "tim-9"),
    (timed(when=["BREAKFAST"]), "/dosageInstruction/0/timing/repeat/when/0", "expected one of"),
    (
        {
            "resourceType": "Claim",
            "status": "active",
            "type": CODE,
            "use": "claim",
            "patient": PATIENT,
            "created": "2024-01-01",
            "provider": {"reference": "Organization/1"},
            "priority": CODE,
            "insurance": [{"sequence": 1, "focal": True, "coverage": {"reference": "Coverage/1"}}],
            "total": {"value": 1, "currency": "euro"},
        },
        "/total/currency",
        "currencies",
    ),
    (condition(onsetAge={"value": 3, "unit": "years"}), "/onsetAge", "age-1"),
    (condition(onsetAge={"value": -3, "system": UCUM, "code": "a"}), "/onsetAge", "age-1"),
    (patient(text={"status": "generated", "div": "<div>x</div>"}), "/text/div", "xmlns"),
    (
        patient(text={"status": "generated", "div": DIV.replace("x<", " <")}),
        "/text/div",
        "empty",
    ),
    (patient(text={"status": "generated", "div": DIV[:-6]}), "/text/div", "well-formed"),
    (patient(text={"status": "generated"}), "/text/div", "required"),
    (patient(name=[{"given": ["A", None]}]), "/name/0/given/1", "string"),
    (
        patient(
            name=[
                {
                    "given": ["A"],
                    "_given": [None, {"extension": [{"url": "u", "valueCode": "y"}]}],
                }
            ]
        ),
        "/name/0/_given",
        "same length",
    ),
    (patient(name=[{"family": "x", "_given": [None]}]), "/name/0/_given", "objects and nulls"),
    (patient(_birthDate={}), "/_birthDate", "empty"),
    (patient(_birthDate={"id": "x"}), "/_birthDate", "ele-1"),
    (patient(name=[{"id": "x"}]), "/name/0", "ele-1"),
    (
        patient(name=[{"given": ["A", None], "_given": [None, {"id": "x"}]}]),
        "/name/0/_given/1",
        "ele-1",
    ),
    (patient(_birthDate=None), "/_birthDate", "object"),
    (patient(_birthDate={"value": "x"}), "/_birthDate/value", "no such"),
    (patient(birthDate="2024-13"), "/birthDate", "date"),
    (patient(birthDate="2023-02-29"), "/birthDate", "date"),
    (patient(birthDate="2024-1-1"), "/birthDate", "date"),
    (patient(deceasedDateTime="2024-01-01T24:00:00Z"), "/deceasedDateTime", "dateTime"),
    (patient(deceasedDateTime="2024-01-01T10:00Z"), "/deceasedDateTime", "dateTime"),
    (observation(issued="2024-01-01"), "/issued", "instant"),
    (observation(valueTime="25:00:00"), "/valueTime", "time"),
    (observation(valueInteger=1.5), "/valueInteger", "whole"),
    (patient(name=[{"text": "a\x00b"}]), "/name/0/text", "control"),
    (patient(name=[{"text": "a\ud800b"}]), "/name/0/text", "surrogate"),
    (patient(name=[{"text": " \n "}]), "/name/0/text", "empty"),
    (patient(telecom=[{"rank": 0}]), "/telecom/0/rank", "positiveInt"),
    (patient(language=" de"), "/language", "code"),
    (patient(implicitRules="a b"), "/implicitRules", "uri"),
    (patient(name=[{"resourceType": "HumanName"}]), "/name/0/resourceType", "no such"),
    (
        {
            "resourceType": "Organization",
            "name": "x",
            "telecom": [{"system": "phone", "use": "home", "value": "1"}],
        },
        "/telecom/0",
        "org-3",
    ),
    ({"resourceType": "Organization", "active": True}, "", "org-1"),
    (
        {"resourceType": "SupplyDelivery", "type": coded("urn:x", "medication")},
        "/type",
        "expected one of",
    ),
    (
        {
            "resourceType": "Appointment",
            "status": "booked",
            "participant": [{"actor": PATIENT, "status": "accepted"}],
        },
        "",
        "app-3",
    ),
    (
        {
            "resourceType": "Appointment",
            "status": "proposed",
            "participant": [{"status": "accepted"}],
        },
        "/participant/0",
        "app-1",
    ),
    (
        {"resourceType": "Appointment", "status": "proposed"},
        "/participant",
        "required",
    ),
]


ACCEPTED: list[Resource] = [
    patient(
        extension=[{"url": "u", "_valueString": {"extension": [{"url": "v", "valueCode": "x"}]}}]
    ),
    patient(
        contained=[organization("a", partOf={"reference": "#b"}), organization("b")],
        managingOrganization={"reference": "#a"},
    ),
    patient(
        contained=[
            {
                "resourceType": "Provenance",
                "id": "p",
                "recorded": "2024-01-01T00:00:00Z",
                "target": [{"reference": "#"}],
                "agent": [{"who": {"reference": "Practitioner/1"}}],
            }
        ]
    ),
    patient(name=[{"period": {"start": "2024", "end": "2024-01-31"}}]),
    patient(
        name=[
            {
                "given": ["A", None],
                "_given": [{"id": "x"}, {"extension": [{"url": "u", "valueCode": "y"}]}],
            }
        ]
    ),
    condition(
        clinicalStatus={"coding": [{"system": "urn:local", "code": "aktiv"}, *ACTIVE["coding"]]}
    ),
    condition(clinicalStatus=coded(CLINICAL, "resolved"), abatementDateTime="2024"),
    observation(encounter={"reference": "urn:uuid:0a0e5d5c-5b44-4c9a-8d76-5bb5b1b8b6a1"}),
    observation(encounter={"reference": "http://other.test/fhir/Encounter/1/_history/2"}),
    observation(encounter={"identifier": {"value": "x"}, "type": "Encounter"}),
    observation(subject={"reference": "Patient?identifier=x"}),
    observation(valueTime="23:59:60"),
    observation(component=[{"code": coded("urn:x", "y"), "valueString": "y"}], valueString="x"),
    patient(photo=[{"contentType": "image/png; charset=binary", "data": "aGkh\naGk="}]),
    condition(onsetAge={"value": 3, "system": UCUM, "code": "a"}),
    timed(frequency=1, period=1, periodUnit="d", when=["MORN"]),
]


@pytest.mark.parametrize(("resource", "pointer", "words"), REFUSED)
def test_what_r4_forbids_is_refused(resource: Resource, pointer: str, words: str) -> None:
    faults = find_faults(resource, resource["resourceType"])
    assert [fault.pointer for fault in faults] == [pointer]
    assert words in f"{faults[0].code} {faults[0].message}"


@pytest.mark.parametrize("resource", ACCEPTED)
def test_what_r4_allows_is_accepted(resource: Resource) -> None:
    assert find_faults(resource, resource["resourceType"]) == ()


def test_every_fault_is_told_at_once() -> None:
    faults = find_faults(
        patient(gender="x", birthDate="x", active="x", name=[{"use": "x"}], shoeSize=1), "Patient"
    )
    assert [fault.pointer for fault in faults] == [
        "/gender",
        "/birthDate",
        "/active",
        "/name/0/use",
        "/shoeSize",
    ]
