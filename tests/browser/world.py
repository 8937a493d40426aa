"""The platform as the browser tests see it: its address, and an administrator to make people
and applications.
"""

import secrets
from dataclasses import dataclass, field
from queue import Queue
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from tests.console.sessions import make_users

CALLBACK_TIMEOUT_SECONDS = 10.0
STAFF = ("admin", "analyst", "billing", "billing_manager", "clinician", "registrar")


@dataclass(frozen=True)
class Callback:
    url: str
    arrived: "Queue[str]"

    def wait(self) -> dict[str, str]:
        path = self.arrived.get(timeout=CALLBACK_TIMEOUT_SECONDS)
        return {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}


@dataclass(frozen=True)
class World:
    url: str
    admin: httpx.Client
    staff: dict[str, str] = field(default_factory=dict)

    def worker(self, role: str) -> str:
        """Gives the address of the one person with this role whom the tests share."""
        if not self.staff:
            # All at once: a new password is good for signing in a while later only.
            emails = make_users(self.admin, [{"roles": [each]} for each in STAFF])
            self.staff.update(zip(STAFF, emails, strict=True))
        return self.staff[role]

    def person(self, *roles: str) -> dict[str, Any]:
        """With `passwordLink`, where the person sets a password."""
        body = {
            "email": f"{secrets.token_hex(6)}@example.org",
            "name": "Test Person",
            "roles": roles,
        }
        person: dict[str, Any] = (
            self.admin.post("/auth/v1/users", json=body).raise_for_status().json()
        )
        return person

    def application(self, callback: Callback, *scopes: str) -> "Application":
        body = {
            "name": "Ward rounds",
            "authMethod": "none",
            "grantTypes": ["authorization_code", "refresh_token"],
            "scopes": scopes,
            "redirectUris": [callback.url],
        }
        made = self.admin.post("/auth/v1/clients", json=body).raise_for_status().json()
        return Application(self, made["id"], callback, " ".join(scopes), secrets.token_urlsafe(48))


@dataclass(frozen=True)
class Application:
    """A public client with PKCE."""

    world: World
    client_id: str
    callback: Callback
    scope: str
    verifier: str

    def start(self) -> str:
        query = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self.callback.url,
            "scope": self.scope,
            "state": "from-the-test",
            "code_challenge": create_s256_code_challenge(self.verifier),
            "code_challenge_method": "S256",
        }
        return f"{self.world.url}/oauth2/authorize?{urlencode(query)}"

    def finish(self) -> dict[str, Any]:
        answer = self.callback.wait()
        assert answer["state"] == "from-the-test" and answer["iss"] == self.world.url
        form = {
            "grant_type": "authorization_code",
            "code": answer["code"],
            "redirect_uri": self.callback.url,
            "client_id": self.client_id,
            "code_verifier": self.verifier,
        }
        token: dict[str, Any] = (
            httpx.post(f"{self.world.url}/oauth2/token", data=form).raise_for_status().json()
        )
        return token
