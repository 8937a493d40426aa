"""The names behind the ids of an audit: staff learn them all, a patient no other patient's."""

import uuid

import httpx
import pytest

from tests.auth.admin.test_accounts import CLIENT, client_of
from tests.auth.conftest import Auth

pytestmark = pytest.mark.integration
NAMES = "/auth/v1/names"


def names(client: httpx.Client, *ids: str) -> dict[str, tuple[str, str]]:
    answer = client.get(NAMES, params={"id": list(ids)})
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return {each["id"]: (each["name"], each["kind"]) for each in answer.json()["items"]}


def test_staff_learn_the_names_of_people_and_applications(auth: Auth) -> None:
    doctor = auth.user("clinician", name="Dr. Vera Lind")
    patient = auth.user("patient", name="Pat Own", patient_id="p-1")
    admin = client_of(auth, "admin")
    made = admin.post("/auth/v1/clients", json=CLIENT).json()
    found = names(client_of(auth, "registrar"), doctor.id, patient.id, made["id"], "nobody")
    assert found == {
        doctor.id: ("Dr. Vera Lind", "person"),
        patient.id: ("Pat Own", "person"),
        made["id"]: ("Laboratory", "application"),
    }


def test_patient_learns_the_names_of_staff_and_of_no_other_patient(auth: Auth) -> None:
    doctor = auth.user("clinician", name="Dr. Vera Lind")
    other = auth.user("patient", name="Somebody Else", patient_id="p-2")
    own = auth.user("patient", name="Pat Own", patient_id="p-1")
    token = auth.login(own.email).json()["token"]
    client = auth.opened(
        httpx.Client(base_url=auth.url, headers={"Authorization": f"Bearer {token}"})
    )
    assert names(client, doctor.id, other.id, own.id) == {
        doctor.id: ("Dr. Vera Lind", "person"),
        own.id: ("Pat Own", "person"),
    }


@pytest.mark.parametrize(
    "query",
    ["", "id=" + "x" * 101, "id=a%00b", "q=a", "&".join(f"id={uuid.uuid4()}" for _ in range(101))],
)
def test_bad_question_is_refused(auth: Auth, query: str) -> None:
    assert client_of(auth, "clinician").get(f"{NAMES}?{query}").status_code == 400


def test_program_is_told_nothing(auth: Auth) -> None:
    client_id, secret = auth.client("system/Patient.rs")
    token = httpx.post(
        f"{auth.url}/oauth2/token",
        data={"grant_type": "client_credentials"},
        auth=(client_id, secret),
    ).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    answer = httpx.get(f"{auth.url}{NAMES}", params={"id": client_id}, headers=headers)
    assert answer.status_code == 403
