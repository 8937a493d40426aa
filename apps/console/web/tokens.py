"""The console as an OAuth client: a code for tokens, a refresh token for the next ones (RFC 6749,
OpenID Connect).
"""

import base64
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote_plus

import aiohttp
import msgspec
from joserfc import jws, jwt
from joserfc.errors import JoseError
from starlette.requests import Request

from apps.console.settings import SERVICE, Settings
from apps.console.web.sessions import (
    Session,
    Tokens,
    delete_session,
    select_session,
    update_tokens,
)
from apps.kit.claims import ALGORITHMS, Key, parse_keys
from apps.kit.errors import Unauthorized, Unavailable

TOKEN_SECONDS = 5.0
KEYS_SECONDS = 300.0
CLOCK_LEEWAY_SECONDS = 10
BACK_CHANNEL_EVENT = "http://schemas.openid.net/event/backchannel-logout"


class Refused(Exception):
    """The auth service gave no tokens for this code or refresh token."""


async def request_tokens(
    http: aiohttp.ClientSession, settings: Settings, form: Mapping[str, str]
) -> dict[str, Any]:
    """Asks the token endpoint; raises Refused, or Unavailable where auth does not answer."""
    pair = f"{quote_plus(SERVICE)}:{quote_plus(settings.client_secret)}"
    basic = base64.b64encode(pair.encode()).decode()
    try:
        async with http.post(
            settings.upstreams["auth"] + "/oauth2/token",
            data=dict(form),
            headers={"Authorization": f"Basic {basic}"},
            timeout=aiohttp.ClientTimeout(total=TOKEN_SECONDS),
            allow_redirects=False,
        ) as answer:
            if answer.status in (400, 401, 403):
                raise Refused
            if answer.status != 200:
                raise Unavailable("auth_unavailable")
            body: dict[str, Any] = msgspec.json.decode(await answer.read())
            return body
    except (aiohttp.ClientError, TimeoutError, OSError, msgspec.DecodeError) as error:
        raise Unavailable("auth_unavailable") from error


def expiry_of(body: Mapping[str, Any]) -> datetime:
    """Tells when the access token of a token answer ends."""
    return datetime.now(UTC) + timedelta(seconds=int(body.get("expires_in", 0)))


async def refresh_session(
    request: Request, session: Session, *, force: bool = False
) -> Session | None:
    """Renews a session's tokens; None, and the session ends, where auth refuses them.

    One request at a time: a refresh token used twice would end the whole sign-in. `force`: although
    they have not expired.
    """
    settings: Settings = request.state.settings
    async with request.state.database.transaction() as connection:
        current = await select_session(
            connection,
            settings.key,
            session.token,
            idle_minutes=settings.idle_minutes,
            lock=True,
        )
        if current is None or current.tokens.access != session.tokens.access:
            # Ended, or another request was first.
            return current
        form = {"grant_type": "refresh_token", "refresh_token": current.tokens.refresh}
        try:
            body = await request_tokens(request.state.neighbours.http, settings, form)
        except Refused:
            await delete_session(connection, session.token)
            return None
        except Unavailable:
            if not force and current.access_expires_at > datetime.now(UTC):
                return current
            raise
        tokens = Tokens(
            access=body["access_token"],
            refresh=body.get("refresh_token", current.tokens.refresh),
            id_token=body.get("id_token", current.tokens.id_token),
            name=current.tokens.name,
        )
        await update_tokens(connection, settings.key, session.token, tokens, expiry_of(body))
        return await select_session(
            connection, settings.key, session.token, idle_minutes=settings.idle_minutes
        )


class Statements:
    """Verifies what the auth service signs for its clients: id tokens and logout tokens."""

    def __init__(self, http: aiohttp.ClientSession, settings: Settings) -> None:
        self._http = http
        self._settings = settings
        self._keys: dict[str, Key] = {}
        self._had_at = float("-inf")

    async def read(self, token: str) -> dict[str, Any]:
        """Gives the claims of a token for this client; raises Unauthorized, or
        Unavailable without keys.
        """
        try:
            kid = str(jws.extract_compact(token.encode()).headers().get("kid", ""))
            decoded = jwt.decode(token, await self._key(kid), algorithms=ALGORITHMS)
        except (JoseError, ValueError, TypeError, RecursionError):
            raise Unauthorized("invalid_token") from None
        claims: dict[str, Any] = decoded.claims
        audience = claims.get("aud")
        now = time.time()
        if (
            claims.get("iss") != self._settings.public_url
            or SERVICE not in (audience if isinstance(audience, list) else [audience])
            or not _is_number(claims.get("iat"))
            or claims["iat"] > now + CLOCK_LEEWAY_SECONDS
            or not _is_number(claims.get("exp", now + 1))
            or claims.get("exp", now + 1) <= now - CLOCK_LEEWAY_SECONDS
        ):
            raise Unauthorized("invalid_token")
        return claims

    async def _key(self, kid: str) -> Key:
        is_old = time.monotonic() - self._had_at > KEYS_SECONDS
        if is_old or kid not in self._keys:
            try:
                async with self._http.get(
                    self._settings.upstreams["auth"] + "/.well-known/jwks.json",
                    timeout=aiohttp.ClientTimeout(total=TOKEN_SECONDS),
                ) as answer:
                    self._keys = parse_keys(msgspec.json.decode(await answer.read()))
                    self._had_at = time.monotonic()
            except (aiohttp.ClientError, TimeoutError, OSError, msgspec.DecodeError) as error:
                if kid not in self._keys:
                    raise Unavailable("auth_unavailable") from error
        if kid not in self._keys:
            raise Unauthorized("invalid_token")
        return self._keys[kid]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
