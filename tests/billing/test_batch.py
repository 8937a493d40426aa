"""Accounts opened many at once: each request stands by itself."""

import asyncio
from collections.abc import Sequence

import pytest

from apps.billing.accounts.account import MAX_OPENINGS
from apps.kit.context import new_id
from apps.kit.outbox import Entry
from apps.patient.relay.destinations import BILLING_BATCH, RpcBilling, refusal_of
from protos.billing.v1 import billing_pb2 as pb
from tests.billing.conftest import Client
from tests.billing.waiting import until_waiting

pytestmark = pytest.mark.integration


def opening(
    patient_id: str, request_id: str = "", x_request_id: str = ""
) -> pb.BillingAccountOpening:
    request = pb.CreateBillingAccountRequest(
        request_id=request_id or new_id(), patient_id=patient_id
    )
    return pb.BillingAccountOpening(request=request, x_request_id=x_request_id)


async def create(
    billing: Client, openings: Sequence[pb.BillingAccountOpening]
) -> list[pb.BillingAccountOutcome]:
    request = pb.BatchCreateBillingAccountsRequest(openings=openings)
    answer = await billing.call("BatchCreateBillingAccounts", request, "relay", timeout=20.0)
    return list(answer.outcomes)


async def audited(billing: Client, outcomes: Sequence[pb.BillingAccountOutcome]) -> list[str]:
    """The requests that the accounts were opened for."""
    query = (
        "SELECT correlation_id FROM audit WHERE account_id = ANY($1::uuid[]) ORDER BY "
        "correlation_id"
    )
    async with billing.database.connection() as connection:
        rows = await connection.fetch(query, [outcome.account.account_id for outcome in outcomes])
    return [row["correlation_id"] for row in rows]


async def test_each_patient_gets_an_account_audited_under_its_own_request(billing: Client) -> None:
    patients = [new_id() for _ in range(MAX_OPENINGS)]
    names = [f"request-{number:03}" for number in range(MAX_OPENINGS)]
    outcomes = await create(
        billing, [opening(patient, "", name) for patient, name in zip(patients, names, strict=True)]
    )
    assert [outcome.account.patient_id for outcome in outcomes] == patients
    assert await audited(billing, outcomes) == names
    request = pb.GetAccountByPatientRequest(patient_id=patients[7])
    assert await billing.call("GetAccountByPatient", request, user="reader") == outcomes[7].account


async def test_batch_that_is_sent_again_gets_the_first_answers(billing: Client) -> None:
    openings = [opening(new_id(), x_request_id=name) for name in ("a", "b", "c")]
    first = await create(billing, openings)
    assert await create(billing, openings) == first
    # Part of it, beside what is new.
    again = await create(billing, [opening(new_id()), *openings])
    assert again[1:] == first
    assert again[0].account.account_id not in {outcome.account.account_id for outcome in first}
    assert await audited(billing, first) == ["a", "b", "c"]


