"""Where the outbox goes: billing by gRPC, the topic `patient` by Kafka."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import grpc

from apps.kit.broker import Message
from apps.kit.context import RequestContext, use_context
from apps.kit.errors import ContentTooLarge, Problem, Unavailable
from apps.kit.rpc import call_metadata, problem_of_rpc
from apps.patient.outbox import Entry
from protos.billing.v1 import billing_pb2, billing_pb2_grpc

BILLING_TIMEOUT_SECONDS = 2.0
BILLING_CALLS_AT_ONCE = 8
# The row's own fault: sent again it would be refused again.
_REFUSALS = (400, 404, 409, 410, 412, 413, 422)


@dataclass(slots=True)
class Delivery:
    """What became of each entry, by its id; `away`: why the destination takes nothing now."""

    sent: list[int] = field(default_factory=list)
    refused: dict[int, str] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)
    away: str = ""


class Destination(Protocol):
    name: str

    async def send(self, entries: Sequence[Entry]) -> Delivery: ...


class Billing(Protocol):
    async def create_account(self, payload: bytes) -> None:
        """`payload`: a CreateBillingAccountRequest. Raises Problem."""
        ...


class Publisher(Protocol):
    async def publish(self, messages: Sequence[Message]) -> None:
        """As kit.broker.Producer: all of them, in order; raises Unavailable and ContentTooLarge."""
        ...


class Credentials(Protocol):
    async def token(self, audience: str, scope: str = "") -> str: ...


class RpcBilling:
    """Billing behind a gRPC channel, as this service itself."""

    def __init__(self, channel: Any, credentials: Credentials) -> None:
        # The generated stub's types know the synchronous call alone.
        self._stub: Any = billing_pb2_grpc.BillingStub(channel)
        self._credentials = credentials

    async def create_account(self, payload: bytes) -> None:
        token = await self._credentials.token("billing", "billing.system")
        request = billing_pb2.CreateBillingAccountRequest.FromString(payload)
        try:
            await self._stub.CreateBillingAccount(
                request, timeout=BILLING_TIMEOUT_SECONDS, metadata=call_metadata(token)
            )
        except grpc.aio.AioRpcError as error:
            raise problem_of_rpc(error) from error


class BillingDestination:
    """Several patients at once; a patient has one account to open, so no order is lost."""

    name = "billing"

    def __init__(self, billing: Billing) -> None:
        self._billing = billing

    async def send(self, entries: Sequence[Entry]) -> Delivery:
        delivery = Delivery()
        turns = asyncio.Semaphore(BILLING_CALLS_AT_ONCE)

        async def send_one(entry: Entry) -> None:
            async with turns:
                # Once it is away the rest need not find it out one by one.
                if delivery.away:
                    return
                try:
                    with use_context(RequestContext(entry.request_id, entry.traceparent)):
                        await self._billing.create_account(entry.payload)
                except Problem as problem:
                    note_problem(delivery, entry, problem)
                else:
                    delivery.sent.append(entry.id)

        await asyncio.gather(*(send_one(entry) for entry in entries))
        return delivery


class KafkaDestination:
    """The topic `patient`, keyed by patient so that one patient's events stay in order."""

    name = "kafka"

    def __init__(self, publisher: Publisher, topic: str) -> None:
        self._publisher = publisher
        self._topic = topic

    async def send(self, entries: Sequence[Entry]) -> Delivery:
        try:
            await self._publisher.publish([self._message(entry) for entry in entries])
        except Unavailable as problem:
            return Delivery(away=problem.detail or problem.code)
        except ContentTooLarge as problem:
            if len(entries) == 1:
                return Delivery(refused={entries[0].id: problem.code})
            # One of them is refused: which, shows when they go one by one.
            return await self._send_each(entries)
        return Delivery(sent=[entry.id for entry in entries])

    async def _send_each(self, entries: Sequence[Entry]) -> Delivery:
        whole = Delivery()
        held: set[str] = set()
        for entry in entries:
            if entry.patient_id in held or whole.away:
                continue
            one = await self.send([entry])
            whole.sent += one.sent
            whole.refused |= one.refused
            whole.away = one.away
            if not one.sent:
                held.add(entry.patient_id)
        return whole

    def _message(self, entry: Entry) -> Message:
        headers = {
            "event-id": entry.event_id,
            "traceparent": entry.traceparent,
            "x-request-id": entry.request_id,
        }
        return Message(
            self._topic,
            entry.patient_id.encode(),
            entry.payload,
            tuple((name, value.encode()) for name, value in headers.items()),
        )


def note_problem(delivery: Delivery, entry: Entry, problem: Problem) -> None:
    """Whose fault it is: the entry's for good, the entry's perhaps, or the destination's."""
    reason = f"{problem.status} {problem.code}"
    if problem.status in _REFUSALS:
        delivery.refused[entry.id] = reason
    elif problem.status == 500:
        delivery.failed[entry.id] = reason
    else:
        delivery.away = reason
