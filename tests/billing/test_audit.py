"""Every method that changes something writes who did it, and by which client."""

from typing import Any

import pytest

from apps.billing import dead_letter_methods
from apps.kit.context import new_id
from apps.kit.event_storage import DeadLetter, insert_dead_letters
from protos.billing.v1 import billing_pb2 as pb
from tests.billing.conftest import TOKENS, Client
from tests.billing.test_outbox_methods import refuse

pytestmark = pytest.mark.integration

READS = ("Get", "List", "Export", "Reconcile")
COVERAGE = {"payer_id": "p", "share": "COVERAGE_SHARE_PERCENT", "percent_basis_points": 1_000}


def usd(amount: int) -> dict[str, int]:
    return {"minor_units": amount}


class Changes:
    """Calls methods, and holds each against the audit that it wrote."""

    def __init__(self, billing: Client) -> None:
        self.billing = billing
        self.seen: set[str] = set()

    async def audit(self) -> dict[Any, Any]:
        async with self.billing.database.connection() as connection:
            rows = await connection.fetch("SELECT * FROM audit")
        return {row["audit_id"]: row for row in rows}

    async def do(self, rpc: str, action: str, /, user: str = "manager", **fields: Any) -> Any:
        before = await self.audit()
        answer = await self.billing.do(rpc, user, **fields)
        rows = [row for id, row in (await self.audit()).items() if id not in before]
        actor = TOKENS[user or "gateway"]
        assert action in {row["action"] for row in rows}, rpc
        for row in rows:
            assert (row["subject"], row["client_id"], row["service_id"]) == (
                *(actor.subject, actor.client_id, "service-gateway"),
            ), rpc
        self.seen.add(rpc)
        return answer


async def test_every_change_names_the_person_and_the_client(
    billing: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = Changes(billing)
    do = changes.do

    account = await do("CreateBillingAccount", "account.opened", patient_id=new_id())
    own = {"account_id": account.account_id}
    held = {"status": "ACCOUNT_STATUS_ON_HOLD", "reason": "r"}
    await do("UpdateAccountStatus", "account.on-hold", **own, **held)
    await billing.do("UpdateAccountStatus", **own, status="ACCOUNT_STATUS_ACTIVE", reason="r")
    await do("SetCoverage", "coverage.set", **own, coverages=[COVERAGE])
    await billing.do("SetCoverage", **own)

    fields = {"code": "own", "unit_price": usd(100)}
    charge = await do("AddChargeItem", "charge.added", "clerk", **own, **fields)
    wrong = {"charge_item_id": charge.charge_item_id, "reason": "r"}
    await do("VoidChargeItem", "charge.voided", **wrong)
    row = "system,code,description,unit_price,tax_category,revenue_group,valid_from,valid_to\n"
    await do("SetPrices", "prices.set", csv=f"{row}urn:x,{new_id()},x,1.00,,,2026-01-01,\n")

    await billing.charge(account.account_id, 20_000)
    draft = await do("CreateInvoice", "invoice.created", "clerk", **own)
    first = {"invoice_id": draft.invoice_id}
    await do("IssueInvoice", "invoice.issued", "clerk", **first)
    await do("CreditInvoice", "invoice.credited", **first, amount=usd(100), reason="r")
    paid: dict[str, Any] = {"amount": usd(100), "method": "PAYMENT_METHOD_CARD"}
    payment = await do("RecordPayment", "payment.recorded", "clerk", **first, **paid)
    back: dict[str, Any] = {"payment_id": payment.payment_id, "amount": usd(50), "reason": "r"}
    await do("RefundPayment", "payment.refunded", **back)
    await billing.do("RecordPayment", **own, **paid, keep_as_credit=True)
    await do("ApplyCredit", "credit.applied", **own)
    above: dict[str, Any] = {**first, "amount": usd(15_000), "reason": "r"}
    proposed = await do("WriteOffInvoice", "write_off.pending", **above)
    write_off = {"write_off_id": proposed.write_off_id}
    await do("ApproveWriteOff", "write_off.approved", "second", **write_off)
    await billing.charge(account.account_id, 20_000)
    large = await billing.invoice(account.account_id, 20_000)
    unwanted: dict[str, Any] = {
        "invoice_id": large.invoice_id,
        "amount": usd(15_000),
        "reason": "r",
    }
    proposed = await do("WriteOffInvoice", "write_off.pending", **unwanted)
    write_off = {"write_off_id": proposed.write_off_id, "reason": "r"}
    await do("RefuseWriteOff", "write_off.refused", **write_off)
    second = await billing.invoice(account.account_id, 100)
    cancelled = {"invoice_id": second.invoice_id, "reason": "r"}
    await do("CancelInvoice", "invoice.cancelled", **cancelled)

    opened = await do("OpenCashDay", "cash_day.opened", desk=new_id(), opening=usd(0))
    day = {"cash_day_id": opened.cash_day_id}
    await do("CountCashDay", "cash_day.counted", **day, counted=usd(0))
    await do("CloseCashDay", "cash_day.closed", **day)

    for rpc, action in (
        ("RetryOutboxRow", "outbox_row_retried"),
        ("DiscardOutboxRow", "outbox_row_discarded"),
    ):
        refused, _ = await refuse(billing)
        await do(rpc, action, "operator", row_id=str(refused))

    async def sent(*_: Any) -> None:
        """Stands for the broker."""

    monkeypatch.setattr(dead_letter_methods, "send_again", sent)
    topic = new_id()
    letters = [
        DeadLetter(topic=topic, partition=0, record_offset=offset, reason="not_protobuf")
        for offset in (1, 2)
    ]
    async with billing.database.transaction() as connection:
        await insert_dead_letters(connection, letters)
    letter = {"dead_letter_id": f"{topic}:0:1"}
    await do("RedriveDeadLetter", "dead_letter_redriven", "operator", **letter)
    letter = {"dead_letter_id": f"{topic}:0:2", "reason": "r"}
    await do("DiscardDeadLetter", "dead_letter_discarded", "operator", **letter)

    methods = {method.name for method in pb.DESCRIPTOR.services_by_name["Billing"].methods}
    # The record's service alone opens accounts in batches, each as CreateBillingAccount does.
    batches = {"BatchCreateBillingAccounts"}
    assert changes.seen == {name for name in methods if not name.startswith(READS)} - batches
