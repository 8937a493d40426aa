"""Client credentials, the short login, and what verifiers read."""

import time
from typing import Any

import aiohttp
import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from apps.kit.errors import Unauthorized
from apps.kit.token_verifier import VerifierSettings, open_verifier
from tests.auth.conftest import PASSWORD, SERVICE_SECRET, Auth

pytestmark = pytest.mark.integration


def decode(auth: Auth, token: str) -> Any:
    keys = KeySet.import_key_set(httpx.get(f"{auth.url}/.well-known/jwks.json").json())
    return jwt.decode(token, keys, algorithms=["RS256"])


def test_client_credentials_give_an_access_token_as_rfc_9068_says(auth: Auth) -> None:
    client = auth.client("system/*.cruds", "billing.read")
    answer = auth.token_for(client)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert (body["token_type"], body["expires_in"], body["scope"]) == (
        "Bearer",
        600,
        "billing.read system/*.cruds",
    )
    token = decode(auth, body["access_token"])
    assert token.header["typ"] == "at+jwt" and token.header["kid"]
    now = time.time()
    assert token.claims["iss"] == token.claims["aud"] == auth.url
    assert token.claims["sub"] == token.claims["client_id"] == client[0]
    assert token.claims["scope"] == "billing.read system/*.cruds" and token.claims["roles"] == []
    assert abs(token.claims["iat"] - now) < 5 and token.claims["exp"] - token.claims["iat"] == 600
    assert token.claims["jti"]


@pytest.mark.parametrize(
    ("allowed", "asked", "granted"),
    [
        ("system/*.cruds", "system/Patient.rs", "system/Patient.rs"),
        ("system/Patient.rs", "system/*.cruds", "system/Patient.rs"),
        ("system/*.rs", "system/*.rs admin", "system/*.rs"),
        ("system/*.rs", "admin", None),
        ("system/*.rs user/*.cruds openid", "user/*.cruds openid", None),
        ("system/*.rs user/*.cruds openid", "", "system/*.rs"),
    ],
)
def test_client_gets_no_more_than_it_may_ask_for(
    auth: Auth, allowed: str, asked: str, granted: str | None
) -> None:
    answer = auth.token_for(auth.client(*allowed.split()), scope=asked)
    if granted is None:
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_scope")
    else:
        assert answer.json()["scope"] == granted


def test_wrong_secret_unknown_client_and_disabled_client_are_refused(auth: Auth) -> None:
    client_id, secret = auth.client("system/*.rs")
    for wrong in ((client_id, "wrong"), ("nobody", secret), (client_id, "")):
        answer = auth.token_for(wrong)
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    auth.sql("UPDATE clients SET disabled_at = now() WHERE id = $1", client_id)
    assert auth.token_for((client_id, secret)).status_code == 401


def test_secret_in_the_form_is_not_taken(auth: Auth) -> None:
    client_id, secret = auth.client("system/*.rs")
    form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
    assert httpx.post(f"{auth.url}/oauth2/token", data=form).status_code == 401


@pytest.mark.parametrize(
    "grant_type", ["password", "implicit", "", "urn:ietf:params:oauth:grant-type:jwt-bearer"]
)
def test_other_grants_do_not_exist(auth: Auth, grant_type: str) -> None:
    answer = auth.token_for(
        auth.client("system/*.rs"), grant_type=grant_type, username="a", password="b"
    )
    assert (answer.status_code, answer.json()["error"]) == (400, "unsupported_grant_type")


def test_service_gets_tokens_for_the_services_that_it_calls_alone(auth: Auth) -> None:
    patient = ("service-patient", SERVICE_SECRET)
    token = auth.token_for(patient, audience="billing", scope="billing.system").json()[
        "access_token"
    ]
    claims = decode(auth, token).claims
    assert (claims["aud"], claims["scope"], claims["sub"]) == (
        "billing",
        "billing.system",
        "service-patient",
    )
    for audience in ({"audience": "analytics"}, {"audience": auth.url}, {}):
        answer = auth.token_for(patient, **audience)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_target")
    other = auth.client("system/*.rs")
    assert auth.token_for(other, audience="billing").json()["error"] == "invalid_target"


