"""A running auth service on a real database: over a socket, as its clients meet it."""

import asyncio
import base64
import secrets
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import asyncpg
import httpx
import pytest

from apps.auth.app import create_app
from apps.auth.oauth.client_changes import create_client
from apps.auth.oauth.service_clients import register_service_clients
from apps.auth.people.resets import create_reset_link
from apps.auth.people.users import User, create_user
from apps.auth.settings import Settings
from apps.kit.database import DatabaseSettings
from apps.kit.http_server import serve_http
from tests.ports import free_port
from tests.undone import undone

START_TIMEOUT_SECONDS = 20.0
PASSWORD = "correct horse battery"
SERVICE_SECRET = "s" * 43

RECORDING = (
    "apps.auth.oauth.authorization_server.insert_audit",
    "apps.auth.admin.requests.insert_audit",
    "apps.auth.pages.steps.insert_audit",
    "apps.auth.pages.sign_in_routes.insert_audit",
    "apps.auth.pages.second_factor_routes.insert_audit",
    "apps.auth.pages.device_routes.insert_audit",
    "apps.auth.people.password_check.insert_audit",
)

T = TypeVar("T")
Client = TypeVar("Client", bound=httpx.Client)


@dataclass(frozen=True)
class Auth:
    """The service at `url`, its database, and ways to put somebody into it."""

    url: str
    settings: Settings
    clients: list[httpx.Client] = field(default_factory=list)

    def opened(self, client: Client) -> Client:
        """Closed with the test."""
        self.clients.append(client)
        return client

    def close_clients(self) -> None:
        while self.clients:
            self.clients.pop().close()

    def sql(self, query: str, *arguments: Any) -> list[Any]:
        async def fetch() -> list[Any]:
            connection = await asyncpg.connect(self.settings.database.url)
            try:
                rows: list[Any] = await connection.fetch(query, *arguments)
                return rows
            finally:
                await connection.close()

        return run(fetch())

    def user(self, *roles: str, password: str | None = PASSWORD, **changes: Any) -> User:
        async def make() -> User:
            connection = await asyncpg.connect(self.settings.database.url)
            try:
                email = changes.pop("email", f"{secrets.token_hex(6)}@example.org")
                return await create_user(
                    connection, email=email, roles=roles, password=password, **changes
                )
            finally:
                await connection.close()

        return run(make())

    def client(self, *scopes: str, **changes: Any) -> tuple[str, str]:
        """Id and secret (empty for a client without one)."""

        async def make() -> tuple[str, str]:
            connection = await asyncpg.connect(self.settings.database.url)
            try:
                values = {"name": "Test client", "grant_types": ("client_credentials",), **changes}
                client, secret = await create_client(connection, scopes=scopes, **values)
                return client.id, secret or ""
            finally:
                await connection.close()

        return run(make())

    def reset_link(self, user_id: str) -> str:
        async def make() -> str:
            connection = await asyncpg.connect(self.settings.database.url)
            try:
                return await create_reset_link(connection, user_id, self.url)
            finally:
                await connection.close()

        return run(make())

    def token_for(self, client: tuple[str, str], **form: str) -> httpx.Response:
        return httpx.post(
            f"{self.url}/oauth2/token",
            auth=client,
            data={"grant_type": "client_credentials", **form},
        )

    def login(
        self,
        email: str,
        password: str = PASSWORD,
        address: str | None = None,
        client: httpx.Client | None = None,
    ) -> httpx.Response:
        # An address of its own each time, unless a test wants one: or the tests lock
        # each other out.
        headers = {
            "X-Forwarded-For": address or f"10.{secrets.randbelow(256)}.{secrets.randbelow(256)}.1"
        }
        body = {"email": email, "password": password}
        post = client.post if client else httpx.post
        return post(f"{self.url}/auth/login", json=body, headers=headers)


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """In a thread of its own: the test may be running in a loop already."""
    outcome: list[T] = []
    failure: list[BaseException] = []

    def work() -> None:
        try:
            outcome.append(asyncio.run(coroutine))
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]


def make_settings(database_url: str, port: int, **changes: Any) -> Settings:
    values: dict[str, Any] = {
        "environment": "local",
        "host": "127.0.0.1",
        "port": port,
        "issuer": f"http://127.0.0.1:{port}",
        "log_format": "text",
        "database": DatabaseSettings(database_url),
        "key_encryption_key": base64.urlsafe_b64decode("A" * 43 + "="),
        "password_login_enabled": True,
    }
    return Settings(**{**values, **changes})


def serve(settings: Settings, url: str = "") -> Iterator[Auth]:
    """The service in a thread with a loop of its own, so that tests may block."""
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def main() -> None:
        await serve_http(create_app(settings), settings.host, settings.port, stop)

    thread = threading.Thread(target=loop.run_until_complete, args=(main(),), daemon=True)
    thread.start()
    auth = Auth(url or settings.issuer, settings)
    with httpx.Client(transport=httpx.HTTPTransport(retries=20)) as client:
        for _ in range(int(START_TIMEOUT_SECONDS / 0.1)):
            if client.get(f"{auth.url}/readyz").status_code == 200:
                break
            threading.Event().wait(0.1)
        else:
            raise AssertionError(client.get(f"{auth.url}/readyz").text)
    try:
        yield auth
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(timeout=30)
        loop.close()


@pytest.fixture(scope="session")
def served_auth(auth_database: str) -> Iterator[Auth]:
    settings = make_settings(auth_database, free_port())
    for served in serve(settings):
        run(register(settings))
        yield served


@pytest.fixture
def auth(served_auth: Auth) -> Iterator[Auth]:
    yield served_auth
    served_auth.close_clients()


async def register(settings: Settings) -> None:
    connection = await asyncpg.connect(settings.database.url)
    try:
        await register_service_clients(
            connection,
            {
                f"service-{name}": SERVICE_SECRET
                for name in ("gateway", "patient", "billing", "analytics")
            },
        )
    finally:
        await connection.close()


@pytest.fixture
async def connection(auth_database: str) -> AsyncIterator[Any]:
    """A connection whose changes are undone at the end."""
    async with undone(auth_database) as connection:
        yield connection


@pytest.fixture
def unrecorded(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From its call on nothing can be recorded."""

    async def fail(*_: object) -> None:
        raise RuntimeError("nothing can be recorded")

    def begin() -> None:
        for name in RECORDING:
            monkeypatch.setattr(name, fail)

    return begin
