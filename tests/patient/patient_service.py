"""The patient service on a real database and a real socket, its neighbours replaced by fakes."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import asyncpg
import httpx
import uvloop

from apps.kit.broker import BrokerSettings, Message
from apps.kit.database import DatabaseSettings, open_database
from apps.kit.errors import Problem, Unauthorized, Unavailable, Unprocessable
from apps.kit.http_server import serve_http
from apps.kit.outbox import Entry
from apps.kit.scopes import Principal
from apps.kit.token_verifier import VerifierSettings
from apps.patient.app import create_app
from apps.patient.settings import Settings
from apps.patient.storage.planner import PLANNER_SETTINGS
from protos.billing.v1 import billing_pb2
from protos.patient.v1 import events_pb2
from tests.ports import free_port

PUBLIC_URL = "http://platform.test"
WAIT_SECONDS = 15.0
PERSON = {
    "name": "Test Person",
    "email": "person@example.com",
    "address": "1 Test Street, Springfield",
    "dateOfBirth": "1990-01-31",
}

T = TypeVar("T")


def principal(
    *scopes: str, subject: str = "user-1", client_id: str = "client-1", patient_id: str = ""
) -> Principal:
    return Principal(
        subject=subject,
        client_id=client_id,
        audience=PUBLIC_URL,
        scopes=frozenset(scopes),
        roles=(),
        token_id="t",
        issued_at=0,
        expires_at=2**40,
        patient_id=patient_id or None,
    )


class FakeVerifier:
    """A token is the name of a principal."""

    has_keys = True
    degraded: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.principals = {"all": principal("system/*.cruds")}

    async def verify(self, token: str) -> Principal:
        try:
            return self.principals[token]
        except KeyError:
            raise Unauthorized("invalid_token") from None


class FakeBilling:
    """Fails as it is told, then opens accounts."""

    def __init__(self, fails_times: int = 0, problem: Problem | None = None) -> None:
        self.fails_times = fails_times
        self.problem = problem or Unavailable("billing_unavailable")
        self.calls = 0
        self.requests: list[billing_pb2.CreateBillingAccountRequest] = []

    async def create_accounts(self, entries: Sequence[Entry]) -> list[Problem | None]:
        outcomes: list[Problem | None] = []
        for entry in entries:
            try:
                await self.create_account(entry.payload)
            except Unprocessable as problem:
                outcomes.append(problem)
            else:
                outcomes.append(None)
        return outcomes

    async def create_account(self, payload: bytes) -> None:
        self.calls += 1
        if self.fails_times > 0:
            self.fails_times -= 1
            raise self.problem
        self.requests.append(billing_pb2.CreateBillingAccountRequest.FromString(payload))

    def patients(self) -> list[str]:
        return [request.patient_id for request in self.requests]


class FakePublisher:
    def __init__(self, fails_times: int = 0) -> None:
        self.fails_times = fails_times
        self.messages: list[Message] = []

    async def publish(self, messages: Sequence[Message]) -> None:
        if self.fails_times > 0:
            self.fails_times -= 1
            raise Unavailable("broker_unavailable")
        self.messages.extend(messages)

    def events(self, patient_id: str) -> list[events_pb2.PatientEvent]:
        return [
            events_pb2.PatientEvent.FromString(message.value or b"")
            for message in self.messages
            if message.key == patient_id.encode()
        ]


@dataclass
class Service:
    url: str
    database_url: str
    verifier: FakeVerifier
    billing: FakeBilling
    publisher: FakePublisher
    client: httpx.Client

    def call(self, method: str, path: str, *, by: str = "all", **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {by}", **options.pop("headers", {})}
        return self.client.request(method, self.url + path, headers=headers, **options)

    def is_ready(self) -> bool:
        try:
            return self.client.get(f"{self.url}/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def sql(self, query: str, *arguments: Any) -> list[Any]:
        return run_sql(self.database_url, query, *arguments)

    def register(self, **changes: Any) -> str:
        """The id of a new patient."""
        answer = self.call("POST", "/api/patients", json={**PERSON, **changes})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def events(self, patient_id: str, count: int) -> list[events_pb2.PatientEvent]:
        """The patient's events, once there are `count`."""
        return wait_for(
            lambda: (
                self.publisher.events(patient_id)[count - 1 :] and self.publisher.events(patient_id)
            )
        )

    def create(self, resource: dict[str, Any], **options: Any) -> dict[str, Any]:
        answer = self.call("POST", f"/fhir/R4/{resource['resourceType']}", json=resource, **options)
        assert answer.status_code == 201, answer.text
        created: dict[str, Any] = answer.json()
        return created

    def readiness(self) -> dict[str, Any]:
        state: dict[str, Any] = self.client.get(f"{self.url}/readyz").json()
        return state


def run_sql(database_url: str, query: str, *arguments: Any) -> list[Any]:
    async def fetch() -> list[Any]:
        connection = await asyncpg.connect(database_url)
        try:
            rows: list[Any] = await connection.fetch(query, *arguments)
            return rows
        finally:
            await connection.close()

    return run(fetch())


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(coroutine)


def wait_for(condition: Callable[[], T], seconds: float = WAIT_SECONDS) -> T:
    """What `condition` gives once it is true; fails after `seconds`."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "the condition did not become true"
        threading.Event().wait(0.01)
    return value


def make_settings(database_url: str, port: int = 4000) -> Settings:
    return Settings(
        environment="local",
        host="127.0.0.1",
        port=port,
        log_format="text",
        public_url=PUBLIC_URL,
        database=DatabaseSettings(database_url),
        verifier=VerifierSettings(
            PUBLIC_URL, (PUBLIC_URL,), "http://127.0.0.1:1", "service-patient", "s"
        ),
        broker=BrokerSettings("127.0.0.1:1"),
        topic="patient",
        billing_target="127.0.0.1:1",
    )


@contextmanager
def open_service(
    database_url: str,
    billing: FakeBilling | None = None,
    publisher: FakePublisher | None = None,
    **bounds: Any,
) -> Iterator[Service]:
    """The service in a thread with a loop of its own, so that tests may block."""
    settings = replace(make_settings(database_url, free_port()), **bounds)
    verifier, billing, publisher = (
        FakeVerifier(),
        billing or FakeBilling(),
        publisher or FakePublisher(),
    )
    loop, stop = uvloop.new_event_loop(), asyncio.Event()

    async def main() -> None:
        async with open_database(settings.database, PLANNER_SETTINGS) as database:
            app = create_app(
                settings, database=database, verifier=verifier, billing=billing, publisher=publisher
            )
            await serve_http(app, settings.host, settings.port, stop, server="uvicorn")

    thread = threading.Thread(target=loop.run_until_complete, args=(main(),), daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{settings.port}"
    with httpx.Client(timeout=30) as client:
        service = Service(url, database_url, verifier, billing, publisher, client)
        try:
            wait_for(service.is_ready)
            yield service
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join(timeout=30)
            assert not thread.is_alive()
            loop.close()
