"""What people type into the forms of money is refused at its field and kept, or taken once: a form
that is sent again is the same form.
"""

import re
from dataclasses import replace
from typing import Any

import pytest
from starlette.requests import Request

from apps.catalogue import SERVICES
from apps.console.neighbours.api import Api, Neighbours
from apps.console.neighbours.billing import Billing
from apps.console.neighbours.calls import ApiError
from apps.console.screens import operations
from apps.console.screens.money import (
    account,
    allocation,
    cash_desk,
    charges,
    corrections,
    coverages,
    payments,
    reminders,
    write_offs,
)
from apps.console.screens.money.account import not_an_amount
from apps.console.settings import Settings
from apps.kit.errors import NotFound
from apps.kit.settings import SettingsError
from tests.console.books import (
    ANSWERS,
    EN,
    INVOICE,
    PATIENT,
    TOO_LONG,
    Books,
    keys_of,
    sent,
    text_of,
    usd,
)
from tests.test_architecture import local_environment


@pytest.fixture(autouse=True)
def _without_banner(monkeypatch: pytest.MonkeyPatch) -> None:
    async def banner(_: Request) -> dict[str, Any]:
        return {"patient": {}, "base": PATIENT, "tabs": []}

    for screen in (account, allocation, corrections, coverages):
        monkeypatch.setattr(screen, "load_banner", banner)


async def test_write_off_offers_what_is_open() -> None:
    request = sent(f"{PATIENT}/money/invoices/i/write-off", invoice="i")
    assert 'name="amount" type="text" value="125.00"' in text_of(
        await corrections.show_write_off(request)
    )


@pytest.mark.parametrize("amount", ["1,000", "1.000", "100000000000000000000", TOO_LONG])
@pytest.mark.parametrize(
    ("screen", "path", "field", "form"),
    [
        (payments.pay, "/payments", "amount", {"method": "PAYMENT_METHOD_CARD"}),
        (payments.refund, "/payments/pay/refund", "refund_amount", {"reason": "r"}),
        (charges.add_charge, "/charges", "price", {"code": "s|c"}),
        (allocation.allocate, "/allocate", "amount", {"method": "PAYMENT_METHOD_CARD"}),
        (allocation.allocate, "/allocate", "part-i", {"method": "PAYMENT_METHOD_CARD"}),
        (corrections.credit, "/invoices/i/credit", "amount", {"reason": "r"}),
        (corrections.credit, "/invoices/i/credit", "line-1", {"reason": "r"}),
        (corrections.write_off, "/invoices/i/write-off", "amount", {"reason": "r"}),
        (coverages.add, "/coverages", "amount", {"payer": "x", "share": coverages.FIXED}),
    ],
)
async def test_form_refuses_what_is_no_amount_and_keeps_it(
    screen: Any, path: str, field: str, form: dict[str, str], amount: str
) -> None:
    books = Books()
    form = {**form, field: amount, "version": "1"}
    request = sent(f"{PATIENT}/money{path}", form, api=books, payment="pay", invoice="i")
    answer = await screen(request)
    assert answer.status_code == 422
    assert f'id="{field}"' in text_of(answer)
    assert f'value="{amount}"' in text_of(answer)
    assert not_an_amount(EN, "USD") in text_of(answer)
    assert not [name for name in books.names() if not name.startswith(("Get", "List"))]


@pytest.mark.parametrize("amount", ["1,000", TOO_LONG])
async def test_cash_is_no_other_amount(amount: str) -> None:
    form = {"action": "open", "cash": amount}
    answer = await cash_desk.change_day(sent("/cash-desk/day", form))
    assert answer.status_code == 422
    assert f'value="{amount}"' in text_of(answer)


async def test_cash_is_counted_in_the_currency_of_the_clinic() -> None:
    books = Books()
    request = sent("/cash-desk/day", {"action": "open", "cash": "1000"}, api=books)
    request.state.settings = replace(request.state.settings, currency="JPY")
    await cash_desk.change_day(request)
    assert books.asked[-1][1]["opening"] == {"minorUnits": "1000", "currency": "JPY"}
    environ = {**local_environment(SERVICES["console"]), "BILLING_CURRENCY": "XXY"}
    with pytest.raises(SettingsError, match="BILLING_CURRENCY"):
        Settings.from_environment(environ)


@pytest.mark.parametrize(
    ("screen", "field", "value", "form"),
    [
        (charges.add_charge, "quantity", "1,000", {"code": "s|c"}),
        (charges.add_charge, "quantity", TOO_LONG, {"code": "s|c"}),
        (coverages.add, "percent", "9e999999", {"payer": "x", "share": coverages.PERCENT}),
        (coverages.add, "percent", "1,000", {"payer": "x", "share": coverages.PERCENT}),
        (coverages.add, "percent", TOO_LONG, {"payer": "x", "share": coverages.PERCENT}),
    ],
)
async def test_number_of_a_form_is_no_other_one(
    screen: Any, field: str, value: str, form: dict[str, str]
) -> None:
    answer = await screen(sent(f"{PATIENT}/money", {**form, field: value, "version": "1"}))
    assert answer.status_code == 422
    assert f'value="{value}"' in text_of(answer)
    assert f'id="{field}-fault"' in text_of(answer)


@pytest.mark.parametrize("version", ["²", TOO_LONG, "x"])
async def test_forced_version_of_an_invoice_is_not_passed_on(version: str) -> None:
    books = Books()
    form = {"amount": "1", "reason": "r", "version": version}
    request = sent(f"{PATIENT}/money/invoices/i/credit", form, api=books, invoice="i")
    answer = await corrections.credit(request)
    assert answer.status_code == 303
    assert "expectedVersion" not in books.asked[-1][1]


