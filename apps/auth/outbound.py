"""Requests to addresses that clients registered: their keys, and notices of logout. Never into
our own network.
"""

import socket
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver, ResolveResult

from apps.auth.client_keys import parse_client_keys
from apps.kit.answer_body import read_answer

TIMEOUT_SECONDS = 3.0
MAX_CONNECTIONS = 8
NAT64 = IPv6Network("64:ff9b::/96")
MAX_RESPONSE_BYTES = 64 * 1024
MAX_CACHED_KEY_SETS = 500
KEYS_LIFE_SECONDS = 300.0
# How often a key id that is not in the set, or a failure, makes us ask again.
KEYS_RETRY_SECONDS = 30.0
# How long the last keys verify while the address gives no others.
KEYS_LAST_SECONDS = 60 * 60.0


class OutboundError(Exception):
    """The address is not acceptable, or the other side gave no good answer."""


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Tells whether the address is on the internet, also when it is an IPv4 address
    in an IPv6 one.
    """
    if isinstance(address, IPv6Address):
        address = embedded_address(address) or address
    return address.is_global and not address.is_multicast


def embedded_address(address: IPv6Address) -> IPv4Address | None:
    """Returns the IPv4 address that a host or gateway sends to instead: mapped, 6to4, or
    NAT64 (RFC 6052).
    """
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


class PublicResolver(AbstractResolver):
    """Resolves names to public addresses alone: the connection is made to the address
    that was checked.
    """

    def __init__(self, *, allow_loopback: bool) -> None:
        self._inner = aiohttp.ThreadedResolver()
        self._allow_loopback = allow_loopback

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        allowed = [one for one in found if self.allows(ip_address(one["host"].partition("%")[0]))]
        if not allowed or len(allowed) != len(found):
            raise OSError(f"{host} has no public address")
        return allowed

    def allows(self, address: IPv4Address | IPv6Address) -> bool:
        return is_public(address) or (self._allow_loopback and address.is_loopback)

    async def close(self) -> None:
        await self._inner.close()


class OutboundHttp:
    """A client for those requests: https, no redirects, bounded in time, size and number.

    `allow_loopback`: on a developer's machine, http to the machine itself too.
    """

    def __init__(self, *, allow_loopback: bool) -> None:
        self._allow_loopback = allow_loopback
        self._resolver = PublicResolver(allow_loopback=allow_loopback)
        self._session: aiohttp.ClientSession | None = None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(resolver=self._resolver, limit=MAX_CONNECTIONS),
                timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    def check(self, url: str) -> None:
        """Raises OutboundError for a URL of another scheme, and for an address that
        is not public.
        """
        try:
            parts = urlsplit(url)
            host = parts.hostname or ""
        except ValueError:
            raise OutboundError("no URL") from None
        try:
            address = ip_address(host)
        except ValueError:
            if not host or (
                parts.scheme != "https" and not (self._allow_loopback and host == "localhost")
            ):
                raise OutboundError("expected https") from None
            return
        # aiohttp asks no resolver about an address.
        if not self._resolver.allows(address):
            raise OutboundError("the address is not public")
        if parts.scheme != "https" and not (self._allow_loopback and address.is_loopback):
            raise OutboundError("expected https")

    async def get_json(self, url: str) -> Any:
        self.check(url)
        try:
            headers = {"Accept": "application/json"}
            async with self._open().get(url, headers=headers, allow_redirects=False) as answer:
                body = await read_answer(answer, MAX_RESPONSE_BYTES + 1)
                if answer.status != 200 or len(body) > MAX_RESPONSE_BYTES:
                    raise OutboundError(f"status {answer.status}, {len(body)} bytes")
            return msgspec.json.decode(body)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, RecursionError) as error:
            raise OutboundError(type(error).__name__) from error

    async def post_form(self, url: str, form: Mapping[str, str]) -> int:
        """Returns the status."""
        self.check(url)
        try:
            async with self._open().post(url, data=dict(form), allow_redirects=False) as answer:
                return answer.status
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise OutboundError(type(error).__name__) from error

    async def close(self) -> None:
        if self._session:
            await self._session.close()


@dataclass(frozen=True, slots=True)
class _KeySet:
    keys: dict[str, Any] | None
    # When these keys were had, and when they were last asked for.
    fetched_at: float = float("-inf")
    tried_at: float = float("-inf")


class ClientKeys:
    """The key sets of clients by URL, cached: a bounded number, for a bounded time.

    A request fetches before it takes a database connection; what verifies reads the cache.
    """

    def __init__(self, http: OutboundHttp) -> None:
        self._http = http
        self._sets: OrderedDict[str, _KeySet] = OrderedDict()

    def known(self, url: str) -> dict[str, Any] | None:
        """Returns the JWK set, or None if it could not be fetched."""
        entry = self._sets.get(url)
        return entry.keys if entry else None

    async def refresh(self, url: str, kid: str) -> None:
        """Fetches the set if it is old, was not to be had, or has no key `kid`; the last two at
        a bounded rate.
        """
        now = time.monotonic()
        entry = self._sets.get(url, _KeySet(None))
        has_key = bool(entry.keys and any(key.get("kid") == kid for key in entry.keys["keys"]))
        if now - entry.tried_at < (KEYS_LIFE_SECONDS if has_key else KEYS_RETRY_SECONDS):
            return

        # Noted before: callers at the same time go by what there is.
        entry = replace(entry, tried_at=now)
        self._store(url, entry)
        try:
            keys = parse_client_keys(await self._http.get_json(url))
        except (OutboundError, ValueError):
            # A failure makes the keys no younger.
            if now - entry.fetched_at >= KEYS_LAST_SECONDS:
                self._store(url, replace(entry, keys=None))
        else:
            self._store(url, _KeySet(keys, fetched_at=now, tried_at=now))

    def _store(self, url: str, entry: _KeySet) -> None:
        self._sets.pop(url, None)
        self._sets[url] = entry
        while len(self._sets) > MAX_CACHED_KEY_SETS:
            self._sets.popitem(last=False)
