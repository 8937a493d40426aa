"""A person's bill through the whole platform: from the record's events to the statement
and the figures.
"""

import asyncio
import json
import os
import secrets
import subprocess
import sys
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from apps.kit.rpc import call_metadata, open_channel
from protos.billing.v1 import billing_pb2 as pb
from protos.billing.v1.billing_pb2_grpc import BillingStub
from tests.system.desk import PEOPLE, ROOT, Desk, cents, expected_charges, files, read_bundle, usd
from tests.system.platform import Platform, until, variable

pytestmark = pytest.mark.system


@pytest.fixture
async def desk(platform: Platform) -> Desk:
    return Desk(platform, await platform.user_token())


@pytest.mark.parametrize("path", files(), ids=[path.name for path in files()])
async def test_every_chargeable_resource_is_charged_once_at_its_price(
    desk: Desk, path: Path
) -> None:
    bundle = read_bundle(path)
    account_id = await desk.load(bundle)
    await desk.is_charged(account_id, expected_charges(bundle))


async def test_person_is_billed_pays_in_parts_and_the_figures_agree(
    platform: Platform, desk: Desk
) -> None:
    bundle = read_bundle(PEOPLE / "person-1.json")
    before, open_before = await settled_figures(platform), await aging(platform)
    account_id = await desk.load(bundle)
    expected = expected_charges(bundle)
    await desk.is_charged(account_id, expected)
    total = sum(price * count for (_, price), count in expected.items())

    preview = await desk.ask("POST", f"/accounts/{account_id}/invoices", 201, dryRun=True)
    assert cents(preview["total"]) == total
    first = await desk.invoice(account_id)
    assert (cents(first["total"]), first["status"]) == (total, "INVOICE_STATUS_ISSUED")
    assert first["number"].split("-")[1].isdigit()
    await read_documents(platform, desk, first)

    await desk.ask(
        "POST",
        f"/invoices/{first['invoiceId']}/payments",
        amount=usd(total - 1_000),
        method="PAYMENT_METHOD_CARD",
    )
    await desk.charge(account_id, 2_000)
    second = await desk.invoice(account_id)
    rest = await desk.ask(
        "POST",
        f"/accounts/{account_id}/payments",
        amount=usd(3_500),
        method="PAYMENT_METHOD_TRANSFER",
    )
    assert [cents(part["amount"]) for part in rest["allocations"]] == [1_000, 2_000]
    assert cents(rest["unallocated"]) == 500

    await desk.charge(account_id, 800)
    third = await desk.invoice(account_id)
    applied = await desk.ask("POST", f"/accounts/{account_id}/apply-credit")
    assert cents(applied["creditLeft"]) == 0
    assert await desk.due(account_id) == 300
    await desk.ask(
        "POST", f"/payments/{rest['paymentId']}/refund", amount=usd(200), reason="goodwill"
    )
    assert await desk.due(account_id) == 500

    statement = await desk.ask("GET", f"/accounts/{account_id}/statement")
    assert cents(statement["closing"]) == 500
    assert [line["kind"] for line in statement["lines"]] == [
        *("invoice", "payment", "invoice", "payment", "invoice", "credit_applied", "refund")
    ]
    opens = {
        invoice["invoiceId"]: cents(invoice["open"])
        for invoice in (await desk.ask("GET", f"/accounts/{account_id}/invoices"))["invoices"]
    }
    assert opens == {
        first["invoiceId"]: 0,
        second["invoiceId"]: 0,
        third["invoiceId"]: 500,
    }
    sound = await desk.ask("GET", "/ledger/reconciliation")
    assert sound["differences"] == []
    await ask_by_grpc(platform, desk, account_id)

    billed = total + 2_000 + 800
    news = Counter(charged=billed, invoiced=billed, paid=total - 1_000 + 3_500, refunded=200)

    async def agree() -> bool:
        return await figures(platform) == before + news

    await until(agree, limit_seconds=30)
    # The third invoice is not due yet; nothing else of this person is open.
    opened = Counter(await aging(platform))
    opened.subtract(open_before)
    assert {age: amount for age, amount in opened.items() if amount} == {"not_due": 500}

    if "PLATFORM_PIDS" in os.environ:
        shown = [await answer_of(platform, path) for path in FIGURES]
        operate("figures", "rebuild")
        assert [await answer_of(platform, path) for path in FIGURES] == shown
        assert json.loads(operate("reconcile", "--json")) == []


