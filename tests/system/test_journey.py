"""A patient's way through the whole platform, from a token to the account and the figure."""

import asyncio
import secrets
import uuid
from typing import Any

import pytest

from apps.client.client import Response
from tests.system.platform import Platform, is_on_this_machine, is_problem, settle, until

pytestmark = pytest.mark.system

WAYS = ("simple", "fhir", "bundle")


def simple_patient() -> dict[str, str]:
    tag = secrets.token_hex(4)
    return {
        "name": f"Journey {tag}",
        "address": "1 Sample Street, 12345 Sampleton",
        "email": f"{tag}@example.org",
        "dateOfBirth": "1985-12-10",
        "registeredDate": "2026-01-31",
    }


def fhir_patient() -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "identifier": [{"system": "urn:system-test", "value": str(uuid.uuid4())}],
        "name": [
            {"use": "official", "family": f"Journey-{secrets.token_hex(4)}", "given": ["Ada"]}
        ],
        "gender": "female",
        "birthDate": "1985-12-10",
    }


def bundle(patient: dict[str, Any]) -> dict[str, Any]:
    reference = f"urn:uuid:{uuid.uuid4()}"
    condition = {
        "resourceType": "Condition",
        "subject": {"reference": reference},
        "code": {
            "coding": [
                {"system": "http://snomed.info/sct", "code": "38341003", "display": "Hypertension"}
            ]
        },
    }
    return {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {
                "fullUrl": reference,
                "resource": patient,
                "request": {"method": "POST", "url": "Patient"},
            },
            {
                "fullUrl": f"urn:uuid:{uuid.uuid4()}",
                "resource": condition,
                "request": {"method": "POST", "url": "Condition"},
            },
        ],
    }


async def register(platform: Platform, way: str, token: str) -> str:
    """The id of a new patient."""
    if way == "simple":
        answer = await platform.call("POST", "/api/patients", token=token, json=simple_patient())
        assert answer.status == 201, answer.body
        assert answer.headers["ETag"] == 'W/"1"'
        patient_id: str = answer.body["id"]
        assert answer.headers["Location"].endswith(f"/api/patients/{patient_id}")
        return patient_id
    if way == "fhir":
        answer = await post_fhir(platform, "/fhir/R4/Patient", fhir_patient(), token)
        assert answer.status == 201, answer.body
        assert answer.headers["ETag"] == 'W/"1"'
        assert f"/fhir/R4/Patient/{answer.body['id']}" in answer.headers["Location"]
        return str(answer.body["id"])
    answer = await post_fhir(platform, "/fhir/R4", bundle(fhir_patient()), token)
    assert answer.status == 200, answer.body
    locations = [entry["response"]["location"] for entry in answer.body["entry"]]
    assert all(entry["response"]["status"].startswith("201") for entry in answer.body["entry"])
    (patient_id,) = [
        location.split("Patient/")[1].split("/")[0]
        for location in locations
        if "Patient/" in location
    ]
    return patient_id


async def post_fhir(
    platform: Platform, path: str, body: dict[str, Any], token: str, **headers: str
) -> Response:
    return await platform.call(
        "POST",
        path,
        token=token,
        json=body,
        headers={"Content-Type": "application/fhir+json", **headers},
    )


@pytest.mark.parametrize("way", WAYS)
async def test_registered_patient_has_an_account_and_is_counted(
    platform: Platform, way: str
) -> None:
    token = await platform.client_token()
    before = await settle(platform)
    patient_id = await register(platform, way, token)

    async def has_account() -> bool:
        return (await platform.account_of(patient_id)).status == 200

    async def is_counted() -> bool:
        return await platform.registrations() == before + 1

    await asyncio.gather(until(has_account), until(is_counted))
    account = (await platform.account_of(patient_id)).body
    assert account["patientId"] == patient_id
    assert account["status"] == "ACCOUNT_STATUS_ACTIVE"
    again = await platform.call("GET", f"/billing/v1/accounts/{account['accountId']}", token=token)
    assert (again.status, again.body) == (200, account)

    read = await platform.call("GET", f"/fhir/R4/Patient/{patient_id}", token=token)
    assert (read.status, read.body["id"], read.headers["ETag"]) == (200, patient_id, 'W/"1"')
    simple = await platform.call("GET", f"/api/patients/{patient_id}", token=token)
    assert (simple.status, simple.body["dateOfBirth"]) == (200, "1985-12-10")