async def test_what_was_answered_before_is_looked_up_together(
    billing: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that would go one by one could take longer than its caller waits, and so for ever."""
    openings = [opening(new_id()) for _ in range(3)]
    first = await create(billing, openings)

    async def one_by_one(*_: object) -> None:
        raise AssertionError("five statements and a transaction for each")

    monkeypatch.setattr("apps.billing.accounts.opening.open_account", one_by_one)
    assert await create(billing, openings) == first
    used = openings[0].request.request_id
    mixed = await create(
        billing, [opening(new_id()), openings[1], opening(new_id(), used), opening(new_id())]
    )
    assert mixed[1] == first[1]
    assert (mixed[2].refusal.status, mixed[2].refusal.code) == (422, "request_id_reused")
    assert mixed[0].account.account_id != mixed[3].account.account_id != ""


async def test_relay_is_told_of_each_what_became_of_it(billing: Client) -> None:
    class Tokens:
        async def token(self, audience: str, scope: str = "") -> str:
            assert (audience, scope) == ("billing", "billing.system")
            return "relay"

    used = new_id()
    await billing.create(new_id(), used)
    requests = [(new_id(), new_id(), "request-7"), (new_id(), used, "request-8")]
    entries = [
        Entry(
            number, patient, "", opening(patient, request).request.SerializeToString(), name, "", 0
        )
        for number, (patient, request, name) in enumerate(requests)
    ]
    opened, refused = await RpcBilling(billing.channel, Tokens()).create_accounts(entries)
    assert opened is None
    assert refused is not None
    assert (refused.status, refused.code) == (422, "request_id_reused")
    found = pb.GetAccountByPatientRequest(patient_id=requests[0][0])
    account = await billing.call("GetAccountByPatient", found, user="reader")
    assert await audited(billing, [pb.BillingAccountOutcome(account=account)]) == ["request-7"]


def test_outcome_that_is_none_is_nobodys_success() -> None:
    problem = refusal_of(pb.BillingAccountOutcome())
    assert problem is not None
    assert (problem.status, problem.code) == (500, "no_outcome")


async def test_one_that_is_refused_holds_up_no_other(billing: Client) -> None:
    used, patient, other = new_id(), new_id(), new_id()
    await billing.create(new_id(), used)
    outcomes = await create(
        billing,
        [
            opening(patient),
            opening("no such/id"),
            opening(new_id(), used),
            opening(new_id(), " "),
            opening(other),
        ],
    )
    assert [(outcome.refusal.status, outcome.refusal.code) for outcome in outcomes] == [
        (0, ""),
        (400, "invalid_request"),
        (422, "request_id_reused"),
        (400, "invalid_request"),
        (0, ""),
    ]
    assert [outcomes[0].account.patient_id, outcomes[4].account.patient_id] == [patient, other]


async def test_patient_named_twice_has_one_account(billing: Client) -> None:
    patient, known = new_id(), new_id()
    there = await billing.create(known, new_id())
    openings = [
        opening(patient, x_request_id="first"),
        opening(patient, x_request_id="second"),
        opening(known),
    ]
    outcomes = await create(billing, openings)
    assert outcomes[0] == outcomes[1]
    assert outcomes[2].account == there
    assert await audited(billing, outcomes[:1]) == ["first"]
    assert await create(billing, openings) == outcomes


async def test_batches_at_once_open_one_account_a_patient(billing: Client) -> None:
    patients = [new_id() for _ in range(30)]
    batches = [[opening(patient) for patient in order] for order in (patients, patients[::-1]) * 4]
    answers = await asyncio.gather(*(create(billing, batch) for batch in batches))
    assert len({outcome.account.account_id for outcomes in answers for outcome in outcomes}) == len(
        patients
    )
    assert len(await audited(billing, answers[0])) == len(patients)


async def test_too_many_at_once_are_refused(billing: Client) -> None:
    request = pb.BatchCreateBillingAccountsRequest(
        openings=[opening(new_id()) for _ in range(MAX_OPENINGS + 1)]
    )
    assert await billing.code("BatchCreateBillingAccounts", request, "relay") == "INVALID_ARGUMENT"
    assert await create(billing, []) == []


def test_relay_sends_no_more_than_billing_takes() -> None:
    assert BILLING_BATCH <= MAX_OPENINGS


async def test_nobody_else_opens_accounts_in_batches(billing: Client) -> None:
    request = pb.BatchCreateBillingAccountsRequest(openings=[opening(new_id())])
    assert (
        await billing.code("BatchCreateBillingAccounts", request, "gateway") == "PERMISSION_DENIED"
    )
    assert (
        await billing.code("BatchCreateBillingAccounts", request, "gateway", "reader")
        == "PERMISSION_DENIED"
    )
    assert (
        await billing.code("BatchCreateBillingAccounts", request, "gateway", "writer")
        == "PERMISSION_DENIED"
    )
    assert (
        await billing.code("BatchCreateBillingAccounts", request, "stranger") == "PERMISSION_DENIED"
    )


@pytest.mark.usefixtures("unhurried_pool")
async def test_batches_in_opposite_orders_do_not_wait_for_each_other(billing: Client) -> None:
    """Both stop at a patient in the middle: in the order in which they came, each would hold what
    the other wants.
    """
    prefix = new_id()
    patients = [f"{prefix}-{number}" for number in range(9)]
    async with billing.database.transaction() as connection:
        await connection.execute(
            """
            INSERT INTO account (account_id, patient_id, status, currency, version)
            VALUES ($1, $2, 'active', 'USD', 1)""",
            new_id(),
            patients[4],
        )
        batches = [
            asyncio.create_task(create(billing, [opening(patient) for patient in order]))
            for order in (patients, patients[::-1])
        ]
        await until_waiting(billing.database, 2)
    answers = await asyncio.gather(*batches)
    accounts = {outcome.account.account_id for outcomes in answers for outcome in outcomes}
    assert len(accounts) == len(patients)


async def test_two_people_of_one_client_may_use_one_request_id(billing: Client) -> None:
    request_id = new_id()
    mine = await billing.create(new_id(), request_id, service="gateway", user="writer")
    theirs = await billing.create(new_id(), request_id, service="gateway", user="clerk")
    assert mine.account_id != theirs.account_id
