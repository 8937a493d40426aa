"""The methods of payments: recorded, allocated, refunded; credit that later invoices use."""

from datetime import UTC, datetime
from uuid import UUID

from apps.billing.access import READ_OWN, WRITE, lock_account, read_account
from apps.billing.accounts.account import Account
from apps.billing.accounts.storage import select_invoice_account_for_update
from apps.billing.books import Books, Change, expect_version
from apps.billing.invoicing.settlement import (
    settle,
    spread_oldest_first,
    write_settled,
)
from apps.billing.invoicing.storage import draw_number, select_invoice
from apps.billing.ledger.postings import credit, make_posting, receivable
from apps.billing.ledger.storage import post
from apps.billing.money import render_money
from apps.billing.pages import read_id_token, read_page_size, write_token
from apps.billing.parsing import Fields, parse_id
from apps.billing.payments.allocating import (
    PaymentRequest,
    allocations_of,
    draw_on,
    open_targets,
    parse_payment,
    payment_posting,
    refund_posting,
    reopen,
)
from apps.billing.payments.cash_desk import take_cash
from apps.billing.payments.payment import (
    Payment,
    Refund,
    payment_event,
    render_allocation,
    render_payment,
)
from apps.billing.payments.reading import load_payment, lock_payment, read_payment
from apps.billing.payments.storage import (
    insert_payment,
    insert_refund,
    select_payments,
    select_payments_with_credit,
)
from apps.kit.context import new_id
from apps.kit.database import Connection
from apps.kit.errors import NotFound, Unprocessable
from apps.kit.rpc import Caller, RpcMethod
from protos.billing.v1 import billing_pb2 as pb

# The year's series of receipts, and the money accounts, are where payments meet.
PAYMENT_TURN = "payments"


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
            request = await parse_payment(connection, message, account)
            allocations = await allocations_of(connection, account, request)
            paid = [(invoice.invoice_id, amount) for invoice, amount in allocations]
            payment = await self._insert_payment(change, account, request, paid)
            for invoice, amount in allocations:
                settled = settle(invoice, paid=amount)
                await write_settled(change, settled, account.patient_id, payment.received_at)
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
            await post(connection, caller, [payment_posting(payment, request.received_at)])
            # Not read again: other payments wait for this one.
            return render_payment(payment, paid)

        return await self._books.change(message, caller, pb.Payment, record, turns=(PAYMENT_TURN,))

    async def _account_of(
        self, connection: Connection, message: pb.RecordPaymentRequest
    ) -> Account:
        """Locks the account that is named or whose invoice is."""
        if message.account_id or not message.invoice_id:
            account_id = parse_id(message.account_id, "account_unknown")
            return await lock_account(connection, account_id)
        invoice_id = parse_id(message.invoice_id, "invoice_unknown")
        account = await select_invoice_account_for_update(connection, invoice_id)
        if account is None:
            raise NotFound("invoice_unknown")
        return account

    async def _insert_payment(
        self,
        change: Change,
        account: Account,
        request: PaymentRequest,
        paid: list[tuple[UUID, int]],
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
            allocated=sum(amount for _, amount in paid),
            version=1,
            reference=request.reference,
            receipt_number=await draw_number(connection, "receipt", now.year),
            received_at=request.received_at or now,
            cash_day_id=cash_day_id,
        )
        await insert_payment(connection, payment, paid)
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
            await reopen(change, account, payment, reopened, now)
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

            targets = await open_targets(connection, account, payer_id, message.invoice_id)
            allocations = spread_oldest_first(wanted or available, targets)
            applied = sum(amount for _, amount in allocations)
            if not applied or (wanted and applied < wanted):
                raise Unprocessable("more_than_open", "less is open than is to be applied")
            now = datetime.now(UTC)
            for invoice_id, amount in allocations:
                payments = await draw_on(connection, payments, invoice_id, amount)
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
