"""The running platform: a patient, and a signed-in person of each role."""

from collections.abc import Iterator
from contextlib import ExitStack, closing

import httpx
import pytest

from tests.console.sessions import Visitor, admin_client, make_users, sign_in

ROLES = ("admin", "clinician", "registrar", "billing", "billing_manager", "analyst", "patient")


@pytest.fixture(scope="session")
def admin() -> Iterator[httpx.Client]:
    with closing(admin_client()) as http:
        yield http


@pytest.fixture(scope="session")
def patient_id(admin: httpx.Client) -> str:
    resource = {
        "resourceType": "Patient",
        "name": [{"use": "official", "family": "Matrix", "given": ["Ana"]}],
        "birthDate": "1984-12-31",
    }
    headers = {"Content-Type": "application/fhir+json", "Prefer": "return=representation"}
    answer = admin.post("/fhir/R4/Patient", json=resource, headers=headers).raise_for_status()
    return str(answer.json()["id"])


@pytest.fixture(scope="session")
def visitors(admin: httpx.Client, patient_id: str) -> Iterator[dict[str, Visitor]]:
    wanted = [
        {"roles": [role], **({"patientId": patient_id} if role == "patient" else {})}
        for role in ROLES
    ]
    emails = make_users(admin, wanted)
    found: dict[str, Visitor] = {}
    with ExitStack() as stack:
        for role, email in zip(ROLES, emails, strict=True):
            found[role] = sign_in(email)
            stack.callback(found[role].http.close)
        yield found
