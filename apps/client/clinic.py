"""A made-up clinic for `scripts/demo`: people, the encounters of the last weeks, and invoices in every state.

Everybody in it is invented. A second run adds nothing: each person is known by an identifier of the demo's own.
"""

import asyncio
import base64
import random
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from apps.client.client import Client
from apps.client.fhir import BASE, check

SYSTEM = "urn:patient-management:demo"
SNOMED = "http://snomed.info/sct"
LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"
CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
WAIT_SECONDS = 30.0
ASK_SECONDS = 0.2
WEEKS = 4
SEED = 2026

PEOPLE = (
    ("Ana Lucía", "García Romero", "female", "1984-12-31"),
    ("Thomas", "Whitfield", "male", "1957-03-14"),
    ("Noor", "Haddad", "female", "1992-07-08"),
    ("José María", "Peñalver Ruiz", "male", "1971-11-02"),
    ("Grace", "Okafor", "female", "2001-05-19"),
    ("Liam", "O'Connell", "male", "2019-09-27"),
    ("Ingrid", "Søndergaard", "female", "1949-01-22"),
    ("Mateo", "Fernández Vidal", "male", "1988-08-30"),
    ("Priya", "Raman", "female", "1966-04-11"),
    ("Jean-Luc", "Moreau", "male", "1979-10-05"),
    ("Carmen", "Ibáñez Soler", "female", "1938-06-17"),
    ("Daniel", "Kowalski", "male", "1995-02-03"),
    ("Mei", "Zhang", "female", "1974-12-12"),
    ("Samuel", "Adeyemi", "male", "2012-03-29"),
)
# Code, display, and the reason that people come with.
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
# What happens to each person's invoice, one after the other.
STATES = (
    "billable",
    "draft",
    "open",
    "overdue",
    "part paid",
    "paid by card",
    "cancelled",
    "paid with credit",
    "refunded",
)
DOCTORS = ("Dr. Elena Marín", "Dr. Robert Hale")
Resource = dict[str, Any]


class ClinicError(Exception):
    """The clinic could not be made; the message says where."""


async def make_clinic(client: Client) -> int:
    """Makes those people that are not there yet, with charts and invoices; returns how many."""
    made: list[str] = []
    for number, person in enumerate(PEOPLE):
        # The same clinic each time.
        random_of_person = random.Random(SEED + number)  # noqa: S311 - not for secrets
        patient_id = await make_person(client, number, person, random_of_person)
        if patient_id:
            made.append(patient_id)
    for number, patient_id in enumerate(made):
        await settle(client, patient_id, STATES[number % len(STATES)])
    return len(made)


async def send(client: Client, method: str, path: str, body: Any = None) -> Any:
    """Sends JSON and returns the answer's; raises RefusedError."""
    return check(
        await client.call(
            method,
            path,
            body=None if body is None else msgspec.json.encode(body),
            headers={"Idempotency-Key": str(uuid.uuid4())} if method == "POST" else {},
        )
    )


async def make_person(
    client: Client, number: int, person: tuple[str, str, str, str], chance: random.Random
) -> str:
    """Registers a person with a chart, in one transaction; returns the id, empty where they are there already."""
    query = f"{BASE}/Patient?identifier={SYSTEM}|{number}"
    if (await send(client, "GET", query)).get("entry"):
        return ""
    given, family, gender, birth_date = person
    key = f"urn:uuid:{uuid.uuid4()}"
    patient = {
        "resourceType": "Patient",
        "identifier": [{"system": SYSTEM, "value": str(number)}],
        "active": True,
        "name": [{"use": "official", "family": family, "given": given.split()}],
        "gender": gender,
        "birthDate": birth_date,
        "telecom": [
            {"system": "phone", "use": "mobile", "value": f"+34 600 55{number:02d} {number:02d}"},
            {"system": "email", "use": "home", "value": f"person{number}@example.org"},
        ],
        "address": [
            {
                "use": "home",
                "line": [f"{number + 1} Calle Mayor"],
                "city": "Sevilla",
                "postalCode": f"410{number:02d}",
                "country": "ES",
            }
        ],
    }
    entries = [{"fullUrl": key, "resource": patient, **request("Patient")}]
    for resource in chart_of(key, number, chance):
        entries.append({"resource": resource, **request(resource["resourceType"])})
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    answer = await send(client, "POST", BASE, bundle)
    location = str(answer["entry"][0]["response"]["location"])
    return location.partition("Patient/")[2].partition("/")[0]


def request(resource_type: str) -> Resource:
    return {"request": {"method": "POST", "url": resource_type}}


def concept(system: str, code: str, display: str) -> Resource:
    return {"coding": [{"system": system, "code": code, "display": display}], "text": display}


def chart_of(key: str, number: int, chance: random.Random) -> list[Resource]:
    """Makes the encounters of the last weeks and what was written in them; some of them are today's."""
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


async def settle(client: Client, patient_id: str, state: str) -> None:
    """Brings a person's invoice into a state, once the charges of the encounters are there."""
    account_id, currency = await wait_for_charges(client, patient_id)
    base = f"/billing/v1/accounts/{account_id}"
    if state == "billable":
        return
    invoice = await send(client, "POST", f"{base}/invoices", {})
    path = f"/billing/v1/invoices/{invoice['invoiceId']}"
    if state == "draft":
        return
    past = (datetime.now(UTC) - timedelta(days=75)).date().isoformat()
    invoice = await send(
        client, "POST", f"{path}/issue", {"issuedOn": past} if state == "overdue" else {}
    )
    total = int(invoice["total"]["minorUnits"])
    if state == "cancelled":
        await send(client, "POST", f"{path}/cancel", {"reason": "Sent to the wrong person"})
    shares = {"part paid": 0.4, "paid by card": 1.0, "paid with credit": 1.2, "refunded": 1.0}
    if state not in shares:
        return
    amount = {"minorUnits": str(round(total * shares[state])), "currency": currency}
    body = {"accountId": account_id, "amount": amount, "method": "PAYMENT_METHOD_CARD"}
    payment = await send(client, "POST", f"{base}/payments", body)
    if state == "refunded":
        part = {"minorUnits": str(round(total * 0.25)), "currency": currency}
        path = f"/billing/v1/payments/{payment['paymentId']}/refund"
        await send(client, "POST", path, {"amount": part, "reason": "A service was not given"})


async def wait_for_charges(client: Client, patient_id: str) -> tuple[str, str]:
    """Waits until the account and its charges have followed the events; returns the account's id and currency."""
    end = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < end:
        answer = await client.call("GET", f"/billing/v1/accounts?patient={patient_id}")
        if answer.status != 404:
            account = check(answer)
            path = f"/billing/v1/accounts/{account['accountId']}/charge-items"
            charges = (await send(client, "GET", path))["chargeItems"]
            if any(each["status"] == "CHARGE_ITEM_STATUS_BILLABLE" for each in charges):
                return str(account["accountId"]), str(account["currency"])
        await asyncio.sleep(ASK_SECONDS)
    raise ClinicError(f"no charges of patient {patient_id} after {WAIT_SECONDS:.0f} s")
