"""The calls of `/billing/v1/*` on payments, the books, the outbox and what the consumer refused."""

from apps.gateway.billing_call import (
    ADMIN,
    APPROVE,
    DOCUMENT,
    PAGE,
    READ,
    USD,
    Query,
    change,
    read,
)

PAYMENTS = (
    read(
        "/accounts/{account_id}/payments",
        "ListPayments",
        "An account's payments, page by page",
        *PAGE,
    ),
    change(
        "POST",
        "/accounts/{account_id}/payments",
        "RecordPayment",
        "Record a payment; it pays the oldest invoices unless allocations name others",
        {"amount": USD, "method": "PAYMENT_METHOD_TRANSFER", "reference": "statement 7/2026"},
    ),
    change(
        "POST",
        "/invoices/{invoice_id}/payments",
        "RecordPayment",
        "Record a payment of one invoice; what is left over is credit",
        {"amount": USD, "method": "PAYMENT_METHOD_CARD"},
    ),
    read("/payments/{payment_id}", "GetPayment", "Read a payment"),
    read(
        "/payments/{payment_id}/document",
        "GetDocument",
        "A payment's receipt as HTML or PDF",
        *DOCUMENT,
        answer="document",
    ),
    change(
        "POST",
        "/payments/{payment_id}/refund",
        "RefundPayment",
        "Give back what was paid, in whole or in part",
        {"amount": USD, "reason": "paid twice"},
    ),
    change(
        "POST",
        "/accounts/{account_id}/apply-credit",
        "ApplyCredit",
        "Pay open invoices from credit",
        {},
    ),
)
BOOKS = (
    change(
        "POST",
        "/cash-days",
        "OpenCashDay",
        "Open the cash desk's day",
        {"desk": "front", "opening": USD},
        policy=APPROVE,
        location="/cash-days/{cash_day_id}",
    ),
    read(
        "/cash-days/current", "GetCashDay", "Read the cash day that is not closed", policy=APPROVE
    ),
    read("/cash-days/{cash_day_id}", "GetCashDay", "Read a cash day", policy=APPROVE),
    change(
        "POST",
        "/cash-days/{cash_day_id}/count",
        "CountCashDay",
        "Enter what was counted",
        {"counted": USD},
        policy=APPROVE,
    ),
    change(
        "POST",
        "/cash-days/{cash_day_id}/close",
        "CloseCashDay",
        "Close the day; its difference is posted",
        {},
        policy=APPROVE,
    ),
    read(
        "/ledger/export",
        "ExportLedger",
        "The whole ledger as CSV or as a plain-text journal (beancount, hledger), page by page",
        Query("format", "format", "EXPORT_FORMAT_", required=True),
        *PAGE,
        policy=READ,
        answer="text",
    ),
    read(
        "/ledger/reconciliation",
        "ReconcileLedger",
        "Check the books; an empty list of differences means that they are sound",
        policy=READ,
    ),
)
OUTBOX = (
    read("/outbox", "ListOutbox", "What waits to be published, and what was refused", policy=ADMIN),
    change(
        "POST",
        "/outbox/{row_id}/retry",
        "RetryOutboxRow",
        "Publish a refused event again",
        {},
        policy=ADMIN,
    ),
    change(
        "POST",
        "/outbox/{row_id}/discard",
        "DiscardOutboxRow",
        "Delete a refused event for good",
        {},
        policy=ADMIN,
    ),
)
CONSUMER = (
    read("/lag", "GetConsumerLag", "How far billing is behind the record's events", policy=ADMIN),
    read(
        "/dead-letters",
        "ListDeadLetters",
        "The record's events that billing could not read",
        policy=ADMIN,
    ),
    read(
        "/dead-letters/{dead_letter_id}",
        "GetDeadLetter",
        "One of them, with its record",
        policy=ADMIN,
    ),
    change(
        "POST",
        "/dead-letters/{dead_letter_id}/redrive",
        "RedriveDeadLetter",
        "Send the record to its topic again",
        {},
        policy=ADMIN,
    ),
    change(
        "POST",
        "/dead-letters/{dead_letter_id}/discard",
        "DiscardDeadLetter",
        "Take it off the list for good",
        {"reason": "sent by a test"},
        policy=ADMIN,
    ),
    read(
        "/settings",
        "GetSettings",
        "Billing's settings; of secrets only whether they are set",
        policy=ADMIN,
    ),
)