@pytest.mark.parametrize("days", [TOO_LONG, "²", "2", "x", ""])
async def test_unknown_days_of_reminders_are_the_first_level(days: str) -> None:
    books = Books()
    request = sent("/reminders", api=books, query=f"days={days}")
    assert (await reminders.show(request)).status_code == 200
    assert books.asked[0][1]["minimumDaysOverdue"] == 1


async def test_levels_of_reminders_say_from_when() -> None:
    page = text_of(await reminders.show(sent("/reminders", query="days=31")))
    assert '<option value="31" selected>Second reminder: from 31 days overdue<' in page


@pytest.mark.parametrize("number", [TOO_LONG, "²", "3", "-1", "01"])
async def test_row_that_is_not_there_is_not_found(number: str) -> None:
    with pytest.raises(NotFound):
        await coverages.end(sent("/", {}, position=number))


@pytest.mark.parametrize("row", [TOO_LONG, "²"])
async def test_row_of_an_outbox_that_is_no_number_is_not_found(row: str) -> None:
    with pytest.raises(NotFound):
        await operations.settle_row(sent("/", {"action": "retry"}, service="patient", row=row))


@pytest.mark.parametrize(
    "fields", [{"expectedVersion": "²"}, {"amount": usd(10**20)}, {"expectedVersion": TOO_LONG}]
)
async def test_field_that_no_message_holds_is_a_bad_request(fields: dict[str, Any]) -> None:
    nothing: Any = None
    neighbours = Neighbours(nothing, {}, Billing(nothing, nothing))
    with pytest.raises(ApiError) as caught:
        await Api(neighbours, "", "en").billing("CreditInvoice", "POST /x", fields)
    assert (caught.value.status, caught.value.code) == (400, "invalid_message")
    assert len(caught.value.sentences[0]) <= 200


@pytest.mark.parametrize(("status", "shown"), [(400, 422), (503, 503)])
@pytest.mark.parametrize(
    ("screen", "path", "form"),
    [
        (write_offs.refuse, "/write-offs/w1/refuse", {"reason": "Not agreed"}),
        (write_offs.approve, "/write-offs/w1/approve", {}),
        (payments.refund, f"{PATIENT}/money/payments/pay/refund", {"refund_amount": "1.5"}),
        (coverages.end, f"{PATIENT}/money/coverages/1/end", {"end-1": "2026-12-01"}),
        (
            coverages.add,
            f"{PATIENT}/money/coverages",
            {"payer": "x", "share": coverages.PERCENT, "percent": "12.5"},
        ),
    ],
)
async def test_only_the_form_that_was_sent_keeps_its_key(
    screen: Any, path: str, form: dict[str, str], status: int, shown: int
) -> None:
    books = Books(refusal=ApiError(status, "refused", "billing"))
    given = {**form, "version": "1", "key": "the-key"}
    parts = {"write_off": "w1", "payment": "pay", "position": "1"}
    answer = await screen(sent(path, given, api=books, **parts))
    page = text_of(answer)
    assert answer.status_code == shown
    assert books.asked[-1][2] == "the-key" or "the-key" in [key for _, _, key in books.asked]
    keys = keys_of(page)
    assert len(keys) > 2
    assert keys.pop(path) == "the-key"
    assert len(set(keys.values())) == len(keys)
    assert {len(each) for each in keys.values()} == {36}
    for value in form.values():
        assert f'value="{value}"' in page


async def test_waiting_write_offs_are_shown_page_by_page() -> None:
    books = Books(waiting=120)
    seen: list[str] = []
    query = ""
    for _ in range(3):
        page = text_of(await write_offs.show(sent("/write-offs", api=books, query=query)))
        seen += [path.split("/")[2] for path in keys_of(page) if path.endswith("/refuse")]
        found = re.search(r'href="/write-offs\?([^"]*)"', page)
        query = found[1] if found else ""
    assert seen == [f"w{each}" for each in range(120)]
    assert not query


async def test_refused_decision_shows_its_own_page() -> None:
    books = Books(waiting=120)
    page = text_of(await write_offs.show(sent("/write-offs", api=books, query="page=100")))
    assert 'action="/write-offs/w101/refuse?page=100"' in page
    request = sent("/write-offs/w101/refuse", {}, api=books, query="page=100", write_off="w101")
    page = text_of(await write_offs.refuse(request))
    assert 'id="reason-w101-fault"' in page


@pytest.mark.parametrize(("waiting", "shown"), [(0, "0"), (100, "100"), (101, "100+")])
async def test_desk_counts_waiting_write_offs_by_one_page(waiting: int, shown: str) -> None:
    books = Books(waiting=waiting)
    page = text_of(await cash_desk.show(sent("/cash-desk", api=books)))
    assert f'<p class="figure">{shown}</p>' in page
    assert books.names().count("ListWriteOffs") == 1


async def test_invoices_of_a_divided_payment_stand_by_due_day(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dues = [("3", "2026-11-02"), ("2", "2026-11-01"), ("1", "2026-11-02")]
    rows = [
        {**INVOICE, "invoiceId": f"i{number}", "number": f"2026-00000{number}", "dueOn": due}
        for number, due in dues
    ]
    monkeypatch.setitem(ANSWERS, "ListInvoices", {"invoices": rows})
    page = text_of(await allocation.show(sent(f"{PATIENT}/money/allocate")))
    assert re.findall('id="part-([^"]*)"', page) == ["i2", "i1", "i3"]
