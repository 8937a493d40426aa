"""A client of the platform's public API: signs in, repeats what is safe to repeat, and says
clearly what failed.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus

import aiohttp
import msgspec

from apps.client.settings import ClientSettings, PlatformError, read_settings

TIMEOUT_SECONDS = 60.0
RENEW_BEFORE_SECONDS = 30.0
# A platform that is busy or away for a moment is asked again for this long in all.
RETRY_SECONDS = 60.0
MAX_PAUSE_SECONDS = 5.0
MAX_CONNECTIONS = 32
TOO_MANY_REQUESTS = 429
BUSY_STATUSES = (TOO_MANY_REQUESTS, 502, 503, 504)


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """`body`: the parsed JSON, or the text of any other media type.

    `repeated`: an earlier try got no answer of the service, and may have been carried out.
    """

    status: int
    headers: Mapping[str, str]
    body: Any
    repeated: bool = False

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    @property
    def reasons(self) -> list[str]:
        """Tells why the request was refused, from an OperationOutcome or from problem
        details (RFC 9457).
        """
        if not isinstance(self.body, dict):
            return [f"HTTP {self.status}"]
        issues = [
            ": ".join(
                filter(None, (", ".join(issue.get("expression", ())), issue.get("diagnostics")))
            )
            for issue in self.body.get("issue", ())
        ]
        detail = self.body.get("detail") or self.body.get("title")
        return issues or [str(detail or f"HTTP {self.status}")]


class Client:
    """Calls the platform as one OAuth client; its access token is renewed before it expires."""

    def __init__(
        self,
        settings: ClientSettings,
        session: aiohttp.ClientSession,
        *,
        retry_seconds: float | None = None,
    ) -> None:
        self.settings = settings
        self._retry_seconds = retry_seconds
        self._session = session
        self._token = ""
        self._renew_at = 0.0
        self._answered = False
        self._signing_in = asyncio.Lock()

    @property
    def url(self) -> str:
        return self.settings.url

    async def sign_in(self) -> None:
        """Gets an access token by client credentials. Raises PlatformError if there is
        none to be had.
        """
        response = await self.request_token()
        if not response.ok or not isinstance(response.body, dict):
            raise PlatformError(
                f"{self.url} does not let client {self.settings.client_id} in"
                f" (HTTP {response.status})"
            )
        self._token = str(response.body["access_token"])
        lifetime_seconds = float(response.body["expires_in"])
        self._renew_at = time.monotonic() + lifetime_seconds - RENEW_BEFORE_SECONDS

    async def request_token(self, **form: str) -> Response:
        """Asks for a token by client credentials; `form` adds parameters such as `scope`."""
        # RFC 6749, 2.3.1: both are form-encoded before they are joined.
        basic = aiohttp.encode_basic_auth(
            quote_plus(self.settings.client_id), quote_plus(self.settings.client_secret)
        )
        return await self._repeat(
            "POST",
            "/oauth2/token",
            data={"grant_type": "client_credentials", **form},
            headers={"Authorization": basic},
        )

    async def call(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Sends a request with the client's token, again while the platform is busy
        or briefly away.

        A POST should carry an `Idempotency-Key`: it may be sent more than once. Raises
        PlatformError if nothing answers within RETRY_SECONDS.
        """
        media_type = "application/fhir+json" if path.startswith("/fhir/") else "application/json"
        sent = {**({"Content-Type": media_type} if body else {}), **(headers or {})}
        token = await self._current_token()
        response = await self._repeat(
            method, path, data=body, headers={**sent, "Authorization": f"Bearer {token}"}
        )
        if response.status != 401:
            return response
        # Keys that were withdrawn, or a secret that was rotated: one new token is worth a try.
        if self._token == token:
            self._renew_at = 0.0
        token = await self._current_token()
        return await self._repeat(
            method, path, data=body, headers={**sent, "Authorization": f"Bearer {token}"}
        )

    async def send(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        base_url: str | None = None,
        **options: Any,
    ) -> Response:
        """Sends a request once, as it is, and follows no redirect. `base_url`: another server than
        the platform's.
        """
        sent = dict(headers or {})
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        async with self._session.request(
            method,
            (base_url or self.url) + path,
            headers=sent,
            allow_redirects=False,
            **options,
        ) as answer:
            return await read_response(answer)

    async def _current_token(self) -> str:
        async with self._signing_in:
            if time.monotonic() >= self._renew_at:
                await self.sign_in()
            return self._token

    async def _repeat(self, method: str, path: str, **options: Any) -> Response:
        retry_seconds = RETRY_SECONDS if self._retry_seconds is None else self._retry_seconds
        end = time.monotonic() + retry_seconds
        pause_seconds = 0.2
        repeated = False
        while True:
            retry_after = ""
            try:
                async with self._session.request(method, self.url + path, **options) as answer:
                    response = await read_response(answer, repeated=repeated)
                self._answered = True
                if response.status not in BUSY_STATUSES or time.monotonic() >= end:
                    return response
                retry_after = response.headers.get("Retry-After", "")
                repeated = repeated or response.status != TOO_MANY_REQUESTS
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                if not self._answered or time.monotonic() >= end:
                    raise PlatformError(
                        f"{self.url} does not answer ({type(error).__name__}): is the platform up?"
                    ) from None
                repeated = True
            wanted_seconds = float(retry_after) if retry_after.isdigit() else pause_seconds * 2
            pause_seconds = min(wanted_seconds, MAX_PAUSE_SECONDS)
            await asyncio.sleep(pause_seconds)


async def read_response(answer: aiohttp.ClientResponse, *, repeated: bool = False) -> Response:
    """Reads the body to its end; JSON by its media type, anything else as text."""
    content = await answer.read()
    body: Any = (
        parse_json(content) if "json" in answer.content_type else content.decode("utf-8", "replace")
    )
    return Response(
        status=answer.status, headers=answer.headers.copy(), body=body, repeated=repeated
    )


def parse_json(content: bytes) -> Any:
    """Returns the parsed JSON, or None if it is not JSON."""
    try:
        return msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


@asynccontextmanager
async def open_client(
    environ: Mapping[str, str] = os.environ,
    *,
    settings: ClientSettings | None = None,
    retry_seconds: float | None = None,
) -> AsyncIterator[Client]:
    """Opens a client of the platform that `settings` or the environment names. Raises
    PlatformError.

    `retry_seconds`: how long a busy platform is asked again, RETRY_SECONDS by default.
    """
    settings = settings or read_settings(environ)
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    connector = aiohttp.TCPConnector(limit=MAX_CONNECTIONS)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        yield Client(settings, session, retry_seconds=retry_seconds)
