"""The services behind the console, called with the person's own token; bounded in
time and number.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlencode

import aiohttp
import msgspec

from apps.console.neighbours.billing import Billing
from apps.console.neighbours.calls import Answer, ApiError, Call, error_of_answer
from apps.kit.answer_body import read_answer
from apps.kit.context import current_context, new_id
from apps.kit.errors import Problem

READ_SECONDS = 5.0
WRITE_SECONDS = 10.0
# All calls of one page together: less than the gateway waits for an answer.
PAGE_SECONDS = 20.0
CONNECT_SECONDS = 1.0
# The gateway ends an answer that takes longer than its bound; the browser connects again by itself.
STREAM_SECONDS = 28.0
MAX_ANSWER_BYTES = 8 * 1024 * 1024
# Of one page at a time, and of all pages of this process.
CALLS_PER_PAGE = 12
RUNNING_CALLS = 200

FHIR = "/fhir/R4"
FORM = "application/x-www-form-urlencoded"
SERVICES_BY_PREFIX = (
    (FHIR, "patient"),
    ("/api/", "patient"),
    ("/analytics/", "analytics"),
    ("/auth/", "auth"),
    ("/oauth2/", "auth"),
    ("/.well-known/", "auth"),
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Neighbours:
    """What lies beyond the process. `running` bounds the calls of all pages."""

    http: aiohttp.ClientSession
    upstreams: Mapping[str, str]
    billing: Billing
    running: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(RUNNING_CALLS))


@dataclass(frozen=True, slots=True)
class Part(Generic[T]):
    """A part of a page: what was loaded, or why it could not be."""

    value: T | None = None
    error: ApiError | None = None


class Api:
    """The public interface as one person sees it; remembers its calls for "As API"."""

    def __init__(self, neighbours: Neighbours, access_token: str, language: str) -> None:
        self._neighbours = neighbours
        self._access_token = access_token
        # The language of mails that a call leads to.
        self._language = language
        self._own_running = asyncio.Semaphore(CALLS_PER_PAGE)
        self._ends_at = time.monotonic() + PAGE_SECONDS
        self.calls: list[Call] = []

    async def get(self, path: str, query: Any = None) -> Answer:
        """Reads `path`; `query`: a mapping, or pairs."""
        return await self.send("GET", path + ("?" + urlencode(query, doseq=True) if query else ""))

    async def search(self, resource_type: str, query: Any, *, private: bool = False) -> Any:
        """Gives a searchset Bundle. `private`: by POST, so that what is looked for is
        in no address.
        """
        if private:
            path = f"{FHIR}/{resource_type}/_search"
            text = urlencode(query, doseq=True)
            return (await self.send("POST", path, text, media_type=FORM)).body
        return (await self.get(f"{FHIR}/{resource_type}", query)).body

    async def read(self, resource_type: str, resource_id: str) -> Answer:
        """Reads a resource."""
        return await self.get(f"{FHIR}/{resource_type}/{quote(resource_id, safe='')}")

    async def batch(self, reads: Mapping[str, str]) -> dict[str, Part[Answer]]:
        """Makes several reads of the record in one call; one that is refused takes only its
        own part along.

        `reads`: paths below the base of FHIR, with their queries, by name.
        """
        entries = [{"request": {"method": "GET", "url": path}} for path in reads.values()]
        bundle = {"resourceType": "Bundle", "type": "batch", "entry": entries}
        try:
            body = (await self.send("POST", FHIR, bundle, is_read=True)).body
            found = [_part_of_entry(entry) for entry in body["entry"]]
        except ApiError as error:
            if error.status == 401:
                raise
            found = [Part(error=error)] * len(reads)
        except (TypeError, KeyError, ValueError):
            found = [Part(error=ApiError(502, "patient_failed", "patient"))] * len(reads)
        return dict(zip(reads, found, strict=True))

    async def create(self, resource: dict[str, Any], key: str = "") -> Answer:
        """Creates a resource; `key` makes a repeated form harmless (`Idempotency-Key`)."""
        return await self.send("POST", f"{FHIR}/{resource['resourceType']}", resource, key=key)

    async def update(self, resource: dict[str, Any], version: str) -> Answer:
        """Replaces a resource, unless it changed since `version` (412)."""
        path = f"{FHIR}/{resource['resourceType']}/{resource['id']}"
        return await self.send("PUT", path, resource, if_match=f'W/"{version}"')

    async def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        media_type: str = "",
        if_match: str = "",
        key: str = "",
        accept: str = "application/json",
        is_read: bool = False,
    ) -> Answer:
        """Makes one HTTP call; raises ApiError for every refusal and every failure to
        get an answer.
        """
        service = next(name for prefix, name in SERVICES_BY_PREFIX if path.startswith(prefix))
        if body is not None and not media_type:
            media_type = "application/fhir+json" if path.startswith(FHIR) else "application/json"
        headers = {**self._headers(media_type, if_match, key), "Accept": accept}
        data = body.encode() if isinstance(body, str) else body and msgspec.json.encode(body)
        is_read = is_read or method == "GET" or path.endswith(("/_search", "/$match"))
        seconds = self._seconds(service, is_read)
        started_at = time.perf_counter()
        status = 0
        try:
            async with self._own_running, self._neighbours.running:
                async with self._neighbours.http.request(
                    method,
                    self._neighbours.upstreams[service] + path,
                    data=data or None,
                    headers=headers,
                    timeout=aiohttp.ClientTimeout(total=seconds, sock_connect=CONNECT_SECONDS),
                    allow_redirects=False,
                ) as answer:
                    status = answer.status
                    content = await read_answer(answer, MAX_ANSWER_BYTES)
        except TimeoutError:
            raise ApiError(504, f"{service}_timeout", service) from None
        except (aiohttp.ClientError, OSError):
            raise ApiError(503, f"{service}_unavailable", service) from None
        finally:
            call = Call(
                method=method,
                path=path,
                body=body,
                media_type=media_type,
                if_match=if_match,
                status=status,
                milliseconds=(time.perf_counter() - started_at) * 1000,
            )
            self.calls.append(call)
        return _parse_answer(service, answer, content)

    def _seconds(self, service: str, is_read: bool) -> float:
        """Gives the time that a call may take; raises where the page has none left."""
        left = self._ends_at - time.monotonic()
        if left <= 0:
            raise ApiError(504, f"{service}_timeout", service)
        return min(READ_SECONDS if is_read else WRITE_SECONDS, left)

    async def open_stream(self, path: str) -> aiohttp.ClientResponse:
        """Opens an answer without an end (server-sent events); whoever reads it closes it."""
        service = next(name for prefix, name in SERVICES_BY_PREFIX if path.startswith(prefix))
        timeout = aiohttp.ClientTimeout(total=STREAM_SECONDS, sock_connect=CONNECT_SECONDS)
        headers = {**self._headers("", "", ""), "Accept": "text/event-stream"}
        try:
            answer = await self._neighbours.http.get(
                self._neighbours.upstreams[service] + path, headers=headers, timeout=timeout
            )
        except (aiohttp.ClientError, TimeoutError, OSError):
            raise ApiError(503, f"{service}_unavailable", service) from None
        if answer.status != 200:
            answer.close()
            raise ApiError(answer.status, "error", service)
        return answer

    def _headers(self, media_type: str, if_match: str, key: str) -> dict[str, str]:
        context = current_context()
        headers = context.headers() if context else {}
        headers["Accept-Language"] = self._language
        if self._access_token:
            headers["Authorization"] = f"Bearer {self._access_token}"
        if media_type:
            headers["Content-Type"] = media_type
        if if_match:
            headers["If-Match"] = if_match
        if key:
            headers["Idempotency-Key"] = key
        return headers

    async def billing(
        self, name: str, public: str, fields: Mapping[str, Any], *, key: str = ""
    ) -> Any:
        """Calls billing. `public`: the same call at the gateway, `METHOD /path`, for "As API"."""
        is_read = public.startswith("GET ")
        values = dict(fields) if is_read else {"requestId": key or new_id(), **fields}
        method, _, path = public.partition(" ")
        status, started_at = 200, time.perf_counter()
        try:
            async with self._own_running, self._neighbours.running:
                return await self._neighbours.billing.call(
                    name, values, self._access_token, self._seconds("billing", is_read)
                )
        except Problem as problem:
            status = problem.status
            error = ApiError(problem.status, problem.code, "billing", problem.detail)
            error.faults = problem.faults
            raise error from None
        finally:
            body = None if is_read else dict(fields)
            call = Call(
                method=method,
                path=path,
                body=body,
                media_type="application/json",
                status=status,
                milliseconds=(time.perf_counter() - started_at) * 1000,
            )
            self.calls.append(call)


def _part_of_entry(entry: dict[str, Any]) -> Part[Answer]:
    """Reads an entry of a batch's answer: what was found, or why not."""
    response = entry["response"]
    status = int(str(response["status"])[:3])
    if status >= 400:
        return Part(error=error_of_answer("patient", status, response.get("outcome")))
    headers = {"etag": str(response.get("etag", ""))}
    return Part(value=Answer(status=status, body=entry["resource"], headers=headers))


