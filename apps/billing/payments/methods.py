"""The methods of payments: recorded, allocated, refunded; credit that later invoices use."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from apps.billing.access import READ_OWN, WRITE, lock_account, read_account
from apps.billing.accounts.account import Account
from apps.billing.books import Books, Change, expect_version
from apps.billing.invoicing.settlement import (
    insert_allocation,
    select_allocations_of_payment,
    settle,
    spread_oldest_first,
    write_settled,
)
from apps.billing.invoicing.storage import draw_number, select_invoice, select_open_invoices
from apps.billing.ledger.postings import Posting, credit, make_posting, money, receivable
from apps.billing.ledger.storage import post
from apps.billing.money import render_money
from apps.billing.pages import read_id_token, read_page_size, write_token
from apps.billing.parsing import Fields, parse_id
from apps.billing.payments.cash_desk import take_cash
from apps.billing.payments.payment import (
    METHOD_NAMES,
    Payment,
    Refund,
    payment_event,
    render_allocation,
    render_payment,
)
from apps.billing.payments.storage import (
    insert_payment,
    insert_refund,
    select_payment,
    select_payments,
    select_payments_with_credit,
    select_refunds,
)
from apps.kit.context import new_id
from apps.kit.database import Connection
from apps.kit.errors import NotFound, Unprocessable
from apps.kit.rpc import Caller, RpcMethod
from protos.billing.v1 import billing_pb2 as pb

MAX_ALLOCATIONS = 100
# A payment that is entered with a clock that runs ahead.
CLOCK_LEEWAY = timedelta(minutes=5)
# The year's series of receipts, and the money accounts, are where payments meet.
PAYMENT_TURN = "payments"


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


class PaymentMethods:
    def __init__(self, books: Books) -> None:
        self._books = books

    def table(self) -> tuple[RpcMethod, ...]:
        return (
            RpcMethod("RecordPayment", WRITE, self.record_payment),
            RpcMethod("GetPayment", READ_OWN, self.get_payment),
            RpcMethod("ListPayments", READ_OWN, self.list_payments),
            RpcMethod("RefundPayment", WRITE, self.refund_payment),
            RpcMethod("ApplyCredit", WRITE, self.apply_credit),
        )

    async def record_payment(self, message: pb.RecordPaymentRequest, caller: Caller) -> pb.Payment:
        async def record(change: Change) -> pb.Payment:
            connection = change.connection
            account = await self._account_of(connection, message)
            request = await _parse_payment(connection, message, account)
            payment = await self._insert_payment(change, account, request)
            allocations = await _allocations_of(connection, account, request)

            now = datetime.now(UTC)
            for invoice_id, amount in allocations:
                invoice = await select_invoice(connection, invoice_id)
                assert invoice is not None
                await insert_allocation(connection, payment.payment_id, invoice_id, amount)
                await write_settled(
                    change,
                    settle(invoice, paid=amount),
                    account.patient_id,
                    request.received_at or now,
                )
            allocated = sum(amount for _, amount in allocations)
            change.audit("payment.recorded", account.account_id, payment.payment_id)
            change.emit(
                payment_event(
                    "payment.recorded",
                    payment,
                    account.patient_id,
                    amount=payment.amount,
                    effective_at=payment.received_at,
                )
            )
            await post(
                connection, caller, [payment_posting(payment, allocated, request.received_at)]
            )
            return await load_payment(connection, payment.payment_id)

        return await self._books.change(message, caller, pb.Payment, record, turns=(PAYMENT_TURN,))

    async def _account_of(
        self, connection: Connection, message: pb.RecordPaymentRequest
    ) -> Account:
        """Locks the account that is named or whose invoice is."""
        if message.account_id or not message.invoice_id:
            account_id = parse_id(message.account_id, "account_unknown")
            return await lock_account(connection, account_id)
        invoice = await select_invoice(connection, parse_id(message.invoice_id, "invoice_unknown"))
        if invoice is None:
            raise NotFound("invoice_unknown")
        return await lock_account(connection, invoice.account_id)

    async def _insert_payment(
        self, change: Change, account: Account, request: PaymentRequest
    ) -> Payment:
        connection, now = change.connection, datetime.now(UTC)
        cash_day_id = None
        if request.method == "cash":
            cash_day_id = await take_cash(connection, account.currency, request.amount)
        payment = Payment(
            payment_id=UUID(new_id()),
            account_id=account.account_id,
            currency=account.currency,
            payer_id=request.payer_id,
            method=request.method,
            amount=request.amount,
            refunded=0,
            allocated=0,
            version=1,
            reference=request.reference,
            receipt_number=await draw_number(connection, "receipt", now.year),
            received_at=request.received_at or now,
            cash_day_id=cash_day_id,
        )
        await insert_payment(connection, payment)
        return payment

    async def get_payment(self, message: pb.GetPaymentRequest, caller: Caller) -> pb.Payment:
        payment_id = parse_id(message.payment_id, "payment_unknown")
        async with self._books.database.connection() as connection:
            await read_payment(connection, payment_id, caller)
            return await load_payment(connection, payment_id)

    async def list_payments(
        self, message: pb.ListPaymentsRequest, caller: Caller
    ) -> pb.ListPaymentsResponse:
        account_id = parse_id(message.account_id, "account_unknown")
        size = read_page_size(message.page_size)
        after = read_id_token(message.page_token)
        async with self._books.database.connection() as connection:
            await read_account(connection, account_id, caller)
            payments = await select_payments(connection, account_id, after, size + 1)
            rendered = [
                await load_payment(connection, payment.payment_id) for payment in payments[:size]
            ]
        token = write_token(str(payments[size - 1].payment_id)) if len(payments) > size else ""
        return pb.ListPaymentsResponse(payments=rendered, next_page_token=token)

    async def refund_payment(self, message: pb.RefundPaymentRequest, caller: Caller) -> pb.Payment:
        payment_id = parse_id(message.payment_id, "payment_unknown")

        async def refund(change: Change) -> pb.Payment:
            connection = change.connection
            account, payment = await lock_payment(connection, payment_id)
            expect_version(payment.version, message.expected_version)
            fields = Fields()
            reason = fields.text("reason", message.reason, required=True)
            amount = fields.amount("amount", message.amount, payment.currency)
            fields.check()
            if amount > payment.amount - payment.refunded:
                left = payment.amount - payment.refunded
                raise Unprocessable(
                    "refund_too_large", f"{left} minor units are left", pointer="amount"
                )
            now = datetime.now(UTC)
            reopened = max(0, amount - payment.unallocated)
            await _reopen(change, account, payment, reopened, now)
            given = Refund(
                refund_id=UUID(new_id()),
                payment_id=payment_id,
                amount=amount,
                reason=reason,
                cash_day_id=await take_cash(connection, payment.currency, -amount)
                if payment.method == "cash"
                else None,
                refunded_at=now,
            )
            await insert_refund(connection, given)
            change.audit("payment.refunded", account.account_id, given.refund_id)
            change.emit(
                payment_event(
                    "payment.refunded",
                    payment,
                    account.patient_id,
                    amount=amount,
                    effective_at=now,
                    refund_id=str(given.refund_id),
                )
            )
            await post(connection, caller, [refund_posting(payment, given, reopened)])
            return await load_payment(connection, payment_id)

        return await self._books.change(message, caller, pb.Payment, refund, turns=(PAYMENT_TURN,))

    async def apply_credit(
        self, message: pb.ApplyCreditRequest, caller: Caller
    ) -> pb.ApplyCreditResponse:
        account_id = parse_id(message.account_id, "account_unknown")

        async def apply(change: Change) -> pb.ApplyCreditResponse:
            connection = change.connection
            account = await lock_account(connection, account_id)
            fields = Fields()
            payer_id = fields.fhir_id("payer_id", message.payer_id)
            wanted = (
                fields.amount("amount", message.amount, account.currency)
                if message.HasField("amount")
                else None
            )
            fields.check()
            payments = await select_payments_with_credit(connection, account_id, payer_id)
            available = sum(payment.unallocated for payment in payments)
            if not available or (wanted or 0) > available:
                message_ = f"{available} minor units of credit are left"
                raise Unprocessable("credit_too_small", message_, pointer="amount")

            targets = await _targets(connection, account, payer_id, message.invoice_id)
            allocations = spread_oldest_first(wanted or available, targets)
            applied = sum(amount for _, amount in allocations)
            if not applied or (wanted and applied < wanted):
                raise Unprocessable("more_than_open", "less is open than is to be applied")
            now = datetime.now(UTC)
            for invoice_id, amount in allocations:
                payments = await _draw_on(connection, payments, invoice_id, amount)
                invoice = await select_invoice(connection, invoice_id)
                assert invoice is not None
                await write_settled(change, settle(invoice, paid=amount), account.patient_id, now)
            change.audit("credit.applied", account_id)
            posting = make_posting(
                "credit_applied",
                [
                    (credit(account.currency, account_id, payer_id), applied),
                    (receivable(account.currency, account_id, payer_id), -applied),
                ],
                account_id=account_id,
            )
            await post(connection, caller, [posting])
            return pb.ApplyCreditResponse(
                allocations=[
                    render_allocation(invoice_id, amount, account.currency)
                    for invoice_id, amount in allocations
                ],
                credit_left=render_money(available - applied, account.currency),
            )

        return await self._books.change(message, caller, pb.ApplyCreditResponse, apply)


async def _parse_payment(
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


async def _allocations_of(
    connection: Connection, account: Account, request: PaymentRequest
) -> list[tuple[UUID, int]]:
    """Gives what the payment pays: what is named, then the oldest; raises Unprocessable for more than is open."""
    opens = {
        invoice.invoice_id: invoice.open
        for invoice in await select_open_invoices(connection, account.account_id, request.payer_id)
    }
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
    return list(merged.items())


async def _targets(
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


async def _draw_on(
    connection: Connection, payments: list[Payment], invoice_id: UUID, amount: int
) -> list[Payment]:
    """Allocates from what is left of the payments, the oldest first; gives what is left of them then."""
    left = []
    for payment in payments:
        part = min(amount, payment.unallocated)
        if part:
            await insert_allocation(connection, payment.payment_id, invoice_id, part)
            amount -= part
        left.append(replace(payment, allocated=payment.allocated + part))
    assert amount == 0, "credit is what is left of payments"
    return left


async def _reopen(
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


def payment_posting(
    payment: Payment, allocated: int, effective_at: datetime | None
) -> Posting | None:
    """Posts the money against what was owed; the rest is credit. Pure."""
    owed = receivable(payment.currency, payment.account_id, payment.payer_id)
    kept = credit(payment.currency, payment.account_id, payment.payer_id)
    return make_posting(
        "payment",
        [
            (money(payment.method, payment.currency), payment.amount),
            (owed, -allocated),
            (kept, allocated - payment.amount),
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


async def lock_payment(connection: Connection, payment_id: UUID) -> tuple[Account, Payment]:
    """Locks the payment's account; gives both as they are then."""
    found = await select_payment(connection, payment_id)
    if found is None:
        raise NotFound("payment_unknown")
    account = await lock_account(connection, found.account_id)
    payment = await select_payment(connection, payment_id)
    assert payment is not None
    return account, payment


async def read_payment(connection: Connection, payment_id: UUID, caller: Caller) -> Payment:
    """Raises NotFound for a payment that the caller may not see, as for none."""
    payment = await select_payment(connection, payment_id)
    if payment is None:
        raise NotFound("payment_unknown")
    try:
        await read_account(connection, payment.account_id, caller)
    except NotFound:
        raise NotFound("payment_unknown") from None
    return payment


async def load_payment(connection: Connection, payment_id: UUID) -> pb.Payment:
    payment = await select_payment(connection, payment_id)
    if payment is None:
        raise NotFound("payment_unknown")
    allocated = await select_allocations_of_payment(connection, payment_id)
    allocations = [(one.invoice_id, one.amount) for one in reversed(allocated)]
    return render_payment(payment, allocations, await select_refunds(connection, payment_id))
