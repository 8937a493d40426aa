"""Sends the outbox's account openings to billing by gRPC."""

from collections.abc import Sequence
from typing import Any, Protocol

import grpc
from google.protobuf.message import DecodeError

from apps.kit.delivery import Delivery, blames_nobody, note_problem
from apps.kit.errors import Problem, Unprocessable
from apps.kit.outbox import Entry
from apps.kit.rpc import call_metadata, problem_of_rpc
from protos.billing.v1 import billing_pb2, billing_pb2_grpc

BILLING_TIMEOUT_SECONDS = 2.0
# What billing takes at once.
BILLING_BATCH = 100


class Billing(Protocol):
    async def create_accounts(self, entries: Sequence[Entry]) -> Sequence[Problem | None]:
        """Returns, for each in order, what it is refused with; at most BILLING_BATCH.

        `payload`: a CreateBillingAccountRequest. Raises Problem where that is not known: some may
        have their account, send all of them again.
        """
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
        openings = [opening_of(entry) for entry in entries]
        request = billing_pb2.BatchCreateBillingAccountsRequest(openings=openings)
        try:
            answer = await self._stub.BatchCreateBillingAccounts(
                request, timeout=BILLING_TIMEOUT_SECONDS, metadata=call_metadata(token)
            )
        except grpc.aio.AioRpcError as error:
            raise problem_of_rpc(error) from error
        return [refusal_of(outcome) for outcome in answer.outcomes]


def opening_of(entry: Entry) -> billing_pb2.BillingAccountOpening:
    """Raises Unprocessable for a payload that cannot be read: sent again it would be no better."""
    try:
        request = billing_pb2.CreateBillingAccountRequest.FromString(entry.payload)
    except DecodeError:
        raise Unprocessable("payload_unreadable") from None
    return billing_pb2.BillingAccountOpening(
        request=request, x_request_id=entry.request_id, traceparent=entry.traceparent
    )


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
            held: set[str] = set()
            for entry in entries:
                if delivery.away or entry.patient_id in held:
                    continue
                await self._send_batch([entry], delivery)
                if entry.id not in delivery.sent:
                    held.add(entry.patient_id)
            return
        for entry, refusal in zip(entries, outcomes, strict=True):
            if refusal is None:
                delivery.sent.append(entry.id)
            else:
                note_problem(delivery, entry, refusal)
