"""Kills billing, analytics, PostgreSQL and Kafka at random under load, and then looks
whether all adds up.

`python -m tests.system.kills --kills 50` starts a platform of its own, and ends with status 1 where
anything differs: what was answered against what stands, the books, and the services against the
topics and each other.
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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from apps.catalogue import SERVICES
from apps.client.client import open_client
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
from tests.system.kills_load import PRICE, SERVICE_CODE, Account, Desk, compare, money, work

VICTIMS = ("billing", "analytics", "postgres", "kafka")
PATIENTS = 6
SETTLE_SECONDS = 180.0
WATCH_SECONDS = 0.3


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
            with contextlib.suppress(ProcessLookupError):
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
        stack.callback(output.close)
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


async def disturb(
    stack: Stack, kills: int, chance: random.Random, victims: Sequence[str] = VICTIMS
) -> None:
    """Kills one after the other: each of the victims at least once where there are as many."""
    order = [*victims, *chance.choices(victims, k=kills)][:kills]
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
            f"{kills} kills ({dict(stack.kills)}): {services} services, {invoiced} minor units "
            f"invoiced",
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
