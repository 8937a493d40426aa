"""A client of the platform's public API: signs in by client credentials and says clearly what went wrong."""

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

from infrastructure.local.home import LOCAL, LocalSecrets

LOCAL_CLIENT = "local"
TIMEOUT_SECONDS = 60.0
RENEW_BEFORE_SECONDS = 30.0
# Busy or away for a moment: tried again, for so long in all.
PATIENCE_SECONDS = 60.0
LONGEST_PAUSE_SECONDS = 5.0
TOO_MANY = 429
BUSY = (TOO_MANY, 502, 503, 504)


class PlatformError(Exception):
    """The platform cannot be used; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`repeated`: an earlier try had no answer, or the gateway's only, and may have been carried out."""

    status: int
    headers: Mapping[str, str]
    body: Any
    repeated: bool = False

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    @property
    def reasons(self) -> list[str]:
        """Why it was refused: of an OperationOutcome or of problem details."""
        if not isinstance(self.body, dict):
            return [f"HTTP {self.status}"]
        issues = [
            ": ".join(
                filter(None, (", ".join(issue.get("expression", ())), issue.get("diagnostics")))
            )
            for issue in self.body.get("issue", ())
        ]
        return issues or [
            str(self.body.get("detail") or self.body.get("title") or f"HTTP {self.status}")
        ]


@dataclass(frozen=True, slots=True)
class PlatformSettings:
    url: str
    client_id: str
    client_secret: str


def read_settings(environ: Mapping[str, str]) -> PlatformSettings:
    """From `PLATFORM_URL`, `PLATFORM_CLIENT_ID`, `PLATFORM_CLIENT_SECRET`; else the platform of `scripts/up`."""
    url = environ.get("PLATFORM_URL", "").rstrip("/")
    client_id = environ.get("PLATFORM_CLIENT_ID", LOCAL_CLIENT)
    secret = environ.get("PLATFORM_CLIENT_SECRET")
    if not url or not secret:
        local = LocalSecrets(LOCAL / "data" / "secrets.json")
        local_url = local.read("PLATFORM_URL") or ""
        url = url or local_url
        # To nobody but the platform that it is of.
        if not secret and url == local_url and client_id == LOCAL_CLIENT:
            secret = local.read("PLATFORM_CLIENT_SECRET")
    if not url or not secret:
        raise PlatformError(
            "no platform to talk to: start one with scripts/up, or set PLATFORM_URL, PLATFORM_CLIENT_ID and"
            " PLATFORM_CLIENT_SECRET"
        )
    return PlatformSettings(url, client_id, secret)


class Platform:
    def __init__(self, settings: PlatformSettings, session: aiohttp.ClientSession) -> None:
        self._settings = settings
        self._session = session
        self._token = ""
        self._renew_at = 0.0
        self._answered = False

    async def sign_in(self) -> None:
        """Gets an access token; raises PlatformError where there is none to be had."""
        # RFC 6749, 2.3.1: both are form-encoded before they are joined.
        basic = aiohttp.encode_basic_auth(
            quote_plus(self._settings.client_id), quote_plus(self._settings.client_secret)
        )
        form = {"grant_type": "client_credentials"}
        answer = await self._send(
            "POST", "/oauth2/token", data=form, headers={"Authorization": basic}
        )
        if not answer.ok or not isinstance(answer.body, dict):
            raise PlatformError(
                f"{self._settings.url} does not let client {self._settings.client_id} in (HTTP {answer.status})"
            )
        self._token = str(answer.body["access_token"])
        self._renew_at = time.monotonic() + float(answer.body["expires_in"]) - RENEW_BEFORE_SECONDS

    async def call(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Sent again while the platform is busy or, having answered once, away: a POST carries an `Idempotency-Key`.

        Raises PlatformError where nothing answers within PATIENCE_SECONDS.
        """
        if time.monotonic() >= self._renew_at:
            await self.sign_in()
        media_type = "application/fhir+json" if path.startswith("/fhir/") else "application/json"
        sent = {
            "Authorization": f"Bearer {self._token}",
            **({"Content-Type": media_type} if body else {}),
        }
        return await self._send(method, path, data=body, headers={**sent, **(headers or {})})

    async def _send(self, method: str, path: str, **options: Any) -> Answer:
        end, pause, repeated = time.monotonic() + PATIENCE_SECONDS, 0.2, False
        while True:
            asked = ""
            try:
                async with self._session.request(
                    method, self._settings.url + path, **options
                ) as response:
                    content = parse_json(await response.read())
                answer = Answer(response.status, response.headers, content, repeated)
                self._answered = True
                if answer.status not in BUSY or time.monotonic() >= end:
                    return answer
                asked = answer.headers.get("Retry-After", "")
                repeated = repeated or answer.status != TOO_MANY
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                if not self._answered or time.monotonic() >= end:
                    raise PlatformError(
                        f"{self._settings.url} does not answer ({type(error).__name__}): is the platform up?"
                    ) from None
                repeated = True
            pause = min(float(asked) if asked.isdigit() else pause * 2, LONGEST_PAUSE_SECONDS)
            await asyncio.sleep(pause)


def parse_json(content: bytes) -> Any:
    try:
        return msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


@asynccontextmanager
async def open_platform(environ: Mapping[str, str] = os.environ) -> AsyncIterator[Platform]:
    settings = read_settings(environ)
    async with aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    ) as session:
        yield Platform(settings, session)
