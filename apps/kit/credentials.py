"""A service's own access tokens, by client credentials (RFC 6749, 4.4)."""

import asyncio
import time
from dataclasses import dataclass
from urllib.parse import quote_plus

import aiohttp

from apps.kit.errors import Unavailable

REQUEST_TIMEOUT_SECONDS = 5.0
# A token is renewed this long before it expires, so that none expires on its way.
RENEW_BEFORE_SECONDS = 60
# A refusal is not repeated at once: every request of the service would ask again.
RETRY_AFTER_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class _Held:
    token: str
    expires_at: float


class ServiceCredentials:
    """`token(audience)` for calls to that service; kept until shortly before it expires, asked for
    once at a time.
    """

    def __init__(
        self, auth_url: str, client_id: str, client_secret: str, session: aiohttp.ClientSession
    ) -> None:
        self._url = f"{auth_url}/oauth2/token"
        # RFC 6749, 2.3.1: both are form-encoded before they are joined.
        basic = aiohttp.encode_basic_auth(quote_plus(client_id), quote_plus(client_secret))
        self._headers = {"Authorization": basic}
        self._session = session
        self._held: dict[tuple[str, str], _Held] = {}
        self._locks: dict[tuple[str, str], asyncio.Lock] = {}
        self._failed_at = float("-inf")

    async def token(self, audience: str, scope: str = "") -> str:
        """Raises Unavailable where there is none and the auth service gives none."""
        wanted = (audience, scope)
        async with self._locks.setdefault(wanted, asyncio.Lock()):
            now = time.monotonic()
            held = self._held.get(wanted)
            if held and now < held.expires_at - RENEW_BEFORE_SECONDS:
                return held.token
            try:
                if now - self._failed_at < RETRY_AFTER_SECONDS:
                    raise Unavailable("auth_unavailable")
                self._held[wanted] = held = await self._request(audience, scope)
            except Unavailable:
                # Renewal comes early: while auth is away the token at hand serves until its end.
                if held is None or now >= held.expires_at:
                    raise
            return held.token

    async def _request(self, audience: str, scope: str) -> _Held:
        form = {
            "grant_type": "client_credentials",
            "audience": audience,
            **({"scope": scope} if scope else {}),
        }
        asked_at = time.monotonic()
        try:
            async with self._session.post(
                self._url,
                data=form,
                headers=self._headers,
                timeout=aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_SECONDS),
                allow_redirects=False,
            ) as answer:
                if answer.status == 200:
                    body = await answer.json()
                    return _Held(str(body["access_token"]), asked_at + float(body["expires_in"]))
        except (
            aiohttp.ClientError,
            TimeoutError,
            OSError,
            ValueError,
            KeyError,
            TypeError,
        ) as error:
            self._failed_at = time.monotonic()
            raise Unavailable("auth_unavailable") from error
        self._failed_at = time.monotonic()
        raise Unavailable("auth_unavailable", f"no token for {audience}: {answer.status}")
