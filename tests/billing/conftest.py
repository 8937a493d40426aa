"""Billing as its callers meet it: over gRPC, on a real PostgreSQL, with tokens that a fake
verifier knows.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.protobuf import json_format
from google.protobuf.message_factory import GetMessageClass

from apps.billing.app import create_app
from apps.billing.books import Books
from apps.billing.dead_letter_methods import ConsumedTopics
from apps.billing.ledger.reconcile import reconcile
from apps.billing.settings import Settings
from apps.kit.broker import Message
from apps.kit.context import new_id
from apps.kit.database import Database, DatabaseSettings, open_database
from apps.kit.errors import Problem, Unauthorized, Unavailable
from apps.kit.event_storage import Place
from apps.kit.rpc import call_metadata, open_channel, problem_of_rpc
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
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
    "KAFKA_SECURITY": "plaintext",
    "KAFKA_CONSUMER_GROUP": "billing",
    "TOPIC_PATIENT": "patient",
    "TOPIC_PATIENT_DLQ": "patient.dlq",
    "TOPIC_BILLING": "billing",
}


def principal(
    subject: str,
    audience: str,
    *scopes: str,
    client_id: str = "",
    roles: tuple[str, ...] = (),
    patient_id: str | None = None,
) -> Principal:
    return Principal(
        subject=subject,
        client_id=client_id or subject,
        audience=audience,
        scopes=frozenset(scopes),
        roles=roles,
        token_id="jti",
        issued_at=0,
        expires_at=2**40,
        patient_id=patient_id,
    )


STAFF = ("billing.read", "billing.write")
PATIENT_ID = "patient-with-a-login"


TOKENS = {
    "relay": principal("service-patient", "billing", "billing.system"),
    "gateway": principal("service-gateway", "billing"),
    "stranger": principal("service-analytics", "billing", "billing.system"),
    "elsewhere": principal("service-gateway", "patient"),
    "reader": principal("user-1", PUBLIC_URL, "billing.read", client_id="web"),
    "writer": principal("user-2", PUBLIC_URL, "billing.write", client_id="web"),
    "clerk": principal("user-4", PUBLIC_URL, *STAFF, client_id="web"),
    "manager": principal("user-5", PUBLIC_URL, *STAFF, "billing.approve", client_id="web"),
    "second": principal("user-6", PUBLIC_URL, *STAFF, "billing.approve", client_id="web"),
    "operator": principal("user-9", PUBLIC_URL, "admin", client_id="web"),
    "patient": principal(
        "user-7",
        PUBLIC_URL,
        "patient/*.rs",
        client_id="portal",
        roles=("patient",),
        patient_id=PATIENT_ID,
    ),
    # A clinician whose application was launched for a patient.
    "launched": principal(
        "user-8",
        PUBLIC_URL,
        "patient/*.rs",
        client_id="portal",
        roles=("clinician",),
        patient_id=PATIENT_ID,
    ),
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


class NoTopics:
    """Stands for a broker that is away."""

    async def end_offsets(self) -> Mapping[Place, int]:
        raise Unavailable("broker_unavailable")

    async def publish(self, messages: Sequence[Message]) -> None:
        raise Unavailable("broker_unavailable")


def no_topics(settings: Settings) -> ConsumedTopics:
    away = NoTopics()
    return ConsumedTopics(names=(), ends=away, broker=settings.broker, publisher=away)


def make_server(
    settings: Settings, books: Books, verifier: Any, topics: ConsumedTopics | None = None
) -> grpc.aio.Server:
    """Billing's server, by default with a broker that is away."""
    return create_app(
        settings, books=books, topics=topics or no_topics(settings), verifier=verifier
    )


REQUESTS = {
    method.name: GetMessageClass(method.input_type)
    for method in pb.DESCRIPTOR.services_by_name["Billing"].methods
}


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

    async def do(self, rpc: str, /, user: str = "manager", **fields: Any) -> Any:
        """Calls a method with these fields; a change gets a request id of its own."""
        request = REQUESTS[rpc]()
        if "request_id" in request.DESCRIPTOR.fields_by_name:
            fields.setdefault("request_id", new_id())
        json_format.ParseDict(fields, request)
        return await self.call(rpc, request, "gateway", user, timeout=20.0)

    async def refusal(self, rpc: str, /, user: str = "manager", **fields: Any) -> Problem:
        """The problem that the call is refused with."""
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await self.do(rpc, user, **fields)
        return problem_of_rpc(refused.value)

    async def account(self, patient_id: str = "", currency: str = "") -> str:
        """The id of a new account."""
        account = await self.do(
            "CreateBillingAccount", patient_id=patient_id or new_id(), currency=currency
        )
        return str(account.account_id)

    async def charge(self, account_id: str, amount: int, **fields: Any) -> pb.ChargeItem:
        charge: pb.ChargeItem = await self.do(
            "AddChargeItem",
            account_id=account_id,
            code="own",
            unit_price={"minor_units": amount},
            **fields,
        )
        return charge

    async def invoice(self, account_id: str, *amounts: int, **fields: Any) -> pb.Invoice:
        """An issued invoice over charges of these amounts."""
        charges = [await self.charge(account_id, amount, **fields) for amount in amounts]
        draft = await self.do(
            "CreateInvoice",
            account_id=account_id,
            charge_item_ids=[charge.charge_item_id for charge in charges],
        )
        issued: pb.Invoice = await self.do("IssueInvoice", invoice_id=draft.invoice_id)
        return issued

    async def pay(
        self, account_id: str, amount: int, method: str = "CARD", **fields: Any
    ) -> pb.Payment:
        payment: pb.Payment = await self.do(
            "RecordPayment",
            account_id=account_id,
            amount={"minor_units": amount},
            method=f"PAYMENT_METHOD_{method}",
            **fields,
        )
        return payment

    async def due(self, account_id: str) -> int:
        balance = await self.do("GetBalance", account_id=account_id)
        return int(balance.due.minor_units)

    async def differences(self) -> list[str]:
        """What the checker names, but for seals: nothing seals here."""
        async with self.database.connection() as connection:
            found = await reconcile(connection, leave_out=("transaction_not_sealed",))
        return [one.code for one in found]

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


async def open_client(
    url: str, topics: ConsumedTopics | None = None
) -> AsyncGenerator[Client, None]:
    settings = Settings.from_environment({**ENVIRONMENT, "BILLING_DATABASE_URL": url})
    verifier = FakeVerifier()
    async with open_database(DatabaseSettings(url)) as database:
        books = Books(database, settings)
        server = make_server(settings, books, verifier, topics)
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
