"""The table of `/billing/v1/*`: each operation, its method of the contract, and who may call it."""

from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from starlette.requests import Request

from apps.kit.scopes import Principal
from apps.kit.web import Policy, scopes
from protos.billing.v1 import billing_pb2 as pb

BASE = "/billing/v1"
SERVICE = pb.DESCRIPTOR.services_by_name["Billing"]


def _may_read(principal: Principal, request: Request) -> bool:
    return principal.has_scope("billing.read") or principal.may_read_own("Account")


READ = scopes("billing.read")
# A patient's own login reads that patient's account; billing itself sees to it that it is no other's.
READ_OWN = Policy("billing.read or *.rs", _may_read)
WRITE = scopes("billing.write")
APPROVE = scopes("billing.approve")
ADMIN = scopes("admin")


@dataclass(frozen=True, slots=True)
class Query:
    """A query parameter and its field of the request. `values`: short names of an enumeration's values."""

    name: str
    field: str
    enum: str = ""
    required: bool = False

    @property
    def is_date(self) -> bool:
        return self.name in ("from", "to", "asOf", "validOn")

    @property
    def values(self) -> dict[str, str]:
        if not self.enum:
            return {}
        prefix, names = self.enum, pb.DESCRIPTOR.enum_types_by_name[_enum_name(self.enum)]
        return {
            name.removeprefix(prefix).lower(): name
            for name in names.values_by_name
            if not name.endswith("_UNSPECIFIED")
        }


