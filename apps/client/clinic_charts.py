"""The charts of the made-up clinic: encounters of the last weeks, and what lasts from
one to the next.
"""

import base64
import random
from datetime import UTC, datetime, timedelta
from typing import Any

SNOMED = "http://snomed.info/sct"
LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"
CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
WEEKS = 4
VISITS = (
    ("185349003", "Encounter for check up (procedure)", "Yearly check-up"),
    ("185345009", "Encounter for symptom", "Cough and fever"),
    ("162673000", "General examination of patient (procedure)", "New patient"),
    ("185347001", "Encounter for problem (procedure)", "Follow-up of blood pressure"),
)
PROBLEMS = (
    ("59621000", "Essential hypertension"),
    ("44054006", "Diabetes mellitus type 2"),
    ("195967001", "Asthma"),
    ("278860009", "Chronic low back pain"),
    ("40055000", "Chronic sinusitis"),
)
MEDICATIONS = (
    ("314076", "lisinopril 10 MG Oral Tablet", "One tablet in the morning"),
    ("860975", "24 HR Metformin hydrochloride 500 MG Extended Release Oral Tablet", "With dinner"),
    ("313782", "Acetaminophen 325 MG Oral Tablet", "When needed, at most four a day"),
)
ALLERGIES = (("764146007", "Penicillin", "high"), ("256277009", "Grass pollen", "low"))
LABORATORY = (
    ("4548-4", "Hemoglobin A1c", "%", "%", 5.2, 8.1, (4.0, 5.6)),
    ("718-7", "Hemoglobin", "g/dL", "g/dL", 11.5, 15.8, (12.0, 16.0)),
    ("2093-3", "Cholesterol, total", "mg/dL", "mg/dL", 150, 252, (None, 200)),
)
DOCTORS = ("Dr. Elena Marín", "Dr. Robert Hale")
Resource = dict[str, Any]


def concept(system: str, code: str, display: str) -> Resource:
    return {"coding": [{"system": system, "code": code, "display": display}], "text": display}


def chart_of(key: str, number: int, chance: random.Random) -> list[Resource]:
    """Makes the encounters of the last weeks and what was written in them; some of
    them are today's.
    """
    subject = {"reference": key}
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    found: list[Resource] = []
    days = sorted({chance.randrange(1, WEEKS * 7) for _ in range(chance.randrange(1, 4))})
    for day in days:
        start = (now - timedelta(days=day)).replace(hour=chance.randrange(8, 17), minute=15)
        found += visit(subject, start, chance, finished=True)
    if number % 3 == 0:
        # The last visits of the day are still under way.
        found += visit(subject, now - timedelta(minutes=20 + number), chance, finished=number > 3)
    found += lasting(subject, number, now, chance)
    return found


def visit(
    subject: Resource, start: datetime, chance: random.Random, *, finished: bool
) -> list[Resource]:
    """Makes an encounter with its vital signs and a note."""
    code, display, reason = chance.choice(VISITS)
    doctor = chance.choice(DOCTORS)
    end = start + timedelta(minutes=25)
    period = {"start": start.isoformat()} | ({"end": end.isoformat()} if finished else {})
    encounter: Resource = {
        "resourceType": "Encounter",
        "status": "finished" if finished else "in-progress",
        "class": {
            "system": "http://terminology.hl7.org/CodeSystem/v3-ActCode",
            "code": "AMB",
        },
        "type": [{"coding": [{"system": SNOMED, "code": code, "display": display}]}],
        "reasonCode": [{"text": reason}],
        "subject": subject,
        "participant": [{"individual": {"display": doctor}}],
        "period": period,
    }
    pressure = observation(subject, "85354-9", "Blood pressure panel", "vital-signs", start)
    pressure["component"] = [
        {
            "code": concept(LOINC, part, name),
            "valueQuantity": quantity(value, "mmHg", "mm[Hg]"),
        }
        for part, name, value in (
            ("8480-6", "Systolic blood pressure", chance.randrange(108, 158)),
            ("8462-4", "Diastolic blood pressure", chance.randrange(64, 96)),
        )
    ]
    weight = observation(subject, "29463-7", "Body weight", "vital-signs", start)
    weight["valueQuantity"] = quantity(chance.randrange(52, 96), "kg", "kg")
    text = f"{reason}. Examined, advice given, to return where it does not get better."
    note = {
        "resourceType": "DocumentReference",
        "status": "current",
        "type": {
            "coding": [{"system": LOINC, "code": "34109-9", "display": "Note"}],
            "text": reason,
        },
        "description": reason,
        "subject": subject,
        "date": start.isoformat(),
        "author": [{"display": doctor}],
        "content": [
            {
                "attachment": {
                    "contentType": "text/plain; charset=utf-8",
                    "data": base64.b64encode(text.encode()).decode(),
                }
            }
        ],
    }
    return [encounter, pressure, weight, note]


