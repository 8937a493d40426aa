"""Measures the ledger and billing's calls on a PostgreSQL of its own: `python -m tests.bench.billing`.

Prints a Markdown table for docs/bench/billing.md. Everything shares this machine's cores: the client, the service and
the database.
"""

import asyncio
import os
import random
import resource
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import uvloop

from apps.billing.accounts.storage import select_account
from apps.billing.books import Books
from apps.billing.charges.consumer import caller_of
from apps.billing.ledger.postings import LedgerAccount, make_posting, receivable
from apps.billing.ledger.statement import load_statement
from apps.billing.ledger.storage import post, select_balance
from apps.billing.settings import Settings
from apps.kit.database import Database, DatabaseSettings, open_database
from tests.bench.arguments import make_parser
from tests.billing.conftest import ENVIRONMENT, Client, open_client

SECONDS = float(os.environ.get("BENCH_SECONDS", "8"))
BATCH = 100
ACCOUNTS = [LedgerAccount("revenue", "USD", name=f"a-{number}") for number in range(10_000)]
HOT = LedgerAccount("bank", "USD")
CALLER = caller_of("bench")
WRITERS = 4
MILLION_ACCOUNT = UUID("00000000-0000-4000-8000-000000000001")
# Of the million, one each three minutes.
DAY_LINES = 480
PARTS = os.environ.get("BENCH_PARTS", "postings calls balances").split()
MILLION = int(os.environ.get("BENCH_ENTRIES", "1000000"))


async def measure_postings(database: Database, *, hot: bool) -> float:
    """Gives postings a second, in batches of BATCH; `hot`: every one of them meets at one account."""
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


async def measure_calls(client: Client, concurrency: int) -> tuple[float, list[float]]:
    """Gives calls a second and each call's seconds: charges, drafts, issues, payments and three reads to each."""
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

    started = time.perf_counter()
    await asyncio.gather(*(work(seed) for seed in range(concurrency)))
    return len(seconds) / (time.perf_counter() - started), seconds


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


async def fill(url: str) -> None:
    """Writes a million entries of one account and one of a thousand, past the code: a hundredth counts another day."""
    connection = await asyncpg.connect(url)
    for table in ("ledger_transaction", "ledger_entry"):
        await connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    hot, other = receivable("JPY", MILLION_ACCOUNT), LedgerAccount("bank", "JPY")
    async with connection.transaction():
        await connection.execute(
            """
            INSERT INTO account (account_id, patient_id, status, currency, version)
            VALUES ($1, 'million', 'active', 'JPY', 1)""",
            MILLION_ACCOUNT,
        )
        await connection.execute(
            """
            INSERT INTO ledger_account (ledger_account_id, kind, account_id, party, name, currency, balance, version)
            VALUES ($1, 'receivable', $4, '', '', 'JPY', $3, $3), ($2, 'bank', NULL, '', '', 'JPY', -$3, $3)""",
            hot.id,
            other.id,
            MILLION,
            MILLION_ACCOUNT,
        )
        await connection.execute(
            """
            CREATE TEMPORARY TABLE made AS
            SELECT number, uuidv7(posted - now()) AS id, posted
            FROM (SELECT number, timestamptz '2020-01-01' + number * interval '3 minutes' AS posted
                  FROM generate_series(1, $1::integer) AS number) AS numbers""",
            MILLION,
        )
        await connection.execute(
            """
            INSERT INTO ledger_transaction (transaction_id, kind, currency, posted_at, effective_at, subject,
                                            client_id, correlation_id)
            SELECT id, 'adjustment', 'JPY', posted,
                   posted - CASE number % 100 WHEN 0 THEN interval '40 days' ELSE interval '0' END, 's', 'c', ''
            FROM made""",
            timeout=600,
        )
        for line, account, side, sign in ((1, hot, "D", 1), (2, other, "C", -1)):
            await connection.execute(
                """
                INSERT INTO ledger_entry (transaction_id, line, ledger_account_id, currency, side, amount, balance,
                                          version, posted_at, effective_at)
                SELECT id, $1, $2, 'JPY', $3::text::"char", 1, $4 * number, number, posted,
                       posted - CASE number % 100 WHEN 0 THEN interval '40 days' ELSE interval '0' END
                FROM made""",
                line,
                account.id,
                side,
                sign,
                timeout=900,
            )
    # As autovacuum does in its time.
    await connection.execute("VACUUM ANALYZE ledger_entry, ledger_transaction", timeout=600)
    await connection.close()


async def measure_balances(database: Database) -> tuple[list[float], list[float]]:
    """Gives the seconds of balances as of random moments, and of a day's statements, over a million entries."""
    hot = receivable("JPY", MILLION_ACCOUNT)
    chance = random.Random(1)
    seconds, statements = [], []
    async with database.connection() as connection:
        rows = await connection.fetch(
            "SELECT posted_at FROM ledger_entry WHERE ledger_account_id = $1 ORDER BY random() LIMIT 200",
            hot.id,
        )
        for row in chance.sample(rows, len(rows)):
            started = time.perf_counter()
            await select_balance(connection, hot.id, row["posted_at"])
            seconds.append(time.perf_counter() - started)
        account = await select_account(connection, MILLION_ACCOUNT)
        assert account is not None
        for row in rows:
            day = row["posted_at"].date()
            started = time.perf_counter()
            statement = await load_statement(connection, account, day, day)
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
    async for client in open_client(url):
        for concurrency in (4, 8):
            used = resource.getrusage(resource.RUSAGE_SELF)
            rate, seconds = await measure_calls(client, concurrency)
            now = resource.getrusage(resource.RUSAGE_SELF)
            cpu = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
            print(
                f"| mixed calls/s, {concurrency} at once (client and service in one process: "
                f"{cpu / len(seconds) * 1_000:.2f} CPU-ms a call) | {rate:,.0f}, p50 {percentile(seconds, 50):.1f} ms,"
                f" p99 {percentile(seconds, 99):.1f} ms |",
                flush=True,
            )


async def run_balances(url: str, owner_url: str) -> None:
    await fill(owner_url)
    async with open_database(DatabaseSettings(url)) as database:
        balances, statements = await measure_balances(database)
    for name, seconds in (
        ("balance as of a moment", balances),
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
