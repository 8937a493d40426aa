"""Write-offs: what will not be paid, with a reason and, above a limit, a second person."""

from datetime import UTC, datetime
from uuid import UUID

from apps.billing.access import APPROVE
from apps.billing.accounts.account import Account
from apps.billing.books import Books, Change
from apps.billing.invoicing.invoice import Invoice
from apps.billing.invoicing.reading import lock_invoice
from apps.billing.invoicing.settlement import settle, write_settled
from apps.billing.ledger.postings import LedgerAccount, make_posting, receivable
from apps.billing.ledger.storage import post
from apps.billing.money import render_money
from apps.billing.parsing import Fields, parse_id
from apps.kit.context import new_id
from apps.kit.errors import Forbidden, NotFound, Unprocessable
from apps.kit.rpc import Caller, RpcMethod
from protos.billing.v1 import billing_pb2 as pb

STATUSES = {"pending": pb.WRITE_OFF_STATUS_PENDING, "posted": pb.WRITE_OFF_STATUS_POSTED}


class WriteOffMethods:
    def __init__(self, books: Books) -> None:
        self._books = books

    def table(self) -> tuple[RpcMethod, ...]:
        return (
            RpcMethod("WriteOffInvoice", APPROVE, self.write_off_invoice),
            RpcMethod("ApproveWriteOff", APPROVE, self.approve_write_off),
        )

    async def write_off_invoice(
        self, message: pb.WriteOffInvoiceRequest, caller: Caller
    ) -> pb.WriteOff:
        invoice_id = parse_id(message.invoice_id, "invoice_unknown")

        async def write_off(change: Change) -> pb.WriteOff:
            account, invoice = await lock_invoice(change.connection, invoice_id)
            fields = Fields()
            reason = fields.text("reason", message.reason, required=True)
            amount = fields.amount("amount", message.amount, account.currency)
            fields.check()
            _check_open(invoice, amount)
            status = "pending" if amount > self._books.settings.write_off_limit else "posted"
            write_off_id = UUID(new_id())
            await change.connection.execute(
                """
                INSERT INTO write_off (write_off_id, invoice_id, amount, reason, status,
                    requested_by)
                VALUES ($1, $2, $3, $4, $5, $6)""",
                write_off_id,
                invoice_id,
                amount,
                reason,
                status,
                caller.actor.subject,
            )
            change.audit(f"write_off.{status}", account.account_id, write_off_id)
            if status == "posted":
                await _post_write_off(change, account, invoice, write_off_id, amount)
            return pb.WriteOff(
                write_off_id=str(write_off_id),
                invoice_id=str(invoice_id),
                amount=render_money(amount, account.currency),
                reason=reason,
                status=STATUSES[status],
                requested_by=caller.actor.subject,
            )

        return await self._books.change(
            message, caller, pb.WriteOff, write_off, turns=("write_off",)
        )

    async def approve_write_off(
        self, message: pb.ApproveWriteOffRequest, caller: Caller
    ) -> pb.WriteOff:
        write_off_id = parse_id(message.write_off_id, "write_off_unknown")

        async def approve(change: Change) -> pb.WriteOff:
            invoice_id = await change.connection.fetchval(
                "SELECT invoice_id FROM write_off WHERE write_off_id = $1", write_off_id
            )
            if invoice_id is None:
                raise NotFound("write_off_unknown")
            account, invoice = await lock_invoice(change.connection, invoice_id)
            row = await change.connection.fetchrow(
                "SELECT amount, reason, status, requested_by FROM write_off WHERE write_off_id = "
                "$1",
                write_off_id,
            )
            if row["status"] != "pending":
                raise Unprocessable("write_off_posted", "it was approved before")
            if row["requested_by"] == caller.actor.subject:
                raise Forbidden("second_person_needed", "another person must approve")
            _check_open(invoice, row["amount"])
            await change.connection.execute(
                "UPDATE write_off SET status = 'posted', approved_by = $2 WHERE write_off_id = $1",
                write_off_id,
                caller.actor.subject,
            )
            change.audit("write_off.approved", account.account_id, write_off_id)
            await _post_write_off(change, account, invoice, write_off_id, row["amount"])
            return pb.WriteOff(
                write_off_id=str(write_off_id),
                invoice_id=str(invoice_id),
                amount=render_money(row["amount"], account.currency),
                reason=row["reason"],
                status=pb.WRITE_OFF_STATUS_POSTED,
                requested_by=row["requested_by"],
                approved_by=caller.actor.subject,
            )

        return await self._books.change(message, caller, pb.WriteOff, approve, turns=("write_off",))


def _check_open(invoice: Invoice, amount: int) -> None:
    if invoice.status != "issued":
        raise Unprocessable("invoice_not_open", f"the invoice is {invoice.status}")
    if amount > invoice.open:
        message = f"{invoice.open} minor units are open"
        raise Unprocessable("more_than_open", message, pointer="amount")


async def _post_write_off(
    change: Change, account: Account, invoice: Invoice, write_off_id: UUID, amount: int
) -> None:
    settled = settle(invoice, written_off=amount)
    await write_settled(change, settled, account.patient_id, datetime.now(UTC))
    posting = make_posting(
        "write_off",
        [
            (LedgerAccount("write_off", account.currency), amount),
            (receivable(account.currency, account.account_id, invoice.payer_id), -amount),
        ],
        account_id=account.account_id,
        document_id=write_off_id,
    )
    await post(change.connection, change.caller, [posting])