def test_revocations_are_for_services_alone(auth: Auth) -> None:
    url = f"{auth.url}/oauth2/revocations"
    assert httpx.get(url).status_code == 401
    person = auth.token_for(auth.client("system/*.rs")).json()["access_token"]
    assert httpx.get(url, headers={"Authorization": f"Bearer {person}"}).status_code == 403
    service = auth.token_for(("service-billing", SERVICE_SECRET), audience="auth").json()[
        "access_token"
    ]
    headers = {"Authorization": f"Bearer {service}"}
    answer = httpx.get(url, headers=headers)
    assert answer.json().keys() == {"tokens", "subjects", "clients", "families"}
    again = httpx.get(url, headers={**headers, "If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


async def test_services_verifier_learns_keys_and_revocations_over_http(auth: Auth) -> None:
    settings = VerifierSettings(
        auth.url, (auth.url,), auth.url, "service-analytics", SERVICE_SECRET
    )
    client_id, secret = auth.client("system/*.rs")
    token = auth.token_for((client_id, secret)).json()["access_token"]
    async with aiohttp.ClientSession() as session, open_verifier(settings, session) as verifier:
        await verifier.refresh()
        assert verifier.has_keys and not verifier.degraded
        assert (await verifier.verify(token)).client_id == client_id
        auth.sql(
            "INSERT INTO revocations (kind, id, expires_at) VALUES ('client', $1, now() + interval "
            "'1 hour')",
            client_id,
        )
        await verifier.refresh()
        with pytest.raises(Unauthorized):
            await verifier.verify(token)


def test_short_login_gives_a_token_with_the_roles_scopes(auth: Auth) -> None:
    user = auth.user("analyst")
    answer = auth.login(user.email.upper())
    assert answer.status_code == 200 and answer.json().keys() == {"token"}
    claims = decode(auth, answer.json()["token"]).claims
    assert (claims["sub"], claims["client_id"], claims["roles"]) == (
        user.id,
        "password-login",
        ["analyst"],
    )
    assert claims["scope"] == "analytics.read email" and claims["auth_time"]
    valid = httpx.get(
        f"{auth.url}/auth/validate", headers={"Authorization": f"Bearer {answer.json()['token']}"}
    )
    assert valid.status_code == 200


def test_patients_token_is_bound_to_the_own_record(auth: Auth) -> None:
    user = auth.user("patient", patient_id="record-7")
    claims = decode(auth, auth.login(user.email).json()["token"]).claims
    assert (claims["patient"], claims["scope"]) == ("record-7", "email patient/*.rs")


def test_wrong_password_unknown_and_disabled_user_get_the_same_answer(auth: Auth) -> None:
    user, disabled = auth.user("admin"), auth.user("admin")
    auth.sql("UPDATE users SET disabled_at = now() WHERE id = $1", disabled.id)
    answers = [
        auth.login(user.email, "wrong password 1"),
        auth.login("nobody@example.org", PASSWORD),
        auth.login(disabled.email, PASSWORD),
        auth.login("not an address\0", PASSWORD),
    ]
    bodies = [{**answer.json(), "requestId": ""} for answer in answers]
    assert {answer.status_code for answer in answers} == {401}
    assert all(body == bodies[0] for body in bodies)


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'{"email": 7, "password": "x"}', b'{"email": "a@b.c"}', b"null"]
)
def test_malformed_login_is_a_400(auth: Auth, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    assert httpx.post(f"{auth.url}/auth/login", content=body, headers=headers).status_code == 400


def test_guessing_gets_slower_even_with_the_right_password(auth: Auth) -> None:
    user = auth.user("billing")
    address = "198.51.100.31"
    statuses = [auth.login(user.email, "wrong password 1", address).status_code for _ in range(7)]
    assert statuses[:5] == [401] * 5 and 429 in statuses[5:]
    # Longer than a login takes on a slow machine.
    auth.sql(
        "UPDATE attempts SET locked_until = now() + interval '1 minute' "
        "WHERE kind = 'pair' AND failures > 4"
    )
    locked = auth.login(user.email, address=address)
    assert locked.status_code == 429 and int(locked.headers["retry-after"]) >= 1
    assert auth.login(user.email).status_code == 200, "guesses from elsewhere lock nobody out"
    auth.sql("UPDATE attempts SET locked_until = now()")
    assert auth.login(user.email, address=address).status_code == 200


def test_discovery_names_what_there_is(auth: Auth) -> None:
    document = httpx.get(f"{auth.url}/.well-known/openid-configuration").json()
    assert document["issuer"] == auth.url and document["code_challenge_methods_supported"] == [
        "S256"
    ]
    assert "password" not in document["grant_types_supported"]
    for path in (
        "/.well-known/oauth-authorization-server",
        "/fhir/R4/.well-known/smart-configuration",
    ):
        assert httpx.get(auth.url + path).json()["token_endpoint"] == f"{auth.url}/oauth2/token"
    for key in httpx.get(document["jwks_uri"]).json()["keys"]:
        assert not key.keys() & {"d", "p", "q", "dp", "dq", "qi", "k"}


def test_what_happens_is_recorded_without_a_secret(auth: Auth) -> None:
    user = auth.user("analyst")
    auth.login(user.email, "wrong password 1", "203.0.113.9")
    auth.login(user.email, PASSWORD, "203.0.113.9")
    rows = auth.sql("SELECT * FROM audit WHERE subject = $1 ORDER BY occurred_at", user.id)
    assert [(row["event"], row["outcome"], row["reason"], row["address"]) for row in rows] == [
        ("sign_in", "failure", "wrong_password", "203.0.113.9"),
        ("sign_in", "success", "", "203.0.113.9"),
    ]
    assert PASSWORD not in str(rows) and "wrong password" not in str(rows)