async def test_account_and_figure_are_there_within_a_second(platform: Platform) -> None:
    if not is_on_this_machine():
        pytest.skip("how long it takes is measured without a network between")
    token = await platform.client_token()
    seconds = []
    for way in (*WAYS, *WAYS[:2]):
        before = await platform.registrations()
        patient_id = await register(platform, way, token)

        async def arrived(patient_id: str = patient_id, before: int = before) -> bool:
            account, total = await asyncio.gather(
                platform.account_of(patient_id), platform.registrations()
            )
            return account.status == 200 and total == before + 1

        seconds.append(await until(arrived))
    assert sorted(seconds)[2] < 1.0, seconds


async def test_repeated_request_makes_one_patient_one_account_one_count(platform: Platform) -> None:
    token = await platform.client_token()
    before = await settle(platform)
    body = simple_patient()
    key = str(uuid.uuid4())
    answers = [
        await platform.call(
            "POST", "/api/patients", token=token, json=body, headers={"Idempotency-Key": key}
        )
        for _ in range(3)
    ]
    assert [answer.status for answer in answers] == [201, 201, 201]
    assert len({answer.body["id"] for answer in answers}) == 1
    other = await platform.call(
        "POST",
        "/api/patients",
        token=token,
        json=simple_patient(),
        headers={"Idempotency-Key": key},
    )
    assert (other.status, is_problem(other)) == (422, True)

    # One more behind them on every way: when it was counted, what was there before it has been too.
    last = await register(platform, "fhir", token)

    async def arrived() -> bool:
        return (
            await platform.account_of(last)
        ).status == 200 and await platform.registrations() >= before + 2

    await until(arrived)
    assert await platform.registrations() == before + 2
    assert (await platform.account_of(answers[0].body["id"])).status == 200


async def test_bundle_is_taken_whole_or_not_at_all(platform: Platform) -> None:
    token = await platform.client_token()
    patient = fhir_patient()
    broken = bundle(patient)
    broken["entry"][1]["resource"]["subject"] = "nobody"
    answer = await post_fhir(platform, "/fhir/R4", broken, token)
    assert answer.status in (400, 422)
    assert is_problem(answer)
    found = await platform.call(
        "GET", f"/fhir/R4/Patient?identifier={patient['identifier'][0]['value']}", token=token
    )
    assert (found.status, found.body.get("entry", [])) == (200, [])


async def test_history_is_found_by_patient(platform: Platform) -> None:
    token = await platform.client_token()
    patient_id = await register(platform, "bundle", token)
    found = await platform.call("GET", f"/fhir/R4/Condition?patient={patient_id}", token=token)
    assert found.status == 200
    (entry,) = found.body["entry"]
    assert entry["resource"]["subject"]["reference"] == f"Patient/{patient_id}"


async def test_person_signs_in_by_the_short_login_and_registers_a_patient(
    platform: Platform,
) -> None:
    token = await platform.user_token()
    assert (await platform.call("GET", "/auth/validate", token=token)).status == 200
    patient_id = await register(platform, "simple", token)
    listed = await platform.call("GET", "/api/patients?limit=1", token=token)
    assert listed.status == 200
    assert len(listed.body) == 1
    assert 'rel="next"' in listed.headers["Link"]
    changed = {**simple_patient(), "name": "Changed"}
    stale = await platform.call(
        "PUT",
        f"/api/patients/{patient_id}",
        token=token,
        json=changed,
        headers={"If-Match": 'W/"7"'},
    )
    assert (stale.status, is_problem(stale)) == (412, True)
    put = await platform.call(
        "PUT",
        f"/api/patients/{patient_id}",
        token=token,
        json=changed,
        headers={"If-Match": 'W/"1"'},
    )
    assert (put.status, put.body["name"], put.headers["ETag"]) == (200, "Changed", 'W/"2"')
    gone = await platform.call("DELETE", f"/api/patients/{patient_id}", token=token)
    assert gone.status == 204
    assert (await platform.call("GET", f"/api/patients/{patient_id}", token=token)).status == 410


async def test_wrong_password_is_401(platform: Platform) -> None:
    body = {"email": f"{secrets.token_hex(4)}@example.org", "password": "wrong"}
    answer = await platform.call("POST", "/auth/login", json=body)
    assert (answer.status, is_problem(answer)) == (401, True)


async def test_trace_and_request_id_travel_to_the_service_and_back(platform: Platform) -> None:
    token = await platform.client_token()
    answer = await platform.call(
        "GET",
        "/api/patients/00000000-0000-7000-8000-000000000000",
        token=token,
        headers={"X-Request-Id": "journey-1"},
    )
    assert (answer.status, is_problem(answer)) == (404, True)
    assert answer.headers["X-Request-Id"] == answer.body["requestId"] == "journey-1"
