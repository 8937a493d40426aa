"""What billing is asked for, and what becomes of each entry."""

from collections.abc import Sequence
from dataclasses import replace

import grpc
import pytest

from apps.kit.errors import Problem, Unavailable, Unprocessable
from apps.kit.outbox import Entry
from apps.patient.relay.destinations import (
    BILLING_BATCH,
    BillingDestination,
    RpcBilling,
    opening_of,
    refusal_of,
)
from protos.billing.v1 import billing_pb2 as pb
from tests.ports import free_port


def entries(*patients: str) -> list[Entry]:
    return [
        Entry(number, patient, f"event-{number}", b"", "request", "", 0)
        for number, patient in enumerate(patients)
    ]


class Billing:
    """Refuses a batch with one of `bad`, and everything from the call `away_from` on."""

    def __init__(self, bad: Sequence[int] = (), away_from: int = 100) -> None:
        self.bad = bad
        self.away_from = away_from
        self.calls: list[list[int]] = []

    async def create_accounts(self, entries: Sequence[Entry]) -> list[Problem | None]:
        asked = [entry.id for entry in entries]
        self.calls.append(asked)
        if len(self.calls) >= self.away_from:
            raise Unavailable("billing_unavailable")
        if set(asked) & set(self.bad):
            raise Unprocessable("payload_unreadable")
        return [None] * len(entries)


async def test_billing_gets_as_many_at_once_as_it_takes() -> None:
    billing = Billing()
    delivery = await BillingDestination(billing).send(entries(*"x" * (2 * BILLING_BATCH + 1)))
    assert [len(call) for call in billing.calls] == [BILLING_BATCH, BILLING_BATCH, 1]
    assert delivery.sent == list(range(2 * BILLING_BATCH + 1))


async def test_billing_that_is_away_is_not_asked_again() -> None:
    billing = Billing(away_from=2)
    delivery = await BillingDestination(billing).send(entries(*"x" * (2 * BILLING_BATCH + 1)))
    assert [len(call) for call in billing.calls] == [BILLING_BATCH, BILLING_BATCH]
    assert delivery.sent == list(range(BILLING_BATCH))
    assert delivery.away == "503 billing_unavailable"


async def test_entry_at_fault_holds_up_the_rest_of_its_patient_alone() -> None:
    billing = Billing(bad=[1])
    delivery = await BillingDestination(billing).send(entries("a", "b", "b", "a"))
    assert billing.calls == [[0, 1, 2, 3], [0], [1], [3]]
    assert delivery.sent == [0, 3]
    assert delivery.refused == {1: "422 payload_unreadable"}


async def test_rest_waits_where_billing_goes_away_among_them() -> None:
    billing = Billing(bad=[0], away_from=3)
    delivery = await BillingDestination(billing).send(entries("a", "b", "c"))
    assert billing.calls == [[0, 1, 2], [0], [1]]
    assert (delivery.sent, delivery.away) == ([], "503 billing_unavailable")


class Refusing(Billing):
    async def create_accounts(self, entries: Sequence[Entry]) -> list[Problem | None]:
        return [Unprocessable("not_acceptable") if entry.id == 1 else None for entry in entries]


async def test_outcome_of_each_entry_is_noted_as_its_own() -> None:
    delivery = await BillingDestination(Refusing()).send(entries("a", "b", "c"))
    assert delivery.sent == [0, 2]
    assert delivery.refused == {1: "422 not_acceptable"}


def test_entry_that_cannot_be_read_is_refused() -> None:
    (entry,) = entries("a")
    with pytest.raises(Unprocessable, match="payload_unreadable"):
        opening_of(replace(entry, payload=b"\xff"))
    assert opening_of(entry).x_request_id == "request"


def test_outcome_is_an_account_or_what_it_is_refused_with() -> None:
    account = pb.BillingAccountOutcome(account=pb.Account(account_id="a"))
    assert refusal_of(account) is None
    problem = refusal_of(pb.BillingAccountOutcome(refusal=pb.Refusal(status=422, code="c")))
    assert problem is not None
    assert (problem.status, problem.code) == (422, "c")


class Tokens:
    async def token(self, audience: str, scope: str = "") -> str:
        return "relay"


async def test_billing_that_does_not_answer_is_unavailable() -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{free_port()}") as channel:
        with pytest.raises(Problem) as caught:
            await RpcBilling(channel, Tokens()).create_accounts(entries())
    assert caught.value.status == 503
