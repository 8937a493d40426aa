"""SMART App Launch 2.2: launches, scopes, audience, what is told about the person
and the record.
"""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.auth.browser import App, Browser, parameters
from tests.auth.conftest import Auth, make_settings, serve
from tests.auth.oauth.test_tokens import decode
from tests.ports import free_port

pytestmark = pytest.mark.integration

STAFF = ("openid", "fhirUser", "launch", "launch/patient", "launch/encounter")


def signed_in(auth: Auth, role: str = "clinician", **changes: Any) -> tuple[Browser, Any]:
    user, browser = auth.user(role, **changes), Browser(auth)
    browser.sign_in(user.email)
    return browser, user


def console_token(auth: Auth, browser: Browser, *scopes: str) -> str:
    """The token that the console holds for the person in the browser."""
    app = App(auth, *(scopes or ("openid", "user/*.cruds")), trusted=True)
    return str(app.redeem(app.authorize(browser))["access_token"])


def launch(auth: Auth, token: str, *, key: str = "", **body: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"} | ({"Idempotency-Key": key} if key else {})
    return httpx.post(f"{auth.url}/auth/v1/launches", json=body, headers=headers)


def introspect(auth: Auth, app: App, token: str) -> dict[str, Any]:
    body: dict[str, Any] = app.oauth.introspect_token(f"{auth.url}/oauth2/introspect", token).json()
    return body


def test_ehr_launch_gives_the_patient_and_encounter_that_the_console_named(auth: Auth) -> None:
    browser, user = signed_in(auth, practitioner_id="dr-1")
    app = App(auth, *STAFF, "patient/*.rs", "user/Practitioner.r")
    made = launch(auth, console_token(auth, browser), patientId="p-1", encounterId="e-1")
    assert made.status_code == 201 and made.json()["expiresIn"] == 300
    location = app.authorize(browser, launch=made.json()["launch"], aud=f"{auth.url}/fhir/R4")
    token = app.redeem(location)
    assert (token["patient"], token["encounter"]) == ("p-1", "e-1")
    assert "patient/*.rs" in token["scope"].split()
    claims = decode(auth, token["access_token"]).claims
    told = introspect(auth, app, token["access_token"])
    for name, value in {
        "patient": "p-1",
        "encounter": "e-1",
        "fhirUser": f"{auth.url}/fhir/R4/Practitioner/dr-1",
    }.items():
        assert claims[name] == told[name] == value
    assert decode(auth, token["id_token"]).claims["fhirUser"].endswith("/Practitioner/dr-1")
    assert claims["sub"] == user.id


def test_launch_is_good_once_for_its_person_and_its_application_alone(auth: Auth) -> None:
    browser, _ = signed_in(auth)
    token = console_token(auth, browser)
    app, other = App(auth, *STAFF, "user/*.rs"), App(auth, *STAFF, "user/*.rs")

    def errors(by: Browser, through: App, value: str, **changes: str) -> str:
        answer = by.get(through.url(launch=value, **changes))
        return parameters(answer.headers["location"])["error"] if answer.is_redirect else ""

    value = launch(auth, token, patientId="p-1", clientId=app.client[0]).json()["launch"]
    assert errors(browser, other, value) == "invalid_request"
    assert errors(signed_in(auth)[0], app, value) == "invalid_request"
    assert errors(browser, app, value, scope="openid user/*.rs") == "invalid_request"
    assert app.redeem(app.authorize(browser, launch=value))["patient"] == "p-1"
    assert errors(browser, app, value) == "invalid_request"
    old = launch(auth, token, patientId="p-1").json()["launch"]
    auth.sql("UPDATE launches SET expires_at = now()")
    assert errors(browser, app, old) == "invalid_request"
    assert errors(browser, app, "made-up") == "invalid_request"


@pytest.mark.parametrize(
    ("role", "body", "status"),
    [
        ("clinician", {"patientId": "p-1"}, 201),
        ("clinician", {}, 422),
        ("clinician", {"patientId": "a/b"}, 422),
        ("clinician", {"patientId": 7}, 422),
        ("clinician", {"patientId": "p", "encounterId": "x y"}, 422),
        ("clinician", {"patientId": "p", "clientId": "nobody"}, 422),
        ("clinician", {"patientId": "p", "other": 1}, 422),
        ("analyst", {"patientId": "p-1"}, 403),
        ("patient", {"patientId": "p-1"}, 403),
    ],
)
def test_launches_are_for_whoever_may_read_every_patient(
    auth: Auth, role: str, body: dict[str, Any], status: int
) -> None:
    changes = {"patient_id": "p-9"} if role == "patient" else {}
    browser, _ = signed_in(auth, role, **changes)
    token = console_token(auth, browser, "openid", "user/*.cruds", "patient/*.rs")
    assert launch(auth, token, **body).status_code == status


def test_launch_is_told_once_to_an_idempotency_key(auth: Auth) -> None:
    browser, _ = signed_in(auth)
    token = console_token(auth, browser)
    assert launch(auth, token, key="k-1", patientId="p-1").status_code == 201
    again = launch(auth, token, key="k-1", patientId="p-1")
    assert (again.status_code, again.json()["code"]) == (409, "secret_already_told")
    assert launch(auth, token, key="k-1", patientId="p-2").status_code == 422
    assert launch(auth, token, key="k-2", patientId="p-1").status_code == 201


def test_program_without_a_person_launches_nothing(auth: Auth) -> None:
    token = auth.token_for(auth.client("system/*.cruds")).json()["access_token"]
    assert launch(auth, token, patientId="p-1").status_code == 403


class FakePatients(BaseHTTPRequestHandler):
    """The patient service's search, as the picker meets it."""

    asked: list[tuple[str, str]]

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers["Authorization"]))  # type: ignore[attr-defined]
        patient = {
            "resourceType": "Patient",
            "id": "p-7",
            "name": [{"given": ["Ada"], "family": "<Lovelace>"}],
            "birthDate": "1815-12-10",
            "identifier": [{"value": "MRN-5"}],
        }
        body = json.dumps({"entry": [{"resource": patient}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        """Nothing to say."""


@pytest.fixture
def patients() -> Iterator[Any]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), FakePatients)
    server.asked = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def test_clinician_picks_the_patient_of_a_standalone_launch(
    auth_database: str, patients: Any
) -> None:
    url = f"http://127.0.0.1:{patients.server_port}"
    for auth in serve(make_settings(auth_database, free_port(), patient_url=url)):
        browser, user = signed_in(auth)
        app = App(auth, *STAFF, "patient/*.read", "offline_access")
        page = browser.get(app.url(scope="openid launch/patient patient/*.read offline_access"))
        assert "Choose a patient" in page.text
        page = browser.send(page, patient_search="Ada, Countess")
        assert "Ada &lt;Lovelace&gt;" in page.text and "MRN-5" in page.text
        path, authorization = patients.asked[-1]
        assert parse_qs(urlsplit(path).query)["name"] == ["Ada  Countess"]
        claims = decode(auth, authorization.removeprefix("Bearer ")).claims
        assert (claims["sub"], claims["scope"]) == (user.id, "user/Patient.rs")
        assert claims["exp"] - claims["iat"] == 60
        browser.send(page, patient_search="MRN-5")
        assert "identifier=MRN-5" in patients.asked[-1][0]

        page = browser.send(page, patient="p-7")
        assert "Read and search the chosen patient&#39;s health records" in page.text
        token = app.redeem(browser.send(page, decision="allow").headers["location"])
        assert token["patient"] == "p-7" and "patient/*.read" in token["scope"].split()
        renewed = app.oauth.refresh_token(
            f"{auth.url}/oauth2/token",
            refresh_token=token["refresh_token"],
            scope="patient/*.read",
        )
        assert renewed["patient"] == "p-7"
        assert decode(auth, renewed["access_token"]).claims["patient"] == "p-7"
        for client in auth.clients:
            client.close()


def test_search_that_fails_is_told_on_the_page(auth_database: str) -> None:
    settings = make_settings(
        auth_database, free_port(), patient_url=f"http://127.0.0.1:{free_port()}"
    )
    for auth in serve(settings):
        browser, _ = signed_in(auth)
        page = browser.get(App(auth, *STAFF, "patient/*.rs").url())
        assert "does not answer" in browser.send(page, patient_search="Ada").text
        browser.http.close()


def test_only_the_patient_of_a_form_of_ours_is_taken(auth: Auth) -> None:
    browser, _ = signed_in(auth)
    app = App(auth, *STAFF, "patient/*.rs")
    assert "Choose a patient" in browser.get(app.url() + "&patient=p-1").text
    answer = browser.http.post(app.url(), data={"patient": "p-1"})
    assert answer.status_code == 403
    silent = browser.get(app.url(prompt="none")).headers["location"]
    assert parameters(silent)["error"] == "interaction_required"


def test_role_that_may_not_search_patients_picks_none_and_gets_no_patient_scope(
    auth: Auth,
) -> None:
    browser, _ = signed_in(auth, "analyst")
    app = App(auth, "openid", "launch/patient", "patient/*.rs", "analytics.read")
    token = app.redeem(app.authorize(browser))
    assert token["scope"] == "analytics.read openid" and "patient" not in token


def test_registrars_patient_scopes_are_no_wider_than_the_role(auth: Auth) -> None:
    browser, _ = signed_in(auth, "registrar")
    app = App(auth, "openid", "launch", "patient/*.cruds")
    value = launch(auth, console_token(auth, browser), patientId="p-1").json()["launch"]
    granted = set(app.redeem(app.authorize(browser, launch=value))["scope"].split())
    assert "patient/Patient.crus" in granted
    assert not any("Observation" in scope or "*" in scope for scope in granted)


@pytest.mark.parametrize(
    ("aud", "fine"),
    [
        ("{url}/fhir/R4", True),
        ("{url}/fhir/R4/", True),
        ("{url}", True),
        ("https://evil.example/fhir", False),
        ("{url}/fhir/R4/Patient", False),
        ("{url}.evil.example/fhir/R4", False),
    ],
)
def test_token_is_for_our_fhir_server_alone(auth: Auth, aud: str, fine: bool) -> None:
    app = App(auth)
    answer = Browser(auth).get(app.url(aud=aud.format(url=auth.url)))
    assert ("Sign in" in answer.text) is fine
    if not fine:
        assert parameters(answer.headers["location"])["error"] == "invalid_request"


def test_resource_that_is_our_fhir_base_is_the_public_audience(auth: Auth) -> None:
    browser, _ = signed_in(auth)
    app = App(auth)
    base = f"{auth.url}/fhir/R4"
    token = app.redeem(app.authorize(browser, resource=base), resource=base)
    assert decode(auth, token["access_token"]).claims["aud"] == auth.url
    wrong = browser.get(app.url(resource="https://evil.example/fhir"))
    assert parameters(wrong.headers["location"])["error"] == "invalid_target"


def test_scopes_with_search_parameters_are_granted_as_they_were_asked_for(auth: Auth) -> None:
    browser, _ = signed_in(auth)
    app = App(auth, "openid", "user/*.rs")
    scope = "user/Observation.rs?category=laboratory"
    page = browser.get(app.url(scope=f"openid {scope}"))
    assert "Observation with category laboratory" in page.text
    token = app.redeem(browser.send(page, decision="allow").headers["location"])
    assert set(token["scope"].split()) == {"openid", scope}


def test_refresh_narrows_and_never_widens(auth: Auth) -> None:
    browser, _ = signed_in(auth)
    app = App(auth, "offline_access", "user/*.cruds")
    url = f"{auth.url}/oauth2/token"
    token = app.redeem(app.authorize(browser))
    for scope in ("user/Patient.r", "user/Patient.r user/*.rs", "user/Observation.rs?status=final"):
        token = app.oauth.refresh_token(url, refresh_token=token["refresh_token"], scope=scope)
        assert set(token["scope"].split()) <= set(scope.split())
    full = app.oauth.refresh_token(url, refresh_token=token["refresh_token"])
    assert "user/*.cruds" in full["scope"]
    for scope in ("admin", "user/Patient.r admin", "patient/*.rs"):
        form = {"grant_type": "refresh_token", "refresh_token": full["refresh_token"]}
        answer = httpx.post(url, auth=app.client, data={**form, "scope": scope})
        assert answer.json()["error"] == "invalid_scope"


def test_email_is_a_scope_of_its_own(auth: Auth) -> None:
    browser, user = signed_in(auth, name="Ada")
    for scopes, names in (
        (("openid", "email"), {"sub", "email", "email_verified"}),
        (("openid", "profile"), {"sub", "name", "updated_at"}),
    ):
        app = App(auth, *scopes)
        app.redeem(app.authorize(browser))
        info = app.oauth.get(f"{auth.url}/oauth2/userinfo").json()
        assert info.keys() == names
    assert info["updated_at"] == int(user.updated_at.timestamp())
    auth.sql("UPDATE users SET email_verified_at = now() WHERE id = $1", user.id)
    app = App(auth, "openid", "email")
    app.redeem(app.authorize(browser))
    assert app.oauth.get(f"{auth.url}/oauth2/userinfo").json()["email_verified"] is True
