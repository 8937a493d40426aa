"""Reads invoices: for their own methods, for payments and for documents."""

from uuid import UUID

from apps.billing.access import read_account
from apps.billing.accounts.account import Account
from apps.billing.accounts.storage import select_invoice_account_for_update
from apps.billing.invoicing.invoice import Invoice, render_invoice
from apps.billing.invoicing.storage import (
    select_credit_notes,
    select_invoice,
    select_lines,
)
from apps.kit.database import Connection
from apps.kit.errors import NotFound
from apps.kit.rpc import Caller
from protos.billing.v1 import billing_pb2 as pb


async def lock_invoice(connection: Connection, invoice_id: UUID) -> tuple[Account, Invoice]:
    """Locks the invoice's account; gives both as they are then."""
    account = await select_invoice_account_for_update(connection, invoice_id)
    if account is None:
        raise NotFound("invoice_unknown")
    invoice = await select_invoice(connection, invoice_id)
    assert invoice is not None
    return account, invoice


async def read_invoice(
    connection: Connection, invoice_id: UUID, caller: Caller
) -> tuple[Account, Invoice]:
    """Raises NotFound for an invoice that the caller may not see, as for none."""
    invoice = await select_invoice(connection, invoice_id)
    if invoice is None:
        raise NotFound("invoice_unknown")
    try:
        return await read_account(connection, invoice.account_id, caller), invoice
    except NotFound:
        raise NotFound("invoice_unknown") from None


async def load_invoice(connection: Connection, invoice_id: UUID) -> pb.Invoice:
    """Gives an issued invoice with its lines and credit notes."""
    invoice = await select_invoice(connection, invoice_id)
    if invoice is None:
        raise NotFound("invoice_unknown")
    lines = await select_lines(connection, invoice_id)
    return render_invoice(invoice, lines, await select_credit_notes(connection, invoice_id))
