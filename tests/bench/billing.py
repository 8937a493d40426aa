"""Measures the ledger and billing's calls on a PostgreSQL of its own: `python -m
tests.bench.billing`.

Prints a Markdown table for docs/bench/billing.md. Everything shares this machine's cores: the
client, the service and the database.
"""

import asyncio
import os
import random
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import uvloop

from apps.billing.accounts.storage import select_account
from apps.billing.books import Books
from apps.billing.charges.consumer import caller_of
from apps.billing.ledger.postings import LedgerAccount, make_posting
from apps.billing.ledger.statement import load_statement, render_statement
from apps.billing.ledger.storage import post, select_balances
from apps.billing.settings import Settings
from apps.kit.database import Database, DatabaseSettings, open_database
from apps.kit.rpc import open_channel
from protos.billing.v1.billing_pb2_grpc import BillingStub
from tests.bench.arguments import make_parser
from tests.billing.conftest import ENVIRONMENT, Client, FakeVerifier
from tests.billing.many_entries import BEGIN, write_entries
from tests.billing.separate_service import start
from tests.ports import free_port

SECONDS = float(os.environ.get("BENCH_SECONDS", "8"))
BATCH = 100
ACCOUNTS = [LedgerAccount("revenue", "USD", name=f"a-{number}") for number in range(10_000)]
HOT = LedgerAccount("bank", "USD")
CALLER = caller_of("bench")
WRITERS = 4
# Of the million, one each three minutes.
DAY_LINES = 480
# Calls a second that come whether or not those before were answered, by so many callers.
RATE = 300
WAITING = 200
PARTS = os.environ.get("BENCH_PARTS", "postings calls balances").split()
MILLION = int(os.environ.get("BENCH_ENTRIES", "1000000"))


async def measure_postings(database: Database, *, hot: bool) -> float:
    """Gives postings a second, in batches of BATCH; `hot`: every one of them meets
    at one account.
    """
    books = Books(database, Settings.from_environment(ENVIRONMENT))
    end = time.perf_counter() + SECONDS
    done = 0

    async def write(seed: int) -> None:
        nonlocal done
        chance = random.Random(seed)
        while time.perf_counter() < end:
            postings = []
            for _ in range(BATCH):
                taken, given = chance.sample(ACCOUNTS, 2)
                postings.append(
                    make_posting("adjustment", [(HOT if hot else taken, 5), (given, -5)])
                )
            # Who is known to meet waits its turn before it takes a connection.
            async with books.turn(["bank"] if hot else []):
                async with database.transaction() as connection:
                    await post(connection, CALLER, postings)
            done += BATCH

    started = time.perf_counter()
    await asyncio.gather(*(write(seed) for seed in range(WRITERS)))
    return done / (time.perf_counter() - started)


async def measure_calls(
    client: Client, concurrency: int, rate: float = 0
) -> tuple[float, list[float]]:
    """Gives calls a second and each call's seconds: charges, drafts, issues, payments and three
    reads to each.

    `concurrency` callers ask one call after the other, or with a `rate` all of them together that
    many a second.
    """
    accounts = [await client.account() for _ in range(200)]
    for account_id in accounts:
        await client.charge(account_id, 100)
    seconds: list[float] = []
    end = time.perf_counter() + SECONDS

    async def timed(call: Awaitable[Any]) -> Any:
        started = time.perf_counter()
        answer = await call
        seconds.append(time.perf_counter() - started)
        return answer

    async def work(seed: int) -> None:
        chance = random.Random(seed)
        while time.perf_counter() < end:
            if rate:
                # As people come: at random, whether the last one was served or not.
                await asyncio.sleep(chance.expovariate(rate / concurrency))
                if time.perf_counter() >= end:
                    return
            account_id = chance.choice(accounts)
            kind = chance.random()
            if kind < 0.25:
                await timed(client.charge(account_id, 100))
            elif kind < 0.30:
                await bill(client, account_id, timed)
            elif kind < 0.40:
                await timed(client.pay(account_id, 50))
            elif kind < 0.60:
                await timed(client.do("GetBalance", account_id=account_id))
            elif kind < 0.80:
                await timed(client.do("ListChargeItems", account_id=account_id))
            else:
                await timed(client.do("GetAccount", account_id=account_id))

    await asyncio.gather(*(work(seed) for seed in range(concurrency)))
    return len(seconds) / SECONDS, seconds


async def bill(
    client: Client, account_id: str, timed: Callable[[Awaitable[Any]], Awaitable[Any]]
) -> None:
    from grpc.aio import AioRpcError

    try:
        draft = await timed(client.do("CreateInvoice", account_id=account_id))
    except AioRpcError:
        # Another one of this test has drafted all of it.
        return
    await timed(client.do("IssueInvoice", invoice_id=draft.invoice_id))


