"""A gateway on a real socket, with services behind it that a test scripts."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import aiohttp
from google.protobuf.message import Message
from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.types import ASGIApp, Receive, Scope, Send
from yarl import URL

from apps.catalogue import HttpServer
from apps.gateway.app import Neighbours, create_app
from apps.gateway.billing import Billing
from apps.gateway.proxy import open_session
from apps.gateway.settings import RequestLimits, Settings
from apps.kit.errors import Problem
from apps.kit.http_server import serve_http
from apps.kit.revocations import Revocations
from apps.kit.token_verifier import Verifier
from tests.ports import free_port

PUBLIC_URL = "https://health.example"
LIMIT_SECONDS = 5.0
REGISTERED_ORIGINS = ("https://app.example",)
NAMES = ("auth", "patient", "analytics", "console")
FAST = RequestLimits(
    requests_per_minute=1_000_000, answer_seconds=0.3, receive_seconds=0.3, connect_seconds=0.3
)


@cache
def signing_key(kid: str = "test-1") -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": kid, "alg": "RS256", "use": "sig"})


def make_token(scope: str = "", key: RSAKey | None = None, **changes: Any) -> str:
    now = int(time.time())
    claims = {
        "iss": PUBLIC_URL,
        "aud": PUBLIC_URL,
        "sub": "user-1",
        "client_id": "client-1",
        "jti": "token-1",
        "iat": now,
        "exp": now + 600,
        "scope": scope,
        "roles": [],
        **changes,
    }
    key = key or signing_key()
    header = {"alg": "RS256", "kid": key.kid, "typ": "at+jwt"}
    return jwt.encode(header, claims, key, ["RS256"], default_type=None)


def bearer(scope: str) -> bytes:
    return b"Authorization: Bearer " + make_token(scope).encode() + b"\r\n"


class FakeAuth:
    async def fetch_keys(self) -> Any:
        return {"keys": [signing_key().as_dict(private=False)]}

    async def fetch_revocations(self) -> Revocations:
        return Revocations()


class Tokens:
    """Stands for the source of the gateway's own tokens."""

    async def token(self, audience: str, scope: str = "") -> str:
        return f"token-for-{audience}"


@dataclass
class FakeBilling:
    """Stands for the channel: answers what the test says and keeps what it was asked."""

    answer: Message | Problem | None = None
    calls: list[tuple[str, Message, str]] = field(default_factory=list)
    is_reachable: bool = True

    async def call(self, rpc: str, request: Message, user_token: str) -> Message:
        self.calls.append((rpc, request, user_token))
        if isinstance(self.answer, Problem):
            raise self.answer
        assert self.answer is not None
        return self.answer


@dataclass(frozen=True)
class Seen:
    method: str
    raw_path: bytes
    query: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def values(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.headers if key == name]


@dataclass
class Answer:
    status: int = 200
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b"{}"


@dataclass
class Service:
    """Answers `answer` to everything; `hold`, where given, is waited for first."""

    answer: Answer = field(default_factory=Answer)
    hold: asyncio.Event | None = None
    seen: list[Seen] = field(default_factory=list)
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        self.reached.set()
        body = b""
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        self.seen.append(
            Seen(
                scope["method"],
                scope["raw_path"],
                scope["query_string"],
                list(scope["headers"]),
                body,
            )
        )
        if self.hold:
            await self.hold.wait()
        headers = list(self.answer.headers)
        if self.answer.body and not any(name == b"content-length" for name, _ in headers):
            headers.append((b"content-length", b"%d" % len(self.answer.body)))
        start = {"type": "http.response.start", "status": self.answer.status, "headers": headers}
        await send(start)
        await send({"type": "http.response.body", "body": self.answer.body})


