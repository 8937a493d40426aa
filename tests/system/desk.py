"""The front desk, by HTTP, and what a person's Bundle costs, counted by nobody's code
but this file's.
"""

import csv
import gzip
import io
import json
import os
import uuid
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.system.platform import Platform, until

ROOT = Path(__file__).parents[2]
PRICES = ROOT / "apps/billing/prices/price_list.csv"
PEOPLE = ROOT / "apps/client/people"
# A folder of Synthea's Bundles (`.json`, `.json.gz`) to count as well.
SYNTHEA_DIR = "SYNTHEA_DIR"
# What is charged, counted here by nobody's code but this file's.
CODES = {"Encounter": "type", "Procedure": "code", "Immunization": "vaccineCode"}
DONE = {"Encounter": "finished", "Procedure": "completed", "Immunization": "completed"}


def files() -> Sequence[Path]:
    """The Bundles to count: the shipped people's, and those of SYNTHEA_DIR."""
    folder = os.environ.get(SYNTHEA_DIR)
    more = sorted(Path(folder).glob("*.json*")) if folder else []
    return [*sorted(PEOPLE.glob("*.json")), *more]


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
            concept = resource.get(CODES[kind], {})
            codings = (concept[0] if isinstance(concept, list) else concept).get("coding")
            coding = codings[0] if codings else resource["class"]
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
        """Loads a Bundle; the id of its patient's account, once it is there."""
        patient_id = await self.post(bundle)

        async def has_account() -> bool:
            return (await self.platform.account_of(patient_id)).status == 200

        await until(has_account)
        account = await self.ask("GET", f"/accounts?patient={patient_id}")
        return str(account["accountId"])

    async def post(self, bundle: dict[str, Any]) -> str:
        """Loads a Bundle; the id of its patient."""
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
        return str(patient_id)

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
