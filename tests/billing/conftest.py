"""Billing as its callers meet it: over gRPC, on a real PostgreSQL, with tokens that a fake verifier knows."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest

from apps.billing.app import create_app
from apps.billing.settings import Settings
from apps.kit.database import Database, DatabaseSettings, open_database
from apps.kit.errors import Unauthorized
from apps.kit.rpc import call_metadata, open_channel
from apps.kit.scopes import Principal
from protos.billing.v1 import billing_pb2 as pb
from protos.billing.v1.billing_pb2_grpc import BillingStub

PUBLIC_URL = "https://health.example"
ENVIRONMENT = {
    "ENVIRONMENT": "local",
    "HOST": "127.0.0.1",
    "PORT": "9001",
    "PUBLIC_URL": PUBLIC_URL,
    "LOG_FORMAT": "text",
    "BILLING_DATABASE_URL": "postgresql://billing:secret@127.0.0.1:1/billing",
    "AUTH_URL": "http://127.0.0.1:1",
    "BILLING_CLIENT_SECRET": "secret",
}


def principal(subject: str, audience: str, *scopes: str, client_id: str = "") -> Principal:
    return Principal(
        subject, client_id or subject, audience, frozenset(scopes), (), "jti", 0, 2**40
    )


TOKENS = {
    "relay": principal("service-patient", "billing", "billing.system"),
    "gateway": principal("service-gateway", "billing"),
    "stranger": principal("service-analytics", "billing", "billing.system"),
    "elsewhere": principal("service-gateway", "patient"),
    "reader": principal("user-1", PUBLIC_URL, "billing.read", client_id="web"),
    "writer": principal("user-2", PUBLIC_URL, "billing.write", client_id="web"),
    "posing": principal("user-3", PUBLIC_URL, "billing.system", client_id="web"),
    "service-as-user": principal("service-patient", "billing", "billing.read", "billing.write"),
}


class FakeVerifier:
    has_keys = True

    async def verify(self, token: str) -> Principal:
        if token not in TOKENS:
            raise Unauthorized
        return TOKENS[token]

    async def verify_forwarded(self, token: str) -> Principal:
        return await self.verify(token)


@dataclass
class Client:
    stub: Any
    channel: grpc.aio.Channel
    database: Database
    verifier: FakeVerifier

    async def call(
        self,
        method: str,
        request: Any,
        service: str = "gateway",
        user: str = "",
        timeout: float = 5.0,
    ) -> Any:
        return await getattr(self.stub, method)(
            request, metadata=call_metadata(service, user), timeout=timeout
        )

    async def create(
        self, patient_id: str, request_id: str, service: str = "relay", user: str = ""
    ) -> pb.Account:
        request = pb.CreateBillingAccountRequest(request_id=request_id, patient_id=patient_id)
        account: pb.Account = await self.call("CreateBillingAccount", request, service, user)
        return account

    async def code(
        self, method: str, request: Any, service: str = "gateway", user: str = ""
    ) -> str:
        """The status that the call is refused with."""
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await self.call(method, request, service, user)
        return refused.value.code().name


async def open_client(url: str) -> AsyncIterator[Client]:
    settings = Settings.from_environment({**ENVIRONMENT, "BILLING_DATABASE_URL": url})
    verifier = FakeVerifier()
    async with open_database(DatabaseSettings(url)) as database:
        server = create_app(settings, database=database, verifier=verifier)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with open_channel(f"127.0.0.1:{port}") as channel:
            yield Client(BillingStub(channel), channel, database, verifier)
        await server.stop(None)


@pytest.fixture
async def billing(billing_database: str) -> AsyncIterator[Client]:
    async for client in open_client(billing_database):
        yield client


@pytest.fixture
async def stranded() -> AsyncIterator[Client]:
    """Billing whose database is away."""
    async for client in open_client(ENVIRONMENT["BILLING_DATABASE_URL"]):
        yield client
