"""Kills billing, analytics, PostgreSQL and Kafka at random under load, and then looks whether all adds up.

`python -m tests.system.kills --kills 50` starts a platform of its own, and ends with status 1 where anything differs:
what was answered against what stands, the books, and the services against the topics and each other.
"""

import argparse
import asyncio
import contextlib
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from apps.catalogue import SERVICES
from apps.client.client import Client, Response, open_client
from apps.client.settings import ClientSettings
from apps.kit.context import new_id
from apps.verbs import VERBS
from infrastructure.local.home import JARS, open_throwaway
from infrastructure.local.jars import resolve_jars
from infrastructure.local.kafka import open_kafka
from infrastructure.local.output import Output
from infrastructure.local.platform import Platform, choose_ports, open_platform
from infrastructure.local.postgres import open_postgres
from infrastructure.local.process import KilledError, Process
from infrastructure.operate.local import run_in_service

VICTIMS = ("billing", "analytics", "postgres", "kafka")
PATIENTS = 6
SERVICE_CODE = {"system": "urn:kills", "code": "service"}
PRICE = 1_000
CALL_SECONDS = 20.0
SETTLE_SECONDS = 180.0
WATCH_SECONDS = 0.3
RETRIED = (401, 404, 409, 429, 500, 502, 503, 504)
GONE = (aiohttp.ClientError, TimeoutError, OSError)


@dataclass
class Stack:
    """A platform whose processes may be killed: each is started again on its data and its port."""

    platform: Platform
    stack: contextlib.ExitStack
    stopping: threading.Event = field(default_factory=threading.Event)
    kills: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        assert self.platform.postgres.process is not None
        self.postgres: Process = self.platform.postgres.process
        self.kafka: Process = self.platform.kafka.process

    def kill(self, name: str) -> None:
        """Ends a process by SIGKILL; the two that nothing watches are started again here."""
        home = self.platform.home
        if name == "postgres":
            kill(self.postgres)
            port = self.platform.postgres.port
            opened = self.stack.enter_context(open_postgres(home.postgres, port=port))
            assert opened.process is not None
            self.postgres = opened.process
        elif name == "kafka":
            kill(self.kafka)
            port = int(self.platform.kafka.bootstrap_servers.rpartition(":")[2])
            broker = self.stack.enter_context(open_kafka(home.kafka, resolve_jars(JARS), port=port))
            broker.wait()
            self.kafka = broker.process
        else:
            # It may just have ended by itself, as one does that starts while PostgreSQL is away.
            while (process := self.platform.services.processes[name]).status is not None:
                time.sleep(WATCH_SECONDS)
            os.kill(process.pid, signal.SIGKILL)
        self.kills[name] += 1

    def watch(self) -> None:
        """Starts services again that end, as an orchestrator does, until `stopping` is set."""
        services = self.platform.services
        while not self.stopping.wait(WATCH_SECONDS):
            for name, process in list(services.processes.items()):
                if process.status is not None:
                    services.start(SERVICES[name])


def kill(process: Process) -> None:
    """Kills the whole group, as a machine that fails does, and waits for its end."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.stop()


@contextlib.contextmanager
def open_stack() -> Iterator[Stack]:
    with open_throwaway() as home, contextlib.ExitStack() as stack:
        output = Output(sys.stderr, home.logs, show_logs=False)
        ports = choose_ports(public_port=None, throwaway=True)
        # Durable: what was committed must outlive the kill of its server.
        platform = stack.enter_context(open_platform(home, output, ports, durable=True))
        opened = Stack(platform, stack)
        watcher = threading.Thread(target=opened.watch, daemon=True)
        watcher.start()
        try:
            yield opened
        finally:
            opened.stopping.set()
            watcher.join()
        home.keep_logs = False


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


async def disturb(stack: Stack, kills: int, chance: random.Random) -> None:
    """Kills one after the other: each of the four at least once where there are as many."""
    order = [*VICTIMS, *chance.choices(VICTIMS, k=kills)][:kills]
    chance.shuffle(order)
    for number, name in enumerate(order, start=1):
        await asyncio.sleep(chance.uniform(0.2, 3.0))
        started = time.monotonic()
        while True:
            try:
                await asyncio.to_thread(stack.kill, name)
                break
            except KilledError:
                # The broker is refused for some seconds after a kill.
                await asyncio.sleep(1)
        seconds = time.monotonic() - started
        print(f"kill {number} of {kills}: {name} ({seconds:.1f} s)", file=sys.stderr, flush=True)


def differences_of(stack: Stack) -> list[str]:
    """What the reconcilers of the three services name."""
    found = []
    state = stack.platform.state()
    for service in VERBS["reconcile"].services:
        answer = run_in_service(state, VERBS["reconcile"], {}, service)
        rows: Any = answer
        found += [f"{service}: {row}" for row in rows]
    return found


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


async def settled(desk: Desk, accounts: list[Account]) -> list[str]:
    """Waits until nothing differs any more, and gives what still does after SETTLE_SECONDS."""
    end = time.monotonic() + SETTLE_SECONDS
    while True:
        found = await compare(desk, accounts)
        if not found or time.monotonic() > end:
            return found
        await asyncio.sleep(1)


async def run(stack: Stack, kills: int, seed: int) -> list[str]:
    """Gives what does not add up after the kills."""
    chance, done = random.Random(seed), asyncio.Event()
    platform = stack.platform
    settings = ClientSettings(
        url=platform.url,
        client_id=platform.accounts.client_id,
        client_secret=platform.accounts.client_secret,
    )
    async with open_client(settings=settings) as client:
        desk = Desk(client)
        price = {**SERVICE_CODE, "description": "Service", "unitPrice": money(PRICE)}
        prices = {"prices": [{**price, "revenueGroup": "other", "validFrom": "2000-01-01"}]}
        await desk.insist("POST", "/billing/v1/prices", json=prices)
        accounts = [Account(new_id()) for _ in range(PATIENTS)]
        workers = [
            asyncio.create_task(work(desk, account, done, random.Random(seed + number)))
            for number, account in enumerate(accounts)
        ]
        try:
            await disturb(stack, kills, chance)
            await asyncio.sleep(2)
            done.set()
            async with asyncio.timeout(SETTLE_SECONDS):
                await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
        found = await settled(desk, accounts)
        services = sum(each.services for each in accounts)
        invoiced = sum(each.invoiced for each in accounts)
        print(
            f"{kills} kills ({dict(stack.kills)}): {services} services, {invoiced} minor units invoiced",
            flush=True,
        )
    return found + await asyncio.to_thread(differences_of, stack)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.system.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    if options.kills < 0:
        parser.error("--kills is not below 0")
    with open_stack() as stack:
        found = asyncio.run(run(stack, options.kills, options.seed))
    print("\n".join(found) if found else "nothing differs", flush=True)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
