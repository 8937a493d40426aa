"""Authlib's authorization server on Starlette.

Authlib's core is synchronous. Here it runs in worker threads, a bounded number at once, and
whatever it asks for (a client, a code, a place for a token) is fetched by `wait_for`, which runs
the coroutine on the event loop and waits for it in the thread. The loop is never blocked, and there
is one database driver, the asynchronous one.
"""

import binascii
import functools
from base64 import b64decode
from collections import defaultdict
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import anyio
import anyio.from_thread
import anyio.to_thread
import msgspec
from anyio.lowlevel import RunVar
from authlib.oauth2.rfc6749 import (
    AuthorizationServer,
    InvalidRequestError,
    OAuth2Payload,
    OAuth2Request,
)
from starlette.datastructures import Headers as StarletteHeaders
from starlette.requests import Request
from starlette.responses import Response

from apps.auth.paths import MAX_PARAMETERS

MAX_FORM_BYTES = 64 * 1024
MAX_PARAMETER_CHARS = 16 * 1024
FORM = "application/x-www-form-urlencoded"
# Of these a request may name several (RFC 8707, RFC 8693); every other parameter comes once
# (RFC 6749, 3.1).
REPEATABLE = ("resource", "audience")
# Authlib puts them into its messages, which must not hold these characters (RFC 6749, 5.2).
NAMES = ("response_type", "grant_type", "client_assertion_type", "token_type_hint")
WORKERS = 8

T = TypeVar("T")


def wait_for(function: Callable[..., Coroutine[Any, Any, T]], *arguments: Any, **named: Any) -> T:
    """Returns, to Authlib's hooks in their worker thread, the outcome of a coroutine on
    the event loop.
    """
    return anyio.from_thread.run(functools.partial(function, **named), *arguments)


class StarlettePayload(OAuth2Payload):  # type: ignore[misc]  # Authlib carries no types
    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self._data = dict(pairs)
        self._datalist: defaultdict[str, list[str]] = defaultdict(list)
        for name, value in pairs:
            self._datalist[name].append(value)

    @property
    def data(self) -> dict[str, str]:
        return self._data

    @property
    def datalist(self) -> defaultdict[str, list[str]]:
        return self._datalist


class StarletteOAuth2Request(OAuth2Request):  # type: ignore[misc]
    """`query` and `form` as name-value pairs, in order, repetitions kept; `payload` is of both."""

    def __init__(
        self,
        method: str,
        uri: str,
        headers: Mapping[str, str],
        query: list[tuple[str, str]],
        form: list[tuple[str, str]],
    ) -> None:
        super().__init__(method, uri, headers=headers)
        self.payload = StarlettePayload([*query, *form])
        self._args = dict(query)
        self._form = dict(form)
        # RFC 9126: it came by the client, not by the browser.
        self.was_pushed = False
        names = [name for name, _ in query if name not in REPEATABLE]
        self.is_repetitive = len(set(names)) != len(names)

    def assume_client(self, client_id: str) -> None:
        """Completes a request whose credential shows which client sends it."""
        self.payload.data["client_id"] = client_id
        self._form["client_id"] = client_id

    @property
    def args(self) -> dict[str, str]:
        return self._args

    @property
    def form(self) -> dict[str, str]:
        return self._form


async def read_oauth2_request(request: Request, public_url: str) -> StarletteOAuth2Request:
    """Returns Authlib's view of the request, at its public address: the service itself is reached
    over plain HTTP.

    Raises InvalidRequestError for what no OAuth request may have: another media type, a parameter
    twice in the body or both there and in the address (RFC 6749, 3.1 and 3.2), characters beyond
    printable ASCII.
    """
    query = read_pairs(request.url.query)
    form: list[tuple[str, str]] = []
    if request.method == "POST":
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
            raise InvalidRequestError(f"the body must be {FORM}")
        try:
            form = read_pairs((await request.body()).decode("ascii"))
        except UnicodeDecodeError:
            raise InvalidRequestError("the body must be form-encoded") from None
        names = [name for name, _ in form if name not in REPEATABLE]
        if len(set(names)) != len(names) or not {name for name, _ in query}.isdisjoint(names):
            raise InvalidRequestError("a parameter is repeated")
    if len(request.headers.getlist("authorization")) > 1:
        raise InvalidRequestError("more than one Authorization header")
    check_basic(request.headers.get("authorization", ""))
    uri = public_url + request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return StarletteOAuth2Request(request.method, uri, Headers(request.headers), query, form)


class Headers(dict[str, str]):
    """Authlib asks for `Authorization`, Starlette says `authorization`.

    A repeated one is their list (RFC 9110, 5.2): two DPoP proofs are none (RFC 9449, 4.3).
    """

    def __init__(self, headers: StarletteHeaders) -> None:
        super().__init__({name.title(): ", ".join(headers.getlist(name)) for name in headers})


def read_pairs(text: str) -> list[tuple[str, str]]:
    try:
        pairs = parse_qsl(
            text, keep_blank_values=True, max_num_fields=MAX_PARAMETERS, errors="strict"
        )
    except ValueError:
        raise InvalidRequestError("the parameters are malformed") from None
    if not all(value.isascii() and value.isprintable() for pair in pairs for value in pair):
        raise InvalidRequestError("a parameter has characters beyond printable ASCII")
    if any(len(value) > MAX_PARAMETER_CHARS for _, value in pairs):
        raise InvalidRequestError("a parameter is too long")
    if any(name in NAMES and set(value) & set('"\\') for name, value in pairs):
        raise InvalidRequestError("a parameter has a character that its values never have")
    # RFC 6749, 3.1: a parameter without a value is one that was not sent.
    return [(name, value) for name, value in pairs if value]


def check_basic(authorization: str) -> None:
    """Refuses a header that Authlib would fail to decode."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() == "basic":
        try:
            b64decode(encoded, validate=True).decode("ascii")
        except (binascii.Error, ValueError):
            raise InvalidRequestError("the Authorization header is malformed") from None


class StarletteAuthorizationServer(AuthorizationServer):  # type: ignore[misc]
    """One a request, so that its hooks can hold what belongs to the request."""

    def create_oauth2_request(self, request: OAuth2Request) -> OAuth2Request:
        """Returns what `read_oauth2_request` has read already: a body is read on the event loop."""
        return request

    def handle_response(self, status: int, body: Any, headers: list[tuple[str, str]]) -> Response:
        content = body if isinstance(body, str) else msgspec.json.encode(dict(body))
        response = Response(content, status, headers=dict(headers))
        response.headers.setdefault("cache-control", "no-store")
        return response

    def send_signal(self, name: str, *arguments: Any, **named: Any) -> None:
        """Tells nobody: nobody listens."""

    async def run(self, function: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """Runs Authlib's code, as in `await server.run(server.create_token_response, request)`."""
        return await anyio.to_thread.run_sync(
            functools.partial(function, *arguments, **named), limiter=_limiter()
        )


_limiter_of_loop: RunVar[anyio.CapacityLimiter] = RunVar("authlib_workers")


def _limiter() -> anyio.CapacityLimiter:
    try:
        return _limiter_of_loop.get()
    except LookupError:
        limiter = anyio.CapacityLimiter(WORKERS)
        _limiter_of_loop.set(limiter)
        return limiter
