"""Accounts under two callers: the second waits, and goes by what the first has written."""

import asyncio
from typing import Any

import pytest
from grpc.aio import AioRpcError

from apps.billing.accounts.opening import OPENING
from apps.billing.books import hash_of
from apps.kit.context import new_id
from apps.kit.rpc import problem_of_rpc
from protos.billing.v1 import billing_pb2 as pb
from tests.billing.charges.events import follow, patient_event
from tests.billing.conftest import Client
from tests.billing.waiting import until_blocked

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("unhurried_pool")]


@pytest.mark.parametrize("is_same", [True, False])
async def test_request_id_that_another_call_uses_meanwhile_is_waited_for(
    billing: Client, is_same: bool
) -> None:
    patient_id, request_id = new_id(), new_id()
    account_id = await billing.account(patient_id)
    message = pb.CreateBillingAccountRequest(request_id=request_id, patient_id=patient_id)
    async with billing.database.transaction() as connection:
        await connection.execute(
            """
            INSERT INTO request (client_id, subject, request_id, method, request_hash, resource_id)
            VALUES ('web', 'user-5', $1, $2, $3, $4)""",
            request_id,
            OPENING,
            hash_of(message) if is_same else b"another request",
            account_id,
        )
        call = billing.call("CreateBillingAccount", message, user="manager", timeout=20.0)
        task = asyncio.ensure_future(call)
        await until_blocked(billing.database, [task])
    if is_same:
        assert (await task).account_id == account_id
        return
    with pytest.raises(AioRpcError) as refused:
        await task
    assert problem_of_rpc(refused.value).code == "request_id_reused"


async def test_merge_that_is_followed_twice_at_once_is_one(billing: Client) -> None:
    patient_id, target = new_id(), new_id()
    await billing.account(patient_id)
    into = await billing.account(target)
    merge = patient_event(patient_id, "patient.updated", merged_into=target)
    async with billing.database.transaction() as connection:
        await connection.execute("SELECT FROM account WHERE account_id = $1 FOR UPDATE", into)
        tasks = [asyncio.create_task(follow(billing, merge)) for _ in range(2)]
        await until_blocked(billing.database, tasks)
    await asyncio.gather(*tasks)
    account = await billing.do("GetAccountByPatient", patient_id=patient_id)
    assert account.merged_into == into


@pytest.mark.parametrize(
    ("rpc", "code", "more"),
    [
        ("IssueInvoice", "invoice_not_draft", {}),
        ("CancelInvoice", "invoice_cancelled", {"reason": "r"}),
        (
            "RecordPayment",
            "invoice_not_open",
            {"amount": {"minor_units": 1}, "method": "PAYMENT_METHOD_CARD"},
        ),
    ],
)
async def test_change_of_an_invoice_waits_for_its_account(
    billing: Client, rpc: str, code: str, more: dict[str, Any]
) -> None:
    """And goes by what the invoice is then."""
    account_id = await billing.account()
    await billing.charge(account_id, 100)
    draft = await billing.do("CreateInvoice", account_id=account_id)
    async with billing.database.transaction() as connection:
        await connection.execute("SELECT FROM account WHERE account_id = $1 FOR UPDATE", account_id)
        task = asyncio.create_task(billing.do(rpc, invoice_id=draft.invoice_id, **more))
        await until_blocked(billing.database, [task])
        await connection.execute(
            """
            UPDATE invoice SET status = 'cancelled', cancel_reason = 'r', version = version + 1
            WHERE invoice_id = $1""",
            draft.invoice_id,
        )
        # Other tests of this database reconcile it.
        await connection.execute(
            "UPDATE charge_item SET status = 'billed', version = version + 1 WHERE invoice_id = $1",
            draft.invoice_id,
        )
    with pytest.raises(AioRpcError) as refused:
        await task
    assert problem_of_rpc(refused.value).code == code


@pytest.mark.parametrize(
    ("rpc", "code", "more"),
    [
        ("AddChargeItem", "account_inactive", {"code": "own", "unit_price": {"minor_units": 1}}),
        (
            "UpdateAccountStatus",
            "stale_version",
            {"status": "ACCOUNT_STATUS_ON_HOLD", "expected_version": 1},
        ),
        ("SetCoverage", "stale_version", {"expected_version": 1}),
    ],
)
async def test_change_of_an_account_waits_for_the_one_before(
    billing: Client, rpc: str, code: str, more: dict[str, Any]
) -> None:
    """The change is judged by the account as it is after the wait."""
    account_id = await billing.account()
    async with billing.database.transaction() as connection:
        await connection.execute(
            "UPDATE account SET status = 'inactive', version = 2 WHERE account_id = $1", account_id
        )
        task = asyncio.create_task(billing.refusal(rpc, account_id=account_id, **more))
        await until_blocked(billing.database, [task])
    assert (await task).code == code
