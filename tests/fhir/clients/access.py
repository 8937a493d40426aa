"""Where the running platform's record is, and a token for all of it."""

import os

import httpx

TIMEOUT_SECONDS = 30


def base_url() -> str:
    return os.environ["PLATFORM_URL"] + "/fhir/R4"


def fetch_token() -> str:
    """Returns the token of a client that may do everything with the record."""
    answer = httpx.post(
        os.environ["PLATFORM_URL"] + "/oauth2/token",
        auth=(os.environ["PLATFORM_CLIENT_ID"], os.environ["PLATFORM_CLIENT_SECRET"]),
        data={"grant_type": "client_credentials", "scope": "system/*.cruds"},
        timeout=TIMEOUT_SECONDS,
    )
    return str(answer.raise_for_status().json()["access_token"])
