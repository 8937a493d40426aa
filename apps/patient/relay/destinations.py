"""Where the outbox goes: billing by gRPC, the topic `patient` by Kafka."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import grpc

from apps.kit.broker import Message
from apps.kit.errors import ContentTooLarge, Problem, Unavailable
from apps.kit.rpc import call_metadata, problem_of_rpc
from apps.patient.relay.outbox import Entry
from protos.billing.v1 import billing_pb2, billing_pb2_grpc

BILLING_TIMEOUT_SECONDS = 2.0
# What billing takes at once.
BILLING_BATCH = 100
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
    async def create_accounts(self, entries: Sequence[Entry]) -> Sequence[Problem | None]:
        """`payload`: a CreateBillingAccountRequest. For each, in order, what it is refused with; at most BILLING_BATCH.

        Raises Problem where that is not known: some may have their account, send all of them again.
        """
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

    async def create_accounts(self, entries: Sequence[Entry]) -> Sequence[Problem | None]:
        token = await self._credentials.token("billing", "billing.system")
        openings = (
            billing_pb2.BillingAccountOpening(
                request=billing_pb2.CreateBillingAccountRequest.FromString(entry.payload),
                x_request_id=entry.request_id,
                traceparent=entry.traceparent,
            )
            for entry in entries
        )
        request = billing_pb2.BatchCreateBillingAccountsRequest(openings=openings)
        try:
            answer = await self._stub.BatchCreateBillingAccounts(
                request, timeout=BILLING_TIMEOUT_SECONDS, metadata=call_metadata(token)
            )
        except grpc.aio.AioRpcError as error:
            raise problem_of_rpc(error) from error
        return [refusal_of(outcome) for outcome in answer.outcomes]


def refusal_of(outcome: billing_pb2.BillingAccountOutcome) -> Problem | None:
    if outcome.HasField("account"):
        return None
    problem = Problem(outcome.refusal.code or "no_outcome")
    problem.status = outcome.refusal.status or Problem.status
    return problem


class BillingDestination:
    """Many patients at once; a patient has one account to open, so no order is lost."""

    name = "billing"

    def __init__(self, billing: Billing) -> None:
        self._billing = billing

    async def send(self, entries: Sequence[Entry]) -> Delivery:
        delivery = Delivery()
        for start in range(0, len(entries), BILLING_BATCH):
            await self._send_batch(entries[start : start + BILLING_BATCH], delivery)
            # Once it is away the rest need not find it out.
            if delivery.away:
                break
        return delivery

    async def _send_batch(self, entries: Sequence[Entry], delivery: Delivery) -> None:
        try:
            outcomes = await self._billing.create_accounts(entries)
        except Problem as problem:
            if len(entries) == 1 or blames_nobody(problem):
                note_problem(delivery, entries[0], problem)
                return
            # One of them is at fault: which, shows when they go one by one.
            for entry in entries:
                if not delivery.away:
                    await self._send_batch([entry], delivery)
            return
        for entry, refusal in zip(entries, outcomes, strict=True):
            if refusal is None:
                delivery.sent.append(entry.id)
            else:
                note_problem(delivery, entry, refusal)


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
    if blames_nobody(problem):
        delivery.away = reason
    elif problem.status in _REFUSALS:
        delivery.refused[entry.id] = reason
    else:
        delivery.failed[entry.id] = reason


def blames_nobody(problem: Problem) -> bool:
    """The destination is away: no entry is at fault."""
    return problem.status not in (*_REFUSALS, 500)
