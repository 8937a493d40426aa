"""Where a verifier gets the auth service's keys and its list of revocations."""

from collections.abc import Mapping
from typing import Any, Protocol

import aiohttp

from apps.kit.credentials import ServiceCredentials
from apps.kit.revocations import Revocations, parse_revocations

REQUEST_TIMEOUT_SECONDS = 5.0


class Source(Protocol):
    """Where keys and revocations come from; both may raise Problem, and any client
    or socket error.
    """

    async def fetch_keys(self) -> Any:
        """Returns a JWK set."""
        ...

    async def fetch_revocations(self) -> Revocations: ...


class HttpSource:
    """Asks the auth service over HTTP; its list of revocations with the service's own token."""

    def __init__(
        self, auth_url: str, credentials: ServiceCredentials, session: aiohttp.ClientSession
    ) -> None:
        self._auth_url = auth_url
        self._credentials = credentials
        self._session = session
        self._etag = ""
        self._revocations = Revocations()

    async def fetch_keys(self) -> Any:
        async with self._get("/.well-known/jwks.json") as answer:
            answer.raise_for_status()
            return await answer.json()

    async def fetch_revocations(self) -> Revocations:
        token = await self._credentials.token("auth")
        headers = {"Authorization": f"Bearer {token}"}
        if self._etag:
            headers["If-None-Match"] = self._etag
        async with self._get("/oauth2/revocations", headers) as answer:
            if answer.status != 304:
                answer.raise_for_status()
                self._revocations = parse_revocations(await answer.json())
                self._etag = answer.headers.get("ETag", "")
        return self._revocations

    def _get(self, path: str, headers: Mapping[str, str] | None = None) -> Any:
        return self._session.get(
            self._auth_url + path,
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_SECONDS),
            allow_redirects=False,
        )