@dataclass
class Gateway:
    port: int
    services: dict[str, Service]
    billing: FakeBilling
    session: aiohttp.ClientSession

    @property
    def patient(self) -> Service:
        return self.services["patient"]

    @contextlib.asynccontextmanager
    async def call(
        self,
        method: str,
        path: str,
        *,
        scope: str | None = None,
        token: str | None = None,
        **options: Any,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """`scope`: the call carries a good token with these scopes."""
        headers = dict(options.pop("headers", {}))
        if scope is not None:
            token = make_token(scope)
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        url = URL(f"http://127.0.0.1:{self.port}{path}", encoded=True)
        async with self.session.request(
            method, url, headers=headers, allow_redirects=False, **options
        ) as answer:
            yield answer

    async def raw(self, request: bytes) -> bytes:
        """Sends bytes as they are and reads until the server closes the connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(request)
            async with asyncio.timeout(LIMIT_SECONDS):
                return await reader.read()
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_SECONDS):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@dataclass
class Server:
    """A server that runs in a task of the test's loop."""

    port: int
    stop: asyncio.Event
    task: asyncio.Task[None]


async def start_server(
    app: ASGIApp, tls: tuple[str, str] | None = None, server: HttpServer = "uvicorn"
) -> Server:
    """Starts serving `app` and returns when it accepts connections."""
    port = free_port()
    stop = asyncio.Event()
    task = asyncio.create_task(serve_http(app, "127.0.0.1", port, stop, server=server, tls=tls))
    async with asyncio.timeout(LIMIT_SECONDS):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                if task.done():
                    task.result()
                await asyncio.sleep(0.005)
            else:
                writer.close()
                return Server(port, stop, task)


async def stop_servers(servers: list[Server]) -> None:
    for server in servers:
        server.stop.set()
    async with asyncio.timeout(LIMIT_SECONDS):
        await asyncio.gather(*(server.task for server in servers))


@contextlib.asynccontextmanager
async def serving(
    app: ASGIApp, tls: tuple[str, str] | None = None, server: HttpServer = "uvicorn"
) -> AsyncIterator[int]:
    """Gives the port on which `app` is served while the block runs."""
    running = await start_server(app, tls, server)
    try:
        yield running.port
    finally:
        await stop_servers([running])


@contextlib.asynccontextmanager
async def raw_service(
    handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    """The URL of a service that speaks bytes, however badly."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handle(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def make_settings(**changes: Any) -> Settings:
    settings = Settings(
        environment="local",
        host="127.0.0.1",
        port=4004,
        public_url=PUBLIC_URL,
        log_format="text",
        upstreams=dict.fromkeys(NAMES, "http://127.0.0.1:1"),
        billing_target="127.0.0.1:1",
        client_secret="gateway-secret",
        password_login_enabled=True,
        limits=RequestLimits(requests_per_minute=1_000_000),
    )
    return replace(settings, **changes)


@contextlib.asynccontextmanager
async def open_gateway(
    *, upstreams: dict[str, str] | None = None, tls: tuple[str, str] | None = None, **changes: Any
) -> AsyncIterator[Gateway]:
    """A gateway before three scripted services; `upstreams` puts others in their place."""
    services = {name: Service() for name in NAMES}
    billing = FakeBilling()

    async def fetch_origins() -> frozenset[str]:
        return frozenset(REGISTERED_ORIGINS)

    @contextlib.asynccontextmanager
    async def neighbours(settings: Settings) -> AsyncIterator[Neighbours]:
        verifier = Verifier(PUBLIC_URL, (PUBLIC_URL,), FakeAuth())
        await verifier.refresh()
        async with open_session(settings.limits) as session:
            fake: Any = billing
            stand_in: Billing = fake
            yield Neighbours(verifier, session, stand_in, fetch_origins)

    running: dict[str, Server] = {}
    try:
        for name, service in services.items():
            if name not in (upstreams or {}):
                running[name] = await start_server(service)
        urls = {name: f"http://127.0.0.1:{server.port}" for name, server in running.items()}
        settings = make_settings(upstreams={**urls, **(upstreams or {})}, **changes)
        gateway = await start_server(create_app(settings, neighbours=neighbours), tls)
        running["gateway"] = gateway
        async with aiohttp.ClientSession(auto_decompress=False) as session:
            yield Gateway(gateway.port, services, billing, session)
    finally:
        # All at once: each takes some tenths of a second.
        await stop_servers(list(running.values()))