FIGURES = ("billing", "billing/revenue", "billing/payment-days", "billing/cancellations", "aging")


def operate(*words: str) -> str:
    """What `scripts/operate local` prints."""
    done = subprocess.run(
        [sys.executable, "-m", "infrastructure.operate", "local", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


async def answer_of(platform: Platform, path: str) -> Any:
    response = await platform.call(
        "GET", f"/analytics/v1/{path}", token=await platform.client_token()
    )
    assert response.status == 200, response.body
    return response.body


async def aging(platform: Platform) -> dict[str, int]:
    """What is open on invoices by age, in cents of USD."""
    ages = (await answer_of(platform, "aging"))["ages"]
    return {each["age"]: each["amount"] for each in ages if each["currency"] == "USD"}


async def figures(platform: Platform) -> Counter[str]:
    """What analytics counted in all, in cents of USD."""
    sums: Counter[str] = Counter()
    for point in (await answer_of(platform, "billing"))["points"]:
        if point["currency"] == "USD":
            for name in ("charged", "invoiced", "paid", "refunded"):
                sums[name] += int(point[name])
    return sums


async def settled_figures(platform: Platform) -> Counter[str]:
    """The figures once they stand still: what other tests billed is still being counted."""
    seen = [await figures(platform)]

    async def stands_still() -> bool:
        await asyncio.sleep(1)
        seen.append(await figures(platform))
        return seen[-1] == seen[-2]

    await until(stands_still, limit_seconds=60)
    return seen[-1]


async def read_documents(platform: Platform, desk: Desk, invoice: dict[str, Any]) -> None:
    """The invoice as HTML and as PDF: the same number and total, and the e-invoice inside."""
    from pypdf import PdfReader

    path = f"/billing/v1/invoices/{invoice['invoiceId']}/document"
    headers = {"Authorization": f"Bearer {desk.token}"}
    async with aiohttp.ClientSession(platform.urls["gateway"], headers=headers) as session:
        async with session.get(f"{path}?format=html") as answer:
            assert answer.status == 200
            page = await answer.text()
        async with session.get(f"{path}?format=pdf") as answer:
            assert (answer.status, answer.content_type) == (200, "application/pdf")
            pdf = await answer.read()
    file = Path(os.environ.get("TMPDIR", "/tmp")) / f"invoice-{secrets.token_hex(4)}.pdf"
    file.write_bytes(pdf)
    try:
        reader = PdfReader(file)
        text = "".join(sheet.extract_text() for sheet in reader.pages)
        assert "factur-x.xml" in reader.attachments
    finally:
        file.unlink()
    total = f"${cents(invoice['total']) / 100:,.2f}"
    for shown in (page, text):
        assert invoice["number"] in shown
        assert total in shown


async def ask_by_grpc(platform: Platform, desk: Desk, account_id: str) -> None:
    """The same books by gRPC, as the gateway asks."""
    service_token = await platform.service_token("gateway", "billing")
    async with open_channel(variable("BILLING_TARGET")) as channel:
        stub: Any = BillingStub(channel)
        balance = await stub.GetBalance(
            pb.GetBalanceRequest(account_id=account_id),
            timeout=5,
            metadata=call_metadata(service_token, desk.token),
        )
    assert balance.due.minor_units == await desk.due(account_id)


async def test_nothing_of_billing_answers_not_implemented(platform: Platform, desk: Desk) -> None:
    document = (await platform.call("GET", "/openapi.json")).body
    nowhere = str(uuid.uuid4())
    for path, operations in document["paths"].items():
        if not path.startswith("/billing/v1/"):
            continue
        for method in operations:
            filled = path
            for name in ("account_id", "charge_item_id", "invoice_id", "credit_note_id"):
                filled = filled.replace(f"{{{name}}}", nowhere)
            for name in ("payment_id", "write_off_id", "cash_day_id"):
                filled = filled.replace(f"{{{name}}}", nowhere)
            options: dict[str, Any] = {} if method == "get" else {"json": {}}
            response = await platform.call(method.upper(), filled, token=desk.token, **options)
            assert response.status < 500, (method, path, response.body)
