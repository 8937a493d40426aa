"""Write-offs: what will not be paid, with a reason and, above a limit, a second person."""

from datetime import UTC, datetime
from typing import Any
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
from apps.billing.pages import read_id_token, read_page_size, write_token
from apps.billing.parsing import Fields, parse_id
from apps.kit.context import new_id
from apps.kit.database import Connection
from apps.kit.errors import BadRequest, Forbidden, NotFound, Unprocessable
from apps.kit.rpc import Caller, RpcMethod
from protos.billing.v1 import billing_pb2 as pb

STATUSES = {
    "pending": pb.WRITE_OFF_STATUS_PENDING,
    "posted": pb.WRITE_OFF_STATUS_POSTED,
    "refused": pb.WRITE_OFF_STATUS_REFUSED,
}
STATUS_NAMES = {value: name for name, value in STATUSES.items()}
SELECT = """
    SELECT w.*, i.account_id, i.number, a.patient_id, a.currency
    FROM write_off w JOIN invoice i USING (invoice_id) JOIN account a USING (account_id)
"""


class WriteOffMethods:
    def __init__(self, books: Books) -> None:
        self._books = books

    def table(self) -> tuple[RpcMethod, ...]:
        return (
            RpcMethod("WriteOffInvoice", APPROVE, self.write_off_invoice),
            RpcMethod("ApproveWriteOff", APPROVE, self.approve_write_off),
            RpcMethod("RefuseWriteOff", APPROVE, self.refuse_write_off),
            RpcMethod("ListWriteOffs", APPROVE, self.list_write_offs),
        )

    async def list_write_offs(
        self, message: pb.ListWriteOffsRequest, caller: Caller
    ) -> pb.ListWriteOffsResponse:
        size = read_page_size(message.page_size)
        after = read_id_token(message.page_token)
        if message.status and message.status not in STATUS_NAMES:
            raise BadRequest("invalid_status", pointer="status")
        async with self._books.database.connection() as connection:
            rows = await _select_write_offs(
                connection, STATUS_NAMES.get(message.status, ""), after, size + 1
            )
        token = write_token(str(rows[size - 1]["write_off_id"])) if len(rows) > size else ""
        return pb.ListWriteOffsResponse(write_offs=map(_render, rows[:size]), next_page_token=token)

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
            return _render(await _select_write_off(change.connection, write_off_id))

        return await self._books.change(
            message, caller, pb.WriteOff, write_off, turns=("write_off",)
        )

    async def approve_write_off(
        self, message: pb.ApproveWriteOffRequest, caller: Caller
    ) -> pb.WriteOff:
        write_off_id = parse_id(message.write_off_id, "write_off_unknown")

        async def approve(change: Change) -> pb.WriteOff:
            account, invoice, row = await _lock_pending(change.connection, write_off_id)
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
            return _render(await _select_write_off(change.connection, write_off_id))

        return await self._books.change(message, caller, pb.WriteOff, approve, turns=("write_off",))

    async def refuse_write_off(
        self, message: pb.RefuseWriteOffRequest, caller: Caller
    ) -> pb.WriteOff:
        write_off_id = parse_id(message.write_off_id, "write_off_unknown")
        fields = Fields()
        reason = fields.text("reason", message.reason, required=True)
        fields.check()

        async def refuse(change: Change) -> pb.WriteOff:
            account, _, _ = await _lock_pending(change.connection, write_off_id)
            await change.connection.execute(
                """
                UPDATE write_off SET status = 'refused', refused_by = $2, refusal_reason = $3
                WHERE write_off_id = $1""",
                write_off_id,
                caller.actor.subject,
                reason,
            )
            change.audit("write_off.refused", account.account_id, write_off_id)
            return _render(await _select_write_off(change.connection, write_off_id))

        return await self._books.change(message, caller, pb.WriteOff, refuse, turns=("write_off",))


async def _select_write_off(connection: Connection, write_off_id: UUID) -> Any:
    """Raises NotFound where there is none."""
    row = await connection.fetchrow(f"{SELECT} WHERE write_off_id = $1", write_off_id)
    if row is None:
        raise NotFound("write_off_unknown")
    return row


async def _select_write_offs(
    connection: Connection, status: str, after: UUID | None, limit: int
) -> Any:
    """Gives those of a status, of all where it is empty, in the order of their ids."""
    return await connection.fetch(
        f"""{SELECT}
        WHERE ($1 = '' OR w.status = $1) AND ($2::uuid IS NULL OR write_off_id > $2)
        ORDER BY write_off_id LIMIT $3""",
        status,
        after,
        limit,
    )


async def _lock_pending(connection: Connection, write_off_id: UUID) -> tuple[Account, Invoice, Any]:
    """Locks the account of a write-off that waits; raises Unprocessable for one that does not."""
    row = await _select_write_off(connection, write_off_id)
    account, invoice = await lock_invoice(connection, row["invoice_id"])
    # Again: somebody may have decided while the account was locked.
    row = await _select_write_off(connection, write_off_id)
    if row["status"] != "pending":
        decided = "approved" if row["status"] == "posted" else "refused"
        raise Unprocessable(f"write_off_{row['status']}", f"it was {decided} before")
    return account, invoice, row


def _render(row: Any) -> pb.WriteOff:
    answer = pb.WriteOff(
        write_off_id=str(row["write_off_id"]),
        invoice_id=str(row["invoice_id"]),
        amount=render_money(row["amount"], row["currency"]),
        reason=row["reason"],
        status=STATUSES[row["status"]],
        requested_by=row["requested_by"],
        approved_by=row["approved_by"] or "",
        refused_by=row["refused_by"] or "",
        refusal_reason=row["refusal_reason"],
        account_id=str(row["account_id"]),
        patient_id=row["patient_id"],
        invoice_number=row["number"] or "",
    )
    answer.requested_at.FromDatetime(row["created_at"])
    return answer


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
