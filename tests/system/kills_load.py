"""The load under which processes are killed: patients whose services are recorded, withdrawn,
billed and paid.

Each request is repeated until it is answered, so that in the end what was answered must stand, and
nothing twice.
"""

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from apps.client.client import Client, Response
from apps.kit.context import new_id

SERVICE_CODE = {"system": "urn:kills", "code": "service"}
PRICE = 1_000
CALL_SECONDS = 20.0
RETRIED = (401, 404, 409, 429, 500, 502, 503, 504)
GONE = (aiohttp.ClientError, TimeoutError, OSError)


@dataclass
class Desk:
    """A front desk that repeats each request, under one key, until there is an answer."""

    client: Client
    token: str = ""

    async def send(self, method: str, path: str, **options: Any) -> Response | None:
        """Sends once; None where there was no answer that can be used."""
        try:
            async with asyncio.timeout(CALL_SECONDS):
                if not self.token:
                    answer = await self.client.request_token()
                    self.token = answer.body["access_token"] if answer.status == 200 else ""
                response = await self.client.send(method, path, token=self.token, **options)
        except GONE:
            return None
        if response.status == 401:
            self.token = ""
        return None if response.status in RETRIED else response

    async def insist(self, method: str, path: str, **options: Any) -> Any:
        headers = {"Idempotency-Key": new_id(), **options.pop("headers", {})}
        while True:
            response = await self.send(method, path, headers=headers, **options)
            if response is not None:
                if response.status >= 400:
                    raise AssertionError(f"{method} {path}: {response.status} {response.body}")
                return response.body
            await asyncio.sleep(0.1)

    async def store(self, resource: dict[str, Any]) -> None:
        """Creates or updates under an id of ours: repeated it is the same."""
        path = f"/fhir/R4/{resource['resourceType']}/{resource['id']}"
        await self.insist("PUT", path, json=resource)


@dataclass
class Account:
    """What one patient's work came to, by the answers."""

    patient_id: str
    account_id: str = ""
    services: int = 0
    withdrawn: int = 0
    charged: int = 0
    invoiced: int = 0
    paid: int = 0
    refunded: int = 0

    @property
    def due(self) -> int:
        return self.invoiced - self.paid + self.refunded


def procedure(patient_id: str, id: str, status: str = "completed") -> dict[str, Any]:
    return {
        "resourceType": "Procedure",
        "id": id,
        "status": status,
        "subject": {"reference": f"Patient/{patient_id}"},
        "code": {"coding": [SERVICE_CODE]},
        "performedDateTime": "2026-01-05T10:00:00Z",
    }


async def work(desk: Desk, account: Account, done: asyncio.Event, chance: random.Random) -> None:
    """Records services, withdraws some, bills, takes payments and gives some back until `done`."""
    patient_id = account.patient_id
    await desk.store({"resourceType": "Patient", "id": patient_id, "name": [{"family": "Kills"}]})
    account.account_id = (await desk.insist("GET", f"/billing/v1/accounts?patient={patient_id}"))[
        "accountId"
    ]
    while not done.is_set():
        for _ in range(chance.randint(1, 3)):
            id = new_id()
            await desk.store(procedure(patient_id, id))
            account.services += 1
            if chance.random() < 0.2:
                await desk.store(procedure(patient_id, id, "entered-in-error"))
                account.withdrawn += 1
        amount = chance.randint(1, 1_000)
        charge = await desk.insist(
            "POST",
            f"/billing/v1/accounts/{account.account_id}/charge-items",
            json={"code": "hand", "unitPrice": money(amount)},
        )
        account.charged += amount
        draft = await desk.insist(
            "POST",
            f"/billing/v1/accounts/{account.account_id}/invoices",
            json={"chargeItemIds": [charge["chargeItemId"]]},
        )
        await desk.insist("POST", f"/billing/v1/invoices/{draft['invoiceId']}/issue", json={})
        account.invoiced += amount
        paid = chance.randint(1, 1_000)
        payment = await desk.insist(
            "POST",
            f"/billing/v1/accounts/{account.account_id}/payments",
            json={"amount": money(paid), "method": "PAYMENT_METHOD_CARD"},
        )
        account.paid += paid
        if chance.random() < 0.3:
            await desk.insist(
                "POST",
                f"/billing/v1/payments/{payment['paymentId']}/refund",
                json={"amount": money(1), "reason": "r"},
            )
            account.refunded += 1


def money(amount: int) -> dict[str, str]:
    return {"minorUnits": str(amount), "currency": "USD"}


async def compare(desk: Desk, accounts: list[Account]) -> list[str]:
    """What was answered against what stands, in billing and in analytics."""
    found = []
    for account in accounts:
        path = f"/billing/v1/accounts/{account.account_id}"
        due = int((await desk.insist("GET", f"{path}/balance"))["due"]["minorUnits"])
        if due != account.due:
            found.append(f"{account.patient_id} owes {due}, not {account.due}")
        charges = await all_charges(desk, path)
        standing = sum(
            charge["sourceType"] == "Procedure"
            and charge["status"] == "CHARGE_ITEM_STATUS_BILLABLE"
            for charge in charges
        )
        if standing != account.services - account.withdrawn:
            expected = account.services - account.withdrawn
            found.append(f"{account.patient_id} has {standing} charges, not {expected}")
    expected_figures = {
        "charged": sum(
            each.charged + PRICE * (each.services - each.withdrawn) for each in accounts
        ),
        **{
            name: sum(getattr(each, name) for each in accounts)
            for name in ("invoiced", "paid", "refunded")
        },
    }
    figures = await read_figures(desk)
    if figures != expected_figures:
        found.append(f"the figures are {figures}, not {expected_figures}")
    total = (await desk.insist("GET", "/analytics/v1/registrations"))["total"]
    if total != len(accounts):
        found.append(f"{total} registrations, not {len(accounts)}")
    return found


async def all_charges(desk: Desk, path: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    token = ""
    while True:
        page = await desk.insist("GET", f"{path}/charge-items?pageSize=100&pageToken={token}")
        items += page.get("chargeItems", [])
        token = page.get("nextPageToken", "")
        if not token:
            return items


async def read_figures(desk: Desk) -> Mapping[str, int]:
    points = (await desk.insist("GET", "/analytics/v1/billing"))["points"]
    return {
        name: sum(int(point[name]) for point in points)
        for name in ("charged", "invoiced", "paid", "refunded")
    }
