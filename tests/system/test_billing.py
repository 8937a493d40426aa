"""A person's bill through the whole platform: from the record's events to the statement and the figures."""

import asyncio
import csv
import gzip
import io
import json
import os
import secrets
import uuid
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from apps.kit.rpc import call_metadata, open_channel
from protos.billing.v1 import billing_pb2 as pb
from protos.billing.v1.billing_pb2_grpc import BillingStub
from tests.system.platform import Platform, until, variable

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
PRICES = ROOT / "apps/billing/prices/price_list.csv"
PEOPLE = ROOT / "apps/client/people"
# A folder of Synthea's Bundles (`.json`, `.json.gz`) to count as well.
SYNTHEA_DIR = "SYNTHEA_DIR"
# What is charged, counted here by nobody's code but this file's.
CODES = {"Encounter": "type", "Procedure": "code", "Immunization": "vaccineCode"}
DONE = {"Encounter": "finished", "Procedure": "completed", "Immunization": "completed"}


def read_bundle(path: Path) -> dict[str, Any]:
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    bundle: dict[str, Any] = json.loads(content)
    return bundle


def expected_charges(bundle: dict[str, Any]) -> Counter[tuple[str, int]]:
    """Codes and prices in cents of what the Bundle's resources cost by the shipped list."""
    with PRICES.open() as file:
        prices = {
            (row["system"], row["code"]): int(Decimal(row["unit_price"]) * 100)
            for row in csv.DictReader(file)
        }
    charges: Counter[tuple[str, int]] = Counter()
    for entry in bundle["entry"]:
        resource = entry["resource"]
        kind = resource["resourceType"]
        if kind in CODES and resource["status"] == DONE[kind]:
            concept = resource[CODES[kind]]
            coding = (concept[0] if isinstance(concept, list) else concept)["coding"][0]
            charges[coding["code"], prices[coding["system"], coding["code"]]] += 1
    return charges


def anew(bundle: dict[str, Any]) -> dict[str, Any]:
    """The same person once more, without the people and places that other Bundles hold."""
    copy: dict[str, Any] = json.loads(json.dumps(bundle), object_hook=without_elsewhere)
    for entry in copy["entry"]:
        entry["request"].pop("ifNoneExist", None)
        if entry["resource"]["resourceType"] == "Patient":
            entry["resource"]["identifier"] = [
                {"system": "urn:system-test", "value": str(uuid.uuid4())}
            ]
    return copy


def without_elsewhere(value: dict[str, Any]) -> dict[str, Any]:
    """A conditional reference (`Practitioner?identifier=...`) as its display alone."""
    if "?" in str(value.get("reference", "")):
        return {"display": value.get("display", "elsewhere")}
    return value


class Desk:
    """The front desk, by HTTP."""

    def __init__(self, platform: Platform, token: str) -> None:
        self.platform = platform
        self.token = token

    async def ask(self, verb: str, path: str, status: int = 200, /, **body: Any) -> Any:
        options: dict[str, Any] = {"json": body} if verb != "GET" else {}
        response = await self.platform.call(verb, f"/billing/v1{path}", token=self.token, **options)
        assert response.status == status, response.body
        return response.body

    async def load(self, bundle: dict[str, Any]) -> str:
        """Loads a Bundle; the id of its patient's account, once everything of it is charged."""
        token = await self.platform.client_token()
        response = await self.platform.call(
            "POST",
            "/fhir/R4",
            token=token,
            data=io.BytesIO(json.dumps(anew(bundle)).encode()),
            headers={"Content-Type": "application/fhir+json"},
        )
        assert response.status == 200, response.body
        (patient_id,) = {
            entry["response"]["location"].split("Patient/")[1].split("/")[0]
            for entry in response.body["entry"]
            if "Patient/" in entry["response"]["location"]
        }

        async def has_account() -> bool:
            return (await self.platform.account_of(patient_id)).status == 200

        await until(has_account)
        account = await self.ask("GET", f"/accounts?patient={patient_id}")
        return str(account["accountId"])

    async def charges(self, account_id: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        token = ""
        while True:
            page = await self.ask(
                "GET", f"/accounts/{account_id}/charge-items?pageSize=100&pageToken={token}"
            )
            items += page["chargeItems"]
            token = page["nextPageToken"]
            if not token:
                return items

    async def is_charged(self, account_id: str, expected: Counter[tuple[str, int]]) -> None:
        async def arrived() -> bool:
            return len(await self.charges(account_id)) >= expected.total()

        await until(arrived, limit_seconds=30)
        items = await self.charges(account_id)
        assert Counter((item["code"], cents(item["unitPrice"])) for item in items) == expected

    async def charge(self, account_id: str, amount: int) -> None:
        await self.ask(
            "POST",
            f"/accounts/{account_id}/charge-items",
            code="own",
            description="By hand",
            unitPrice=usd(amount),
        )

    async def invoice(self, account_id: str) -> Any:
        draft = await self.ask("POST", f"/accounts/{account_id}/invoices", 201)
        return await self.ask("POST", f"/invoices/{draft['invoiceId']}/issue")

    async def due(self, account_id: str) -> int:
        return cents((await self.ask("GET", f"/accounts/{account_id}/balance"))["due"])


def usd(amount: int) -> dict[str, str]:
    return {"minorUnits": str(amount), "currency": "USD"}


def cents(money: dict[str, str]) -> int:
    assert money["currency"] == "USD"
    return int(money["minorUnits"])


@pytest.fixture
async def desk(platform: Platform) -> Desk:
    return Desk(platform, await platform.user_token())


def files() -> Sequence[Path]:
    folder = os.environ.get(SYNTHEA_DIR)
    more = sorted(Path(folder).glob("*.json*")) if folder else []
    return [*sorted(PEOPLE.glob("*.json")), *more]


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
    before = await settled_figures(platform)
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


async def figures(platform: Platform) -> Counter[str]:
    """What analytics counted in all, in cents of USD."""
    response = await platform.call(
        "GET", "/analytics/v1/billing", token=await platform.client_token()
    )
    assert response.status == 200, response.body
    sums: Counter[str] = Counter()
    for point in response.body["points"]:
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
