"""The calls of `/billing/v1/*` on accounts, charges, prices and invoices."""

from apps.gateway.billing_call import (
    APPROVE,
    DOCUMENT,
    PAGE,
    PERIOD,
    READ,
    USD,
    Query,
    change,
    read,
)

ACCOUNTS = (
    read(
        "/accounts",
        "GetAccountByPatient",
        "The account of a patient",
        Query("patient", "patient_id", required=True),
    ),
    change(
        "POST",
        "/accounts",
        "CreateBillingAccount",
        "Open a patient's account",
        {"patientId": "0199c0de-0000-7000-8000-000000000001"},
        location="/accounts/{account_id}",
    ),
    read("/accounts/{account_id}", "GetAccount", "Read an account"),
    change(
        "PATCH",
        "/accounts/{account_id}",
        "UpdateAccountStatus",
        "Change an account's status",
        {"status": "ACCOUNT_STATUS_ON_HOLD"},
    ),
    change(
        "PUT",
        "/accounts/{account_id}/coverages",
        "SetCoverage",
        "Replace an account's coverages, in the order in which they pay",
        {
            "coverages": [
                {
                    "payerId": "payer-1",
                    "share": "COVERAGE_SHARE_PERCENT",
                    "percentBasisPoints": 8000,
                }
            ]
        },
    ),
    read(
        "/accounts/{account_id}/balance",
        "GetBalance",
        "What is owed, now or at the end of a day",
        Query("asOf", "as_of"),
    ),
    read(
        "/accounts/{account_id}/ledger-entries",
        "ListLedgerEntries",
        "An account's entries in the ledger, page by page",
        *PAGE,
        policy=READ,
    ),
    read(
        "/accounts/{account_id}/statement",
        "GetStatement",
        "What happened on an account in a time",
        *PERIOD,
    ),
    read(
        "/accounts/{account_id}/statement/document",
        "GetDocument",
        "The statement as HTML or PDF",
        *DOCUMENT,
        *PERIOD,
        answer="document",
    ),
)
CHARGES = (
    read(
        "/accounts/{account_id}/charge-items",
        "ListChargeItems",
        "An account's charges, page by page",
        Query("status", "status", "CHARGE_ITEM_STATUS_"),
        *PAGE,
    ),
    change(
        "POST",
        "/accounts/{account_id}/charge-items",
        "AddChargeItem",
        "Add a charge by hand",
        {
            "code": "99213",
            "description": "Office visit",
            "quantityDecimal": "1.5",
            "unitPrice": USD,
            "discount": {"percentBasisPoints": 1000, "reason": "staff"},
        },
    ),
    change(
        "POST",
        "/charge-items/{charge_item_id}/void",
        "VoidChargeItem",
        "Void a charge that was not billed",
        {"reason": "entered for the wrong patient"},
    ),
    read(
        "/prices",
        "ListPrices",
        "The price list, page by page",
        Query("code", "code"),
        Query("validOn", "valid_on"),
        *PAGE,
        policy=READ,
    ),
    change(
        "POST",
        "/prices",
        "SetPrices",
        "Add versions to the price list: all rows, or none and each fault",
        {
            "prices": [
                {
                    "code": "99213",
                    "description": "Office visit",
                    "unitPrice": USD,
                    "taxCategory": "exempt",
                    "revenueGroup": "visits",
                    "validFrom": "2026-01-01",
                }
            ]
        },
        text_body=("text/csv", "csv"),
    ),
)
INVOICES = (
    read(
        "/accounts/{account_id}/invoices",
        "ListInvoices",
        "An account's invoices, page by page",
        Query("status", "status", "INVOICE_STATUS_"),
        *PAGE,
    ),
    change(
        "POST",
        "/accounts/{account_id}/invoices",
        "CreateInvoice",
        "Draft an invoice; with dryRun only see what it would be",
        {"dryRun": True},
        location="/invoices/{invoice_id}",
    ),
    read("/invoices/{invoice_id}", "GetInvoice", "Read an invoice"),
    read(
        "/invoices/{invoice_id}/document",
        "GetDocument",
        "An issued invoice as HTML, as PDF/A-3 with its EN 16931 data, or as that data (XML)",
        *DOCUMENT,
        answer="document",
    ),
    change(
        "POST",
        "/invoices/{invoice_id}/issue",
        "IssueInvoice",
        "Issue a draft: it gets its number and never changes again",
        {},
    ),
    change(
        "POST",
        "/invoices/{invoice_id}/cancel",
        "CancelInvoice",
        "Discard a draft, or take an issued invoice back by a credit note",
        {"reason": "wrong payer"},
    ),
    change(
        "POST",
        "/invoices/{invoice_id}/credit",
        "CreditInvoice",
        "Take a part of an issued invoice back by a credit note",
        {"amount": USD, "reason": "service not rendered"},
    ),
    read(
        "/credit-notes/{credit_note_id}/document",
        "GetDocument",
        "A credit note as HTML, PDF/A-3 or XML",
        *DOCUMENT,
        answer="document",
    ),
    read(
        "/reminders",
        "ListReminders",
        "Overdue invoices, the oldest first",
        Query("asOf", "as_of"),
        Query("minimumDaysOverdue", "minimum_days_overdue"),
        *PAGE,
        policy=READ,
    ),
    change(
        "POST",
        "/invoices/{invoice_id}/write-off",
        "WriteOffInvoice",
        "Write off what will not be paid; above a limit it waits for a second person",
        {"amount": USD, "reason": "insolvent"},
        policy=APPROVE,
    ),
    change(
        "POST",
        "/write-offs/{write_off_id}/approve",
        "ApproveWriteOff",
        "Approve another person's write-off",
        {},
        policy=APPROVE,
    ),
    change(
        "POST",
        "/write-offs/{write_off_id}/refuse",
        "RefuseWriteOff",
        "Refuse a write-off that waits, or take back one's own",
        {"reason": "the patient pays by instalments"},
        policy=APPROVE,
    ),
    read(
        "/write-offs",
        "ListWriteOffs",
        "Write-offs of all accounts, as they were asked for, page by page",
        Query("status", "status", "WRITE_OFF_STATUS_"),
        *PAGE,
        policy=APPROVE,
    ),
)
