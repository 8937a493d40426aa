"""The methods of invoices."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

from apps.billing.access import READ_OWN, WRITE, lock_account, read_account
from apps.billing.accounts.account import Account
from apps.billing.books import Books, Change, expect_version
from apps.billing.charges.charge import Charge
from apps.billing.charges.storage import (
    select_billable,
    select_charges_of_invoice,
    update_charges_invoice,
)
from apps.billing.invoicing.crediting import (
    credit_invoice,
    lines_left,
    settle_charges,
    spread_credit,
    void_credited,
)
from apps.billing.invoicing.invoice import STATUS_NAMES, Invoice, render_invoice
from apps.billing.invoicing.issuing import draft_parts, issue, render_draft
from apps.billing.invoicing.reading import load_invoice, lock_invoice, read_invoice
from apps.billing.invoicing.storage import (
    insert_invoice,
    select_group,
    select_invoices,
    select_lines,
    update_invoice,
)
from apps.billing.ledger.storage import post
from apps.billing.pages import read_id_token, read_page_size, write_token
from apps.billing.parsing import Fields, parse_id
from apps.kit.context import new_id
from apps.kit.database import Connection
from apps.kit.errors import BadRequest, Unprocessable
from apps.kit.rpc import Caller, RpcMethod
from protos.billing.v1 import billing_pb2 as pb

MAX_CHARGES = 1_000
# Issuing and crediting meet at a number series, and at revenue: one at a time, before a
# connection is taken.
ISSUE_TURN = "invoices"


class InvoiceMethods:
    def __init__(self, books: Books) -> None:
        self._books = books

    def table(self) -> tuple[RpcMethod, ...]:
        return (
            RpcMethod("CreateInvoice", WRITE, self.create_invoice),
            RpcMethod("IssueInvoice", WRITE, self.issue_invoice),
            RpcMethod("CancelInvoice", WRITE, self.cancel_invoice),
            RpcMethod("CreditInvoice", WRITE, self.credit_invoice),
            RpcMethod("GetInvoice", READ_OWN, self.get_invoice),
            RpcMethod("ListInvoices", READ_OWN, self.list_invoices),
        )

    async def create_invoice(self, message: pb.CreateInvoiceRequest, caller: Caller) -> pb.Invoice:
        account_id = parse_id(message.account_id, "account_unknown")
        if message.dry_run:
            async with self._books.database.connection() as connection:
                account = await read_account(connection, account_id, caller)
                draft, charges = await self._draft(connection, message, account)
                return await self._render_draft(connection, account, draft, charges)

        async def create(change: Change) -> pb.Invoice:
            account = await lock_account(change.connection, account_id)
            draft, charges = await self._draft(change.connection, message, account)
            await insert_invoice(change.connection, draft)
            await update_charges_invoice(
                change.connection,
                [charge.charge_item_id for charge in charges],
                status="billable",
                invoice_id=draft.invoice_id,
            )
            change.audit("invoice.created", account_id, draft.invoice_id)
            return await self._render_draft(change.connection, account, draft, charges)

        return await self._books.change(message, caller, pb.Invoice, create)

    async def _draft(
        self, connection: Connection, message: pb.CreateInvoiceRequest, account: Account
    ) -> tuple[Invoice, list[Charge]]:
        """Reads the request; a draft over the charges that it names, or over all that
        can be billed.
        """
        fields = Fields()
        if len(message.charge_item_ids) > MAX_CHARGES:
            fields.refuse("charge_item_ids", "too_many_charges", f"at most {MAX_CHARGES}")
        if not 0 <= message.payment_days <= 365:
            fields.refuse("payment_days", "invalid_payment_days", "0 to 365")
        terms = fields.text("terms", message.terms)
        fields.check()
        ids = [parse_id(text, "charge_item_unknown") for text in message.charge_item_ids]
        charges = await select_billable(connection, account.account_id, ids, MAX_CHARGES)
        missing = set(ids) - {charge.charge_item_id for charge in charges}
        if missing:
            raise Unprocessable(
                "charge_item_not_billable",
                "not of this account, not priced, voided, billed or in another draft: "
                + ", ".join(sorted(map(str, missing))[:5]),
                pointer="charge_item_ids",
            )
        if not charges:
            raise Unprocessable("nothing_to_bill", "the account has no charge that can be billed")
        invoice_id = UUID(new_id())
        draft = Invoice(
            invoice_id=invoice_id,
            account_id=account.account_id,
            currency=account.currency,
            group_id=invoice_id,
            status="draft",
            payment_days=message.payment_days or self._books.settings.payment_days,
            terms=terms,
        )
        return draft, charges

    async def _render_draft(
        self, connection: Connection, account: Account, draft: Invoice, charges: list[Charge]
    ) -> pb.Invoice:
        if not charges:
            return render_invoice(draft)
        parts = await draft_parts(connection, account, charges, self._books.settings.tax_rates)
        return render_draft(draft, parts)

    async def issue_invoice(self, message: pb.IssueInvoiceRequest, caller: Caller) -> pb.Invoice:
        invoice_id = parse_id(message.invoice_id, "invoice_unknown")
        fields = Fields()
        issued_on = fields.day("issued_on", message.issued_on)
        if issued_on and issued_on > datetime.now(UTC).date():
            fields.refuse("issued_on", "in_the_future", "today or earlier")
        fields.check()

        async def issue_draft(change: Change) -> pb.Invoice:
            account, draft = await lock_invoice(change.connection, invoice_id)
            expect_version(draft.version, message.expected_version)
            if draft.status != "draft":
                raise Unprocessable("invoice_not_draft", f"the invoice is {draft.status}")
            tax_rates = self._books.settings.tax_rates
            return await issue(change, account, draft, tax_rates, issued_on)

        return await self._books.change(
            message, caller, pb.Invoice, issue_draft, turns=(ISSUE_TURN,)
        )

    async def cancel_invoice(self, message: pb.CancelInvoiceRequest, caller: Caller) -> pb.Invoice:
        invoice_id = parse_id(message.invoice_id, "invoice_unknown")
        fields = Fields()
        reason = fields.text("reason", message.reason, required=True)
        fields.check()

        async def cancel(change: Change) -> pb.Invoice:
            account, invoice = await lock_invoice(change.connection, invoice_id)
            expect_version(invoice.version, message.expected_version)
            if invoice.status == "cancelled":
                raise Unprocessable("invoice_cancelled", "it was cancelled before")
            if invoice.status == "draft":
                discarded = replace(
                    invoice, status="cancelled", cancel_reason=reason, version=invoice.version + 1
                )
                await update_invoice(change.connection, discarded)
                await settle_charges(change, account, invoice_id)
                change.audit("invoice.discarded", account.account_id, invoice_id)
                return render_invoice(discarded)
            return await self._cancel_group(change, account, invoice, reason)

        return await self._books.change(message, caller, pb.Invoice, cancel, turns=(ISSUE_TURN,))

    async def _cancel_group(
        self, change: Change, account: Account, invoice: Invoice, reason: str
    ) -> pb.Invoice:
        group = await select_group(change.connection, invoice.group_id)
        if any(member.written_off for member in group):
            raise Unprocessable("invoice_written_off", "what was written off cannot be cancelled")
        postings = []
        for member in group:
            if member.status != "cancelled":
                left = await lines_left(change, member)
                _, posting = await credit_invoice(
                    change, account, member, left, reason, cancels=True
                )
                postings.append(posting)
        await settle_charges(change, account, invoice.group_id)
        await post(change.connection, change.caller, postings)
        return await load_invoice(change.connection, invoice.invoice_id)

    async def credit_invoice(self, message: pb.CreditInvoiceRequest, caller: Caller) -> pb.Invoice:
        invoice_id = parse_id(message.invoice_id, "invoice_unknown")

        async def credit(change: Change) -> pb.Invoice:
            account, invoice = await lock_invoice(change.connection, invoice_id)
            expect_version(invoice.version, message.expected_version)
            if invoice.status not in ("issued", "balanced"):
                raise Unprocessable("invoice_not_issued", f"the invoice is {invoice.status}")
            amount, named, reason = _parse_credit(message, account.currency)
            left = await lines_left(change, invoice)
            credits = spread_credit(left, amount, named)
            if (
                sum(map(sum, credits.values()))
                > invoice.total - invoice.credited - invoice.written_off
            ):
                raise Unprocessable("credit_too_large", "a part was written off", pointer="amount")
            _, posting = await credit_invoice(
                change, account, invoice, credits, reason, cancels=False
            )
            lines = await select_lines(change.connection, invoice_id)
            for line in lines:
                if credits.get(line.line) == left[line.line]:
                    await void_credited(change, account, line.charge_item_id, invoice.group_id)
            await post(change.connection, change.caller, [posting])
            return await load_invoice(change.connection, invoice_id)

        return await self._books.change(message, caller, pb.Invoice, credit, turns=(ISSUE_TURN,))

    async def get_invoice(self, message: pb.GetInvoiceRequest, caller: Caller) -> pb.Invoice:
        invoice_id = parse_id(message.invoice_id, "invoice_unknown")
        async with self._books.database.connection() as connection:
            account, invoice = await read_invoice(connection, invoice_id, caller)
            if invoice.status != "draft":
                return await load_invoice(connection, invoice_id)
            charges = await select_charges_of_invoice(connection, invoice_id)
            return await self._render_draft(connection, account, invoice, charges)

    async def list_invoices(
        self, message: pb.ListInvoicesRequest, caller: Caller
    ) -> pb.ListInvoicesResponse:
        account_id = parse_id(message.account_id, "account_unknown")
        size = read_page_size(message.page_size)
        after = read_id_token(message.page_token)
        if message.status and message.status not in STATUS_NAMES:
            raise BadRequest("invalid_status", pointer="status")
        async with self._books.database.connection() as connection:
            account = await read_account(connection, account_id, caller)
            invoices = await select_invoices(
                connection,
                account_id,
                status=STATUS_NAMES.get(message.status, ""),
                after=after,
                limit=size + 1,
            )
            rendered = []
            for invoice in invoices[:size]:
                if invoice.status == "draft":
                    charges = await select_charges_of_invoice(connection, invoice.invoice_id)
                    rendered.append(await self._render_draft(connection, account, invoice, charges))
                else:
                    rendered.append(render_invoice(invoice))
        token = write_token(str(invoices[size - 1].invoice_id)) if len(invoices) > size else ""
        return pb.ListInvoicesResponse(invoices=rendered, next_page_token=token)


def _parse_credit(
    message: pb.CreditInvoiceRequest, currency: str
) -> tuple[int, list[tuple[int, int]], str]:
    fields = Fields()
    reason = fields.text("reason", message.reason, required=True)
    amount = 0
    if message.lines and message.HasField("amount"):
        fields.refuse("amount", "contradiction", "an amount for all, or amounts by line")
    elif not message.lines:
        amount = fields.amount("amount", message.amount, currency)
    if len(message.lines) > MAX_CHARGES:
        fields.refuse("lines", "too_many_lines", f"at most {MAX_CHARGES}")
        fields.check()
    named = [
        (line.line, fields.amount(f"lines/{index}/amount", line.amount, currency))
        for index, line in enumerate(message.lines)
    ]
    fields.check()
    return amount, named, reason