def lasting(subject: Resource, number: int, now: datetime, chance: random.Random) -> list[Resource]:
    """Makes problems, allergies, medication, vaccinations, and laboratory values over a year."""
    code, display = PROBLEMS[number % len(PROBLEMS)]
    clinical = "http://terminology.hl7.org/CodeSystem/condition-clinical"
    found: list[Resource] = [
        {
            "resourceType": "Condition",
            "subject": subject,
            "code": concept(SNOMED, code, display),
            "clinicalStatus": {"coding": [{"system": clinical, "code": "active"}]},
            "recordedDate": (now - timedelta(days=400)).date().isoformat(),
            "onsetDateTime": str(now.year - 3),
        },
        {
            "resourceType": "Immunization",
            "status": "completed",
            "patient": subject,
            "vaccineCode": concept(
                "http://hl7.org/fhir/sid/cvx",
                "140",
                "Influenza, seasonal, injectable, preservative free",
            ),
            "occurrenceDateTime": (now - timedelta(days=60)).date().isoformat(),
        },
    ]
    if number % 2 == 0:
        code, display, dosage = MEDICATIONS[number % len(MEDICATIONS)]
        found.append(
            {
                "resourceType": "MedicationRequest",
                "status": "active",
                "intent": "order",
                "subject": subject,
                "medicationCodeableConcept": concept(
                    "http://www.nlm.nih.gov/research/umls/rxnorm", code, display
                ),
                "authoredOn": (now - timedelta(days=30)).date().isoformat(),
                "requester": {"display": chance.choice(DOCTORS)},
                "dosageInstruction": [{"text": dosage}],
            }
        )
    if number % 4 == 0:
        code, display, criticality = ALLERGIES[number // 4 % len(ALLERGIES)]
        active = "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical"
        found.append(
            {
                "resourceType": "AllergyIntolerance",
                "patient": subject,
                "code": concept(SNOMED, code, display),
                "clinicalStatus": {"coding": [{"system": active, "code": "active"}]},
                "criticality": criticality,
                "recordedDate": (now - timedelta(days=800)).date().isoformat(),
            }
        )
    for code, display, unit, ucum, low, high, limits in LABORATORY:
        for months in (12, 9, 6, 3, 0):
            value = observation(
                subject, code, display, "laboratory", now - timedelta(days=months * 30 + 3)
            )
            value["valueQuantity"] = quantity(round(chance.uniform(low, high), 1), unit, ucum)
            bounds = {
                name: {"value": limit}
                for name, limit in zip(("low", "high"), limits, strict=True)
                if limit is not None
            }
            value["referenceRange"] = [bounds]
            found.append(value)
    return found


def quantity(value: float, unit: str, code: str) -> Resource:
    return {"value": value, "unit": unit, "system": UCUM, "code": code}


def observation(
    subject: Resource, code: str, display: str, category: str, moment: datetime
) -> Resource:
    return {
        "resourceType": "Observation",
        "status": "final",
        "category": [{"coding": [{"system": CATEGORY, "code": category}]}],
        "code": concept(LOINC, code, display),
        "subject": subject,
        "effectiveDateTime": moment.isoformat(),
    }
