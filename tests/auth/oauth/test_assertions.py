"""Clients that prove themselves with a key: private_key_jwt, and what is tried against it."""

import hmac
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from tests.auth.conftest import Auth

pytestmark = pytest.mark.integration

KEY = ECKey.generate_key("P-256", {"kid": "c-1", "alg": "ES256", "use": "sig"})
OTHER_KEY = ECKey.generate_key("P-256", {"kid": "c-1", "alg": "ES256", "use": "sig"})
NOW = int(time.time())


def keyed_client(auth: Auth) -> str:
    keys = {"keys": [KEY.as_dict(private=False)]}
    return auth.client("system/*.rs", auth_method="private_key_jwt", jwks=keys)[0]


def assertion(
    auth: Auth, client_id: str, key: Any = KEY, alg: str = "ES256", **changes: Any
) -> str:
    now = int(time.time())
    claims = {
        "iss": client_id,
        "sub": client_id,
        "aud": f"{auth.url}/oauth2/token",
        "exp": now + 120,
        "iat": now,
        "jti": secrets.token_hex(8),
        **changes,
    }
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode({"alg": alg, "kid": "c-1"}, claims, key, [alg])


def send_assertion(auth: Auth, made: str) -> httpx.Response:
    form = {
        "grant_type": "client_credentials",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": made,
    }
    return httpx.post(f"{auth.url}/oauth2/token", data=form)


def test_client_proves_itself_with_its_key_once_an_assertion(auth: Auth) -> None:
    made = assertion(auth, keyed_client(auth))
    assert send_assertion(auth, made).json()["scope"] == "system/*.rs"
    assert send_assertion(auth, made).json()["error"] == "invalid_client"


def confused(made: str) -> str:
    """HS256 under the registered public key's PEM, which no library would sign with."""
    payload = made.split(".")[1]
    header = urlsafe_b64encode(b'{"alg":"HS256","kid":"c-1"}').decode().rstrip("=")
    signed = f"{header}.{payload}"
    mac = hmac.digest(KEY.as_pem(private=False), signed.encode(), "sha256")
    return f"{signed}.{urlsafe_b64encode(mac).decode().rstrip('=')}"


BAD_ASSERTIONS: dict[str, Callable[[Auth, str], str]] = {
    "another key": lambda auth, id: assertion(auth, id, OTHER_KEY),
    "key confusion": lambda auth, id: confused(assertion(auth, id)),
    "another audience": lambda auth, id: assertion(auth, id, aud="https://evil.example"),
    "no audience": lambda auth, id: assertion(auth, id, aud=None),
    "expired": lambda auth, id: assertion(auth, id, exp=NOW - 100),
    "no expiry": lambda auth, id: assertion(auth, id, exp=None),
    "a year": lambda auth, id: assertion(auth, id, exp=NOW + 31_536_000),
    "no jti": lambda auth, id: assertion(auth, id, jti=None),
    "another issuer": lambda auth, id: assertion(auth, id, iss="somebody"),
    "no subject": lambda auth, id: assertion(auth, id, sub=None),
    "another subject": lambda auth, id: assertion(
        auth, id, sub="service-patient", iss="service-patient"
    ),
    "a number for a subject": lambda auth, id: assertion(auth, id, sub=7),
    "nonsense": lambda auth, id: "a.b.c",
    "alg none": lambda auth, id: "eyJhbGciOiJub25lIn0." + assertion(auth, id).split(".")[1] + ".",
}


@pytest.mark.parametrize("name", BAD_ASSERTIONS)
def test_bad_assertion_is_refused(auth: Auth, name: str) -> None:
    answer = send_assertion(auth, BAD_ASSERTIONS[name](auth, keyed_client(auth)))
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_client")


def test_signing_keys_of_ours_are_not_a_clients(auth: Auth) -> None:
    """A client's token, signed by us, is no proof of who the client is."""
    client = auth.client("system/*.rs")
    token = auth.token_for(client).json()["access_token"]
    assert send_assertion(auth, token).status_code == 400