async def fill(url: str) -> UUID:
    """Writes a million entries of one account: a hundredth counts another day."""
    connection = await asyncpg.connect(url)
    try:
        (account_id,) = await write_entries(
            connection, MILLION, every=100, shift=timedelta(days=40)
        )
    finally:
        await connection.close()
    return account_id


async def measure_balances(database: Database, account_id: UUID) -> tuple[list[float], list[float]]:
    """Gives the seconds of balances before random days, and of those days' statements with
    their messages.
    """
    chance = random.Random(1)
    # Each day up to the last has all of its lines.
    days = [
        BEGIN + timedelta(days=chance.randint(1, MILLION // DAY_LINES - 41)) for _ in range(200)
    ]
    seconds, statements = [], []
    async with database.connection() as connection:
        for day in days:
            started = time.perf_counter()
            await select_balances(connection, account_id, day)
            seconds.append(time.perf_counter() - started)
        account = await select_account(connection, account_id)
        assert account is not None
        for day in days:
            started = time.perf_counter()
            statement = render_statement(await load_statement(connection, account, day, day))
            statements.append(time.perf_counter() - started)
            assert len(statement.lines) > DAY_LINES / 2
    return seconds, statements


def percentile(values: Sequence[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1] * 1_000


async def run(url: str, owner_url: str) -> None:
    print("| measured | figure |\n| --- | --- |")
    if "postings" in PARTS:
        await run_postings(url)
    if "calls" in PARTS:
        await run_calls(url)
    if "balances" in PARTS:
        await run_balances(url, owner_url)


async def run_postings(url: str) -> None:
    async with open_database(DatabaseSettings(url)) as database:
        async with database.transaction() as connection:
            opening = [make_posting("adjustment", [(one, 1), (HOT, -1)]) for one in ACCOUNTS]
            await post(connection, CALLER, opening)
        spread = await measure_postings(database, hot=False)
        hot = await measure_postings(database, hot=True)
    print(f"| postings/s, batches of {BATCH}, 10,000 accounts | {spread:,.0f} |")
    print(f"| the same, all at one account | {hot:,.0f} ({hot / spread:.0%}) |", flush=True)


async def run_calls(url: str) -> None:
    """Prints what callers meet of a service in a process of its own."""
    port = free_port()
    service = await start(url, port)
    try:
        async with open_channel(f"127.0.0.1:{port}") as channel:
            stub: Any = BillingStub(channel)
            client = Client(stub, channel, None, FakeVerifier())  # type: ignore[arg-type]
            for concurrency, rate in ((4, 0), (8, 0), (WAITING, RATE)):
                used = cpu_seconds(service.pid)
                per_second, seconds = await measure_calls(client, concurrency, rate)
                cpu = (cpu_seconds(service.pid) - used) / len(seconds) * 1_000
                how = f"{rate} a second" if rate else f"{concurrency} at once"
                print(
                    f"| mixed calls, {how} (the service: {cpu:.2f} CPU-ms a call) | "
                    f"{per_second:,.0f}/s,"
                    f" p50 {percentile(seconds, 50):.1f} ms, p99 {percentile(seconds, 99):.1f} ms "
                    f"|",
                    flush=True,
                )
    finally:
        service.terminate()
        await service.wait()


def cpu_seconds(pid: int) -> float:
    """Gives the processor time that a process has used (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def run_balances(url: str, owner_url: str) -> None:
    account_id = await fill(owner_url)
    async with open_database(DatabaseSettings(url)) as database:
        balances, statements = await measure_balances(database, account_id)
    for name, seconds in (
        ("balance as of a day", balances),
        (f"statement of a day, about {DAY_LINES} lines", statements),
    ):
        print(
            f"| {name}, account of {MILLION:,} entries | p50 {percentile(seconds, 50):.2f} ms,"
            f" p99 {percentile(seconds, 99):.2f} ms |",
            flush=True,
        )


def main() -> int:
    make_parser(__doc__).parse_args()
    from apps.release.bootstrap import bootstrap
    from apps.release.migrate import migrate
    from infrastructure.local.postgres import open_postgres
    from tests.conftest import throwaway

    with throwaway() as directory, open_postgres(Path(directory), durable=False) as postgres:
        bootstrap(postgres.admin_url, ("billing",), password_of=lambda role: "bench")
        url, owner_url = (
            f"postgresql://{role}:bench@{postgres.host}:{postgres.port}/billing"
            for role in ("billing", "billing_owner")
        )
        migrate(owner_url, "billing", runtime_role="billing")
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run(url, owner_url))
    return 0


if __name__ == "__main__":
    sys.exit(main())