def _enum_name(prefix: str) -> str:
    return "".join(part.capitalize() for part in prefix.strip("_").split("_"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """An operation. The path's parameters are named as the request's fields."""

    method: str
    path: str
    rpc: str
    summary: str
    policy: Policy
    query: tuple[Query, ...] = ()
    # Where to find what was made, in the answer's fields; with one the answer is 201.
    location: str = ""
    # json | document | text: what the answer's body is.
    answer: str = "json"
    # A body of another media type than JSON, and the field that takes it.
    text_body: tuple[str, str] = ("", "")
    # An example of the body.
    example: Any = None

    @property
    def request(self) -> type[Message]:
        request: type[Message] = GetMessageClass(SERVICE.methods_by_name[self.rpc].input_type)
        return request

    @property
    def response(self) -> str:
        return str(SERVICE.methods_by_name[self.rpc].output_type.name)


PAGE = (Query("pageSize", "page_size"), Query("pageToken", "page_token"))
PERIOD = (Query("from", "from"), Query("to", "to"))
DOCUMENT = (
    Query("format", "format", "DOCUMENT_FORMAT_", required=True),
    Query("recipientName", "recipient_name"),
)
USD = {"minorUnits": "12500", "currency": "USD"}


def _read(path: str, rpc: str, summary: str, *query: Query, **options: Any) -> Call:
    policy = options.pop("policy", READ_OWN)
    return Call(
        method="GET", path=path, rpc=rpc, summary=summary, policy=policy, query=query, **options
    )


def _change(
    method: str, path: str, rpc: str, summary: str, example: Any = None, **options: Any
) -> Call:
    policy = options.pop("policy", WRITE)
    return Call(
        method=method,
        path=path,
        rpc=rpc,
        summary=summary,
        policy=policy,
        example=example,
        **options,
    )


ACCOUNTS = (
    _read(
        "/accounts",
        "GetAccountByPatient",
        "The account of a patient",
        Query("patient", "patient_id", required=True),
    ),
    _change(
        "POST",
        "/accounts",
        "CreateBillingAccount",
        "Open a patient's account",
        {"patientId": "0199c0de-0000-7000-8000-000000000001"},
        location="/accounts/{account_id}",
    ),
    _read("/accounts/{account_id}", "GetAccount", "Read an account"),
    _change(
        "PATCH",
        "/accounts/{account_id}",
        "UpdateAccountStatus",
        "Change an account's status",
        {"status": "ACCOUNT_STATUS_ON_HOLD"},
    ),
    _change(
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
    _read(
        "/accounts/{account_id}/balance",
        "GetBalance",
        "What is owed, now or at the end of a day",
        Query("asOf", "as_of"),
    ),
    _read(
        "/accounts/{account_id}/ledger-entries",
        "ListLedgerEntries",
        "An account's entries in the ledger, page by page",
        *PAGE,
        policy=READ,
    ),
    _read(
        "/accounts/{account_id}/statement",
        "GetStatement",
        "What happened on an account in a time",
        *PERIOD,
    ),
    _read(
        "/accounts/{account_id}/statement/document",
        "GetDocument",
        "The statement as HTML or PDF",
        *DOCUMENT,
        *PERIOD,
        answer="document",
    ),
)
CHARGES = (
    _read(
        "/accounts/{account_id}/charge-items",
        "ListChargeItems",
        "An account's charges, page by page",
        Query("status", "status", "CHARGE_ITEM_STATUS_"),
        *PAGE,
    ),
    _change(
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
    _change(
        "POST",
        "/charge-items/{charge_item_id}/void",
        "VoidChargeItem",
        "Void a charge that was not billed",
        {"reason": "entered for the wrong patient"},
    ),
    _read(
        "/prices",
        "ListPrices",
        "The price list, page by page",
        Query("code", "code"),
        Query("validOn", "valid_on"),
        *PAGE,
        policy=READ,
    ),
    _change(
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
    _read(
        "/accounts/{account_id}/invoices",
        "ListInvoices",
        "An account's invoices, page by page",
        Query("status", "status", "INVOICE_STATUS_"),
        *PAGE,
    ),
    _change(
        "POST",
        "/accounts/{account_id}/invoices",
        "CreateInvoice",
        "Draft an invoice; with dryRun only see what it would be",
        {"dryRun": True},
        location="/invoices/{invoice_id}",
    ),
    _read("/invoices/{invoice_id}", "GetInvoice", "Read an invoice"),
    _read(
        "/invoices/{invoice_id}/document",
        "GetDocument",
        "An issued invoice as HTML, as PDF/A-3 with its EN 16931 data, or as that data (XML)",
        *DOCUMENT,
        answer="document",
    ),
    _change(
        "POST",
        "/invoices/{invoice_id}/issue",
        "IssueInvoice",
        "Issue a draft: it gets its number and never changes again",
        {},
    ),
    _change(
        "POST",
        "/invoices/{invoice_id}/cancel",
        "CancelInvoice",
        "Discard a draft, or take an issued invoice back by a credit note",
        {"reason": "wrong payer"},
    ),
    _change(
        "POST",
        "/invoices/{invoice_id}/credit",
        "CreditInvoice",
        "Take a part of an issued invoice back by a credit note",
        {"amount": USD, "reason": "service not rendered"},
    ),
    _read(
        "/credit-notes/{credit_note_id}/document",
        "GetDocument",
        "A credit note as HTML, PDF/A-3 or XML",
        *DOCUMENT,
        answer="document",
    ),
    _read(
        "/reminders",
        "ListReminders",
        "Overdue invoices, the oldest first",
        Query("asOf", "as_of"),
        Query("minimumDaysOverdue", "minimum_days_overdue"),
        *PAGE,
        policy=READ,
    ),
    _change(
        "POST",
        "/invoices/{invoice_id}/write-off",
        "WriteOffInvoice",
        "Write off what will not be paid; above a limit it waits for a second person",
        {"amount": USD, "reason": "insolvent"},
        policy=APPROVE,
    ),
    _change(
        "POST",
        "/write-offs/{write_off_id}/approve",
        "ApproveWriteOff",
        "Approve another person's write-off",
        {},
        policy=APPROVE,
    ),
)
PAYMENTS = (
    _read(
        "/accounts/{account_id}/payments",
        "ListPayments",
        "An account's payments, page by page",
        *PAGE,
    ),
    _change(
        "POST",
        "/accounts/{account_id}/payments",
        "RecordPayment",
        "Record a payment; it pays the oldest invoices unless allocations name others",
        {"amount": USD, "method": "PAYMENT_METHOD_TRANSFER", "reference": "statement 7/2026"},
    ),
    _change(
        "POST",
        "/invoices/{invoice_id}/payments",
        "RecordPayment",
        "Record a payment of one invoice; what is left over is credit",
        {"amount": USD, "method": "PAYMENT_METHOD_CARD"},
    ),
    _read("/payments/{payment_id}", "GetPayment", "Read a payment"),
    _read(
        "/payments/{payment_id}/document",
        "GetDocument",
        "A payment's receipt as HTML or PDF",
        *DOCUMENT,
        answer="document",
    ),
    _change(
        "POST",
        "/payments/{payment_id}/refund",
        "RefundPayment",
        "Give back what was paid, in whole or in part",
        {"amount": USD, "reason": "paid twice"},
    ),
    _change(
        "POST",
        "/accounts/{account_id}/apply-credit",
        "ApplyCredit",
        "Pay open invoices from credit",
        {},
    ),
)
BOOKS = (
    _change(
        "POST",
        "/cash-days",
        "OpenCashDay",
        "Open the cash desk's day",
        {"desk": "front", "opening": USD},
        policy=APPROVE,
        location="/cash-days/{cash_day_id}",
    ),
    _read(
        "/cash-days/current", "GetCashDay", "Read the cash day that is not closed", policy=APPROVE
    ),
    _read("/cash-days/{cash_day_id}", "GetCashDay", "Read a cash day", policy=APPROVE),
    _change(
        "POST",
        "/cash-days/{cash_day_id}/count",
        "CountCashDay",
        "Enter what was counted",
        {"counted": USD},
        policy=APPROVE,
    ),
    _change(
        "POST",
        "/cash-days/{cash_day_id}/close",
        "CloseCashDay",
        "Close the day; its difference is posted",
        {},
        policy=APPROVE,
    ),
    _read(
        "/ledger/export",
        "ExportLedger",
        "The whole ledger as CSV or as a plain-text journal (beancount, hledger), page by page",
        Query("format", "format", "EXPORT_FORMAT_", required=True),
        *PAGE,
        policy=READ,
        answer="text",
    ),
    _read(
        "/ledger/reconciliation",
        "ReconcileLedger",
        "Check the books; an empty list of differences means that they are sound",
        policy=READ,
    ),
)
OUTBOX = (
    _read(
        "/outbox", "ListOutbox", "What waits to be published, and what was refused", policy=ADMIN
    ),
    _change(
        "POST",
        "/outbox/{row_id}/retry",
        "RetryOutboxRow",
        "Publish a refused event again",
        {},
        policy=ADMIN,
    ),
    _change(
        "POST",
        "/outbox/{row_id}/discard",
        "DiscardOutboxRow",
        "Delete a refused event for good",
        {},
        policy=ADMIN,
    ),
)
CONSUMER = (
    _read("/lag", "GetConsumerLag", "How far billing is behind the record's events", policy=ADMIN),
    _read(
        "/dead-letters",
        "ListDeadLetters",
        "The record's events that billing could not read",
        policy=ADMIN,
    ),
    _read(
        "/dead-letters/{dead_letter_id}",
        "GetDeadLetter",
        "One of them, with its record",
        policy=ADMIN,
    ),
    _change(
        "POST",
        "/dead-letters/{dead_letter_id}/redrive",
        "RedriveDeadLetter",
        "Send the record to its topic again",
        {},
        policy=ADMIN,
    ),
    _change(
        "POST",
        "/dead-letters/{dead_letter_id}/discard",
        "DiscardDeadLetter",
        "Take it off the list for good",
        {"reason": "sent by a test"},
        policy=ADMIN,
    ),
)
CALLS = (*ACCOUNTS, *CHARGES, *INVOICES, *PAYMENTS, *BOOKS, *OUTBOX, *CONSUMER)
