"""The calls of billing that the console makes, each beside the same call at the gateway."""

import asyncio
import base64
from typing import Any
from urllib.parse import quote

from apps.console.neighbours.api import Api
from apps.console.neighbours.calls import ApiError

BASE = "/billing/v1"
PAGE = 100
# Of a list that is shown a page at a time.
PAGE_SHOWN = 50
# Of one list: what a patient's account or the desk's open invoices can come to.
MOST_PAGES = 20
FORMATS = {
    "pdf": ("DOCUMENT_FORMAT_PDF", "application/pdf"),
    "xml": ("DOCUMENT_FORMAT_XML", "application/xml"),
}


async def find_account(api: Api, patient_id: str) -> dict[str, Any]:
    """Gives the account of a patient; it follows a registration within a second or two."""
    account: dict[str, Any] = await api.billing(
        "GetAccountByPatient",
        f"GET {BASE}/accounts?patient={patient_id}",
        {"patientId": patient_id},
    )
    return account


async def read_account(api: Api, account_id: str) -> dict[str, Any]:
    account: dict[str, Any] = await api.billing(
        "GetAccount", f"GET {BASE}/accounts/{account_id}", {"accountId": account_id}
    )
    return account


async def find_balance(api: Api, account_id: str) -> dict[str, Any]:
    balance: dict[str, Any] = await api.billing(
        "GetBalance", f"GET {BASE}/accounts/{account_id}/balance", {"accountId": account_id}
    )
    return balance


async def _page(
    api: Api,
    name: str,
    public: str,
    fields: dict[str, Any],
    element: str,
    *,
    token: str,
    size: int = PAGE,
) -> tuple[list[dict[str, Any]], str]:
    """Gives a page of a list of billing's, and the next page's token: empty after the last."""
    joint = "&" if "?" in public else "?"
    answer = await api.billing(
        name,
        f"GET {BASE}{public}{joint}pageSize={size}"
        + (f"&pageToken={quote(token)}" if token else ""),
        {**fields, "pageSize": size, "pageToken": token},
    )
    rows: list[dict[str, Any]] = answer[element]
    return rows, str(answer.get("nextPageToken", ""))


async def _pages(
    api: Api, name: str, public: str, fields: dict[str, Any], element: str
) -> list[dict[str, Any]]:
    """Gives all rows of a list of billing's, in its order, from up to MOST_PAGES pages."""
    found: list[dict[str, Any]] = []
    token = ""
    for _ in range(MOST_PAGES):
        rows, token = await _page(api, name, public, fields, element, token=token)
        found += rows
        if not token:
            break
    return found


async def _list_of(
    api: Api, name: str, path: str, account_id: str, element: str
) -> list[dict[str, Any]]:
    """Gives an account's items, newest first: billing lists them as they were made."""
    public = f"/accounts/{account_id}/{path}"
    return (await _pages(api, name, public, {"accountId": account_id}, element))[::-1]


async def find_charges(api: Api, account_id: str) -> list[dict[str, Any]]:
    return await _list_of(api, "ListChargeItems", "charge-items", account_id, "chargeItems")


async def find_invoices(api: Api, account_id: str) -> list[dict[str, Any]]:
    return await _list_of(api, "ListInvoices", "invoices", account_id, "invoices")


async def find_open_of_account(api: Api, account_id: str) -> list[dict[str, Any]]:
    """Gives an account's issued invoices that are not balanced, in the order of their due days,
    then of their numbers.
    """
    found = await _pages(
        api,
        "ListInvoices",
        f"/accounts/{account_id}/invoices?status=issued",
        {"accountId": account_id, "status": "INVOICE_STATUS_ISSUED"},
        "invoices",
    )
    return sorted(found, key=lambda each: (each.get("dueOn", ""), each["number"]))


async def find_payments(api: Api, account_id: str) -> list[dict[str, Any]]:
    return await _list_of(api, "ListPayments", "payments", account_id, "payments")


async def find_prices(api: Api, valid_on: str) -> list[dict[str, Any]]:
    """Gives the price list of a day."""
    public = f"/prices?validOn={valid_on}"
    return await _pages(api, "ListPrices", public, {"validOn": valid_on}, "prices")


async def read_invoice(api: Api, invoice_id: str) -> dict[str, Any]:
    invoice: dict[str, Any] = await api.billing(
        "GetInvoice", f"GET {BASE}/invoices/{invoice_id}", {"invoiceId": invoice_id}
    )
    return invoice


async def find_statement(
    api: Api, account_id: str, start: str = "", end: str = ""
) -> dict[str, Any]:
    statement: dict[str, Any] = await api.billing(
        "GetStatement",
        f"GET {BASE}/accounts/{account_id}/statement?from={start}&to={end}",
        {"accountId": account_id, "from": start, "to": end},
    )
    return statement


async def find_open_invoices(api: Api, until: str) -> list[dict[str, Any]]:
    """Gives the open invoices due up to a day, the oldest first; the first PAGE with their
    patients' ids.
    """
    public = f"/reminders?asOf={until}"
    invoices = await _pages(api, "ListReminders", public, {"asOf": until}, "reminders")
    await add_patient_ids(api, invoices)
    return invoices


async def add_patient_ids(api: Api, invoices: list[dict[str, Any]]) -> None:
    """Adds `patientId` to invoices: that of the first PAGE, empty for the others."""
    wanted = sorted({each["accountId"] for each in invoices[:PAGE]})
    accounts = await asyncio.gather(
        *(read_account(api, each) for each in wanted), return_exceptions=True
    )
    patients = {each["accountId"]: each["patientId"] for each in accounts if isinstance(each, dict)}
    for invoice in invoices:
        invoice["patientId"] = patients.get(invoice["accountId"], "")


async def find_reminders(api: Api, days: int, token: str) -> tuple[list[dict[str, Any]], str]:
    """Gives a page of the invoices that are overdue for so many days, the oldest first, with their
    patients' ids; and the next page's token.
    """
    fields = {"minimumDaysOverdue": days}
    public = f"/reminders?minimumDaysOverdue={days}"
    found, older = await _page(
        api, "ListReminders", public, fields, "reminders", token=token, size=PAGE_SHOWN
    )
    await add_patient_ids(api, found)
    return found, older


async def find_write_offs(api: Api, token: str, size: int) -> tuple[list[dict[str, Any]], str]:
    """Gives a page of the write-offs that wait for a decision, the oldest first; and the next
    page's token.
    """
    fields = {"status": "WRITE_OFF_STATUS_PENDING"}
    return await _page(
        api,
        "ListWriteOffs",
        "/write-offs?status=pending",
        fields,
        "writeOffs",
        token=token,
        size=size,
    )


async def read_document(
    api: Api, public: str, kind: str, fields: dict[str, Any]
) -> tuple[str, str, bytes]:
    """Gives media type, file name and content of an invoice, a receipt or a statement."""
    if kind not in FORMATS:
        raise ApiError(404, "not_found", "billing")
    name, media_type = FORMATS[kind]
    answer = await api.billing(
        "GetDocument", f"GET {BASE}{public}?format={kind}", {**fields, "format": name}
    )
    content = base64.b64decode(answer["content"])
    return answer.get("mediaType") or media_type, answer.get("fileName") or kind, content
