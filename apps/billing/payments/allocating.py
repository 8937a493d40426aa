"""What payments pay: read from the request, allocated to invoices, taken back, and posted."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from apps.billing.accounts.account import Account
from apps.billing.books import Change
from apps.billing.invoicing.invoice import Invoice
from apps.billing.invoicing.settlement import (
    insert_allocation,
    select_allocations_of_payment,
    settle,
    spread_oldest_first,
    write_settled,
)
from apps.billing.invoicing.storage import select_invoice, select_open_invoices
from apps.billing.ledger.postings import Posting, credit, make_posting, money, receivable
from apps.billing.parsing import Fields, parse_id
from apps.billing.payments.payment import (
    METHOD_NAMES,
    Payment,
    Refund,
)
from apps.kit.database import Connection
from apps.kit.errors import Unprocessable
from protos.billing.v1 import billing_pb2 as pb

MAX_ALLOCATIONS = 100
# A payment that is entered with a clock that runs ahead.
CLOCK_LEEWAY = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentRequest:
    amount: int
    method: str
    payer_id: str
    named: Sequence[tuple[UUID, int]]
    invoice_id: UUID | None
    received_at: datetime | None
    reference: str
    keep_as_credit: bool


async def parse_payment(
    connection: Connection, message: pb.RecordPaymentRequest, account: Account
) -> PaymentRequest:
    """Raises BadRequest, which names every field that is wrong."""
    fields = Fields()
    # A call of the first contract named an invoice and an amount alone.
    method = METHOD_NAMES.get(message.method or pb.PAYMENT_METHOD_CARD, "")
    if not method or (not message.method and not message.invoice_id):
        fields.refuse("method", "required", "cash, card or transfer")
    if len(message.allocations) > MAX_ALLOCATIONS:
        fields.refuse("allocations", "too_many_allocations", f"at most {MAX_ALLOCATIONS}")
        fields.check()
    received_at = fields.moment("received_at", message.received_at)
    if received_at and received_at > datetime.now(UTC) + CLOCK_LEEWAY:
        fields.refuse("received_at", "in_the_future", "now or earlier")
    amount = fields.amount("amount", message.amount, account.currency)
    named = [
        (
            parse_id(allocation.invoice_id, "invoice_unknown"),
            fields.amount(f"allocations/{index}/amount", allocation.amount, account.currency),
        )
        for index, allocation in enumerate(message.allocations)
    ]
    if len({invoice_id for invoice_id, _ in named}) < len(named):
        fields.refuse("allocations", "invoice_twice", "an invoice is named twice")
    if sum(part for _, part in named) > amount:
        fields.refuse("allocations", "more_than_paid", "the allocations are more than the payment")
    request = PaymentRequest(
        amount=amount,
        method=method,
        payer_id=fields.fhir_id("payer_id", message.payer_id),
        named=named,
        invoice_id=parse_id(message.invoice_id, "invoice_unknown") if message.invoice_id else None,
        received_at=received_at,
        reference=fields.text("reference", message.reference),
        keep_as_credit=message.keep_as_credit,
    )
    fields.check()
    return request


async def allocations_of(
    connection: Connection, account: Account, request: PaymentRequest
) -> list[tuple[Invoice, int]]:
    """Gives what the payment pays: what is named, then the oldest; raises Unprocessable for
    more than is open.
    """
    invoices = {
        invoice.invoice_id: invoice
        for invoice in await select_open_invoices(connection, account.account_id, request.payer_id)
    }
    opens = {invoice_id: invoice.open for invoice_id, invoice in invoices.items()}
    allocations: list[tuple[UUID, int]] = []
    for index, (invoice_id, amount) in enumerate(request.named):
        if amount > opens.get(invoice_id, 0):
            raise Unprocessable(
                "more_than_open",
                f"{opens.get(invoice_id, 0)} minor units are open of {invoice_id}",
                pointer=f"allocations/{index}",
            )
        allocations.append((invoice_id, amount))
        opens[invoice_id] -= amount
    left = request.amount - sum(amount for _, amount in allocations)
    if request.invoice_id is not None:
        if request.invoice_id not in opens:
            raise Unprocessable("invoice_not_open", "nothing of it is open", pointer="invoice_id")
        order = [(request.invoice_id, opens[request.invoice_id])]
    elif request.keep_as_credit or request.named:
        order = []
    else:
        order = list(opens.items())
    parts = spread_oldest_first(left, order)
    merged = dict(allocations)
    for invoice_id, amount in parts:
        merged[invoice_id] = merged.get(invoice_id, 0) + amount
    return [(invoices[invoice_id], amount) for invoice_id, amount in merged.items()]


async def open_targets(
    connection: Connection, account: Account, payer_id: str, invoice_id: str
) -> list[tuple[UUID, int]]:
    """Gives the open invoices of a party, or the one that is named."""
    opens = [
        (invoice.invoice_id, invoice.open)
        for invoice in await select_open_invoices(connection, account.account_id, payer_id)
    ]
    if not invoice_id:
        return opens
    wanted = parse_id(invoice_id, "invoice_unknown")
    chosen = [pair for pair in opens if pair[0] == wanted]
    if not chosen:
        raise Unprocessable("invoice_not_open", "nothing of it is open", pointer="invoice_id")
    return chosen


async def draw_on(
    connection: Connection, payments: list[Payment], invoice_id: UUID, amount: int
) -> list[Payment]:
    """Allocates from what is left of the payments, the oldest first; gives what is
    left of them then.
    """
    left = []
    for payment in payments:
        part = min(amount, payment.unallocated)
        if part:
            await insert_allocation(connection, payment.payment_id, invoice_id, part)
            amount -= part
        left.append(replace(payment, allocated=payment.allocated + part))
    assert amount == 0, "credit is what is left of payments"
    return left


async def reopen(
    change: Change, account: Account, payment: Payment, amount: int, now: datetime
) -> None:
    """Takes a payment back from the invoices that it paid, the latest first."""
    for allocated in await select_allocations_of_payment(change.connection, payment.payment_id):
        part = min(amount, allocated.amount)
        if not part:
            break
        await insert_allocation(change.connection, payment.payment_id, allocated.invoice_id, -part)
        invoice = await select_invoice(change.connection, allocated.invoice_id)
        assert invoice is not None
        await write_settled(change, settle(invoice, paid=-part), account.patient_id, now)
        amount -= part
    assert amount == 0, "what is not credit was allocated"


def payment_posting(payment: Payment, effective_at: datetime | None) -> Posting | None:
    """Posts the money against what was owed; the rest is credit. Pure."""
    owed = receivable(payment.currency, payment.account_id, payment.payer_id)
    kept = credit(payment.currency, payment.account_id, payment.payer_id)
    return make_posting(
        "payment",
        [
            (money(payment.method, payment.currency), payment.amount),
            (owed, -payment.allocated),
            (kept, payment.allocated - payment.amount),
        ],
        account_id=payment.account_id,
        document_id=payment.payment_id,
        effective_at=effective_at,
    )


def refund_posting(payment: Payment, refund: Refund, reopened: int) -> Posting | None:
    """Posts what goes back: from credit, and from what is owed again. Pure."""
    owed = receivable(payment.currency, payment.account_id, payment.payer_id)
    kept = credit(payment.currency, payment.account_id, payment.payer_id)
    return make_posting(
        "refund",
        [
            (owed, reopened),
            (kept, refund.amount - reopened),
            (money(payment.method, payment.currency), -refund.amount),
        ],
        account_id=payment.account_id,
        document_id=refund.refund_id,
    )
