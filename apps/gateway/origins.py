"""The web origins of registered applications: the auth service tells them, the gateway asks
again and again.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp

from apps.kit.backoff import Backoff
from apps.kit.credentials import ServiceCredentials
from apps.kit.errors import Problem

PERIOD_SECONDS = 15.0
REQUEST_TIMEOUT_SECONDS = 5.0
MAX_ORIGINS = 2_000
MAX_ORIGIN_CHARS = 300
FETCH_ERRORS = (Problem, aiohttp.ClientError, OSError, ValueError, TypeError, AttributeError)

log = logging.getLogger(__name__)

FetchOrigins = Callable[[], Awaitable[frozenset[str]]]


class OriginSource:
    """Reads `GET /oauth2/origins` of the auth service with the gateway's own token."""

    def __init__(
        self, auth_url: str, credentials: ServiceCredentials, session: aiohttp.ClientSession
    ) -> None:
        self._url = auth_url + "/oauth2/origins"
        self._credentials = credentials
        self._session = session
        self._etag = ""
        self._origins: frozenset[str] = frozenset()

    async def fetch(self) -> frozenset[str]:
        """Raises Problem, and any client, socket or value error."""
        headers = {"Authorization": f"Bearer {await self._credentials.token('auth')}"}
        if self._etag:
            headers["If-None-Match"] = self._etag
        async with self._session.get(
            self._url,
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_SECONDS),
            allow_redirects=False,
        ) as response:
            if response.status != 304:
                response.raise_for_status()
                self._origins = parse_origins(await response.json())
                self._etag = response.headers.get("ETag", "")
        return self._origins


def parse_origins(document: Any) -> frozenset[str]:
    """Returns the origins of `{"origins": [...]}`. Raises ValueError for any other document
    and for too many.
    """
    origins = document["origins"] if isinstance(document, dict) else None
    if not isinstance(origins, list) or len(origins) > MAX_ORIGINS:
        raise ValueError("not a list of origins")
    if not all(isinstance(each, str) and len(each) <= MAX_ORIGIN_CHARS for each in origins):
        raise ValueError("not an origin")
    return frozenset(origins)


class ClientOrigins:
    """The registered origins as they were last told. With auth down they stay."""

    def __init__(self) -> None:
        self._origins: frozenset[str] = frozenset()

    def __contains__(self, origin: str) -> bool:
        return origin in self._origins

    async def keep_fresh(self, fetch: FetchOrigins) -> None:
        """Asks every PERIOD_SECONDS, and sooner as long as nothing was ever told; never returns."""
        backoff = Backoff(0.2, PERIOD_SECONDS)
        was_told = failing = False
        while True:
            try:
                self._origins = await fetch()
                was_told, failing = True, False
            except FETCH_ERRORS as error:
                if not failing:
                    log.warning("auth tells no origins", extra={"error": type(error).__name__})
                failing = True
            await asyncio.sleep(PERIOD_SECONDS if was_told else backoff.next_seconds())