def _parse_answer(service: str, answer: aiohttp.ClientResponse, content: bytes) -> Answer:
    if len(content) >= MAX_ANSWER_BYTES:
        raise ApiError(502, f"{service}_answer_too_large", service)
    headers = {name.lower(): value for name, value in answer.headers.items()}
    body: Any = content
    if "json" in headers.get("content-type", ""):
        try:
            body = msgspec.json.decode(content) if content else None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise ApiError(502, f"{service}_failed", service) from None
    if answer.status >= 400:
        raise error_of_answer(service, answer.status, body)
    return Answer(status=answer.status, body=body, headers=headers)


async def load(awaitable: Awaitable[T]) -> Part[T]:
    """Loads one part of a page: a service that is down or refuses takes only its own part along."""
    try:
        return Part(value=await awaitable)
    except ApiError as error:
        return Part(error=error)


async def load_all(**parts: Awaitable[Any]) -> dict[str, Part[Any]]:
    """Loads the parts of a page beside each other."""
    loaded = await asyncio.gather(*(load(each) for each in parts.values()))
    return dict(zip(parts, loaded, strict=True))


@asynccontextmanager
async def open_http() -> AsyncIterator[aiohttp.ClientSession]:
    """Opens the pool of connections to the services, for the application's life."""
    connector = aiohttp.TCPConnector(limit=RUNNING_CALLS, ttl_dns_cache=10)
    async with aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
    ) as session:
        yield session
