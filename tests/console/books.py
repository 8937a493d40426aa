"""Billing with one account, and the requests that a person's forms make."""

import re
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

from starlette.requests import Request
from starlette.responses import Response

from apps.catalogue import SERVICES
from apps.console.neighbours.calls import Answer, ApiError
from apps.console.web.people import Form
from apps.console.web.texts import choose_texts
from tests.test_architecture import local_environment, settings_of

EN, ES, MX = (choose_texts("", each, ZoneInfo("UTC")) for each in ("en-US", "es-ES", "es-MX"))
TOO_LONG = "9" * 5000
PATIENT = "/patients/p"


def usd(units: int) -> dict[str, str]:
    return {"minorUnits": str(units), "currency": "USD"}


INVOICE = {
    "invoiceId": "i",
    "accountId": "a",
    "number": "2026-000001",
    "status": "INVOICE_STATUS_ISSUED",
    "dueOn": "2026-11-01",
    "total": usd(12_500),
    "open": usd(12_500),
    "lines": [{"line": 1, "total": usd(12_500), "description": "Visit"}],
    "creditNotes": [],
    "version": "1",
}
COVERAGE = {"coverageId": "", "payerId": "x", "payerName": "Sun", "share": "COVERAGE_SHARE_FIXED"}
PAYMENT = {"paymentId": "pay", "amount": usd(100), "receivedAt": "2026-11-29T09:00:00Z"}
ANSWERS: dict[str, dict[str, Any]] = {
    "GetAccountByPatient": {
        "accountId": "a",
        "patientId": "p",
        "currency": "USD",
        "version": "1",
        "coverages": [{**COVERAGE, "amount": usd(100)} for _ in range(3)],
    },
    "GetBalance": {"due": usd(1), "receivable": usd(1), "credit": usd(1)},
    "GetInvoice": INVOICE,
    "ListInvoices": {"invoices": [INVOICE]},
    "ListPayments": {"payments": [{**PAYMENT, "paymentId": each} for each in ("pay", "other")]},
    "ListChargeItems": {"chargeItems": []},
    "ListPrices": {"prices": []},
    "ListReminders": {"reminders": []},
}


class Books:
    """Billing with one account: it answers what is read, and refuses or takes a change."""

    def __init__(self, waiting: int = 3, refusal: ApiError | None = None) -> None:
        self.calls: list[Any] = []
        self.asked: list[tuple[str, dict[str, Any], str]] = []
        self.waiting = waiting
        self.refusal = refusal

    async def billing(
        self, name: str, public: str, fields: dict[str, Any], *, key: str = ""
    ) -> dict[str, Any]:
        self.asked.append((name, fields, key))
        if name == "ListWriteOffs":
            begin = int(fields["pageToken"] or 0)
            end = min(begin + fields["pageSize"], self.waiting)
            row = {"patientId": "", "invoiceNumber": "n", "amount": usd(1), "requestedBy": ""}
            rows = [{**row, "writeOffId": f"w{each}"} for each in range(begin, end)]
            return {"writeOffs": rows, "nextPageToken": str(end) if end < self.waiting else ""}
        if name == "GetCashDay":
            raise ApiError(404, "not_found", "billing")
        if name in ANSWERS:
            return ANSWERS[name]
        if self.refusal:
            raise self.refusal
        return {"status": "WRITE_OFF_STATUS_POSTED"}

    async def search(self, *_: Any, **__: Any) -> dict[str, Any]:
        return {}

    async def get(self, *_: Any) -> Answer:
        return Answer(status=200, body={"items": []}, headers={})

    def names(self) -> list[str]:
        return [name for name, _, _ in self.asked]


def sent(
    path: str, form: dict[str, str] | None = None, *, api: Any = None, query: str = "", **parts: str
) -> Request:
    """Makes the request of a signed-in person: a form where there is one."""
    person = SimpleNamespace(
        api=api or Books(),
        texts=EN,
        csrf="",
        name="",
        is_patient=False,
        principal=SimpleNamespace(subject="me"),
        has=lambda *_: True,
        may=lambda *_: False,
    )
    settings: Any = settings_of(SERVICES["console"], local_environment(SERVICES["console"]))
    state: dict[str, Any] = {"settings": settings, "person": person}
    if form is not None:
        state["form"] = Form(list(form.items()))
    scope: dict[str, Any] = {
        "type": "http",
        "method": "GET" if form is None else "POST",
        "path": path,
        "query_string": query.encode(),
        "headers": [],
        "state": state,
        "path_params": {"id": "p", **parts},
    }
    return Request(scope)


def text_of(response: Response) -> str:
    return bytes(response.body).decode()


def keys_of(page: str) -> dict[str, str]:
    """Gives the key of each form by its path."""
    pattern = r'<form method="post" action="([^"?]*)[^>]*>.*?</form>'
    return {
        match[1]: key[1]
        for match in re.finditer(pattern, page, re.S)
        if (key := re.search('name="key" value="([^"]*)"', match[0]))
    }
