"""A made-up clinic for `scripts/demo`: people, the encounters of the last weeks, and invoices
in every state.

Everybody in it is invented. A second run adds nothing: each person is known by an identifier of
the demo's own.
"""

import asyncio
import random
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from apps.client.client import Client
from apps.client.clinic_charts import Resource, chart_of
from apps.client.fhir import BASE, check

SYSTEM = "urn:patient-management:demo"
WAIT_SECONDS = 30.0
ASK_SECONDS = 0.2
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
    """Registers a person with a chart, in one transaction; returns the id, empty where they are
    there already.
    """
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
    """Waits until the account and its charges have followed the events; returns the account's
    id and currency.
    """
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
