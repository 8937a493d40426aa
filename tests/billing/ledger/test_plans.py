"""What a balance and a statement cost does not depend on what else the ledger holds."""

import json
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import asyncpg
import pytest

from apps.billing.accounts.storage import select_account
from apps.billing.ledger.postings import receivable
from apps.billing.ledger.reconcile import CHECKS
from apps.billing.ledger.statement import load_statement
from apps.billing.ledger.storage import select_balances, start_of
from tests.billing.many_entries import write_entries

pytestmark = pytest.mark.integration

ENTRIES = 20_000
# Of 1 yen, one each three minutes: the first day lacks its midnight.
A_DAY = 480
DAY = date(2020, 1, 20)
# Pages of 8 KiB that are looked at: a few levels of a few indexes; and for each line of a statement
# its entry, its transaction and its document in three tables.
BALANCE_PAGES = 50
LINE_PAGES = 10

HOLDINGS: dict[str, Any] = {
    # One account, nearly all of it when it was written down.
    "plain": {"every": 100, "shift": timedelta(days=5)},
    # An import: all of it counts before it was written down.
    "imported": {"every": 1, "shift": timedelta(days=5)},
    # Beside many accounts of a few entries each.
    "crowded": {"every": 100, "shift": timedelta(days=5)},
    # Nobody has counted the rows of the tables yet.
    "unknown": {"every": 3, "shift": timedelta(days=5)},
}


class Explaining:
    """Runs queries, and adds up the pages that they look at."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.pages = 0

    async def fetch(self, query: str, *arguments: Any) -> Any:
        await self.connection.execute(f"PREPARE asked AS {query}")
        values = ", ".join("NULL" if one is None else f"'{one}'" for one in arguments)
        ((plan,),) = await self.connection.fetch(
            f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE asked({values})"
        )
        await self.connection.execute("DEALLOCATE asked")
        top = plan[0]["Plan"]
        self.pages += top["Shared Hit Blocks"] + top["Shared Read Blocks"]
        return await self.connection.fetch(query, *arguments)


@pytest.fixture(scope="module", params=sorted(HOLDINGS))
def holding(request: Any, make_database: Any) -> Iterator[tuple[str, tuple[str, str]]]:
    with make_database("billing") as urls:
        yield request.param, urls


@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan"])
async def test_pages_of_a_balance_and_of_a_statement_are_bounded(
    holding: tuple[str, tuple[str, str]], mode: str
) -> None:
    name, (_, owner_url) = holding
    owner = await asyncpg.connect(owner_url)
    try:
        await owner.set_type_codec("json", encoder=str, decoder=json.loads, schema="pg_catalog")
        if name == "crowded":
            await write_entries(owner, 6_000, accounts=2_000, every=10, shift=timedelta(days=1))
        (account_id,) = await write_entries(owner, ENTRIES, **HOLDINGS[name])
        if name == "unknown":
            await owner.execute("SELECT pg_clear_relation_stats('public', 'ledger_entry')")
        await owner.execute(f"SET plan_cache_mode = {mode}")
        connection = Explaining(owner)
        balances = await select_balances(connection, account_id, DAY)
        assert connection.pages < BALANCE_PAGES
        counted = await owner.fetchval(
            """
            SELECT count(*) FROM ledger_entry WHERE ledger_account_id = $1 AND effective_at < $2""",
            receivable("JPY", account_id).id,
            start_of(DAY),
        )
        assert balances == {("receivable", ""): counted}

        connection.pages = 0
        account = await select_account(owner, account_id)
        assert account is not None
        statement = await load_statement(connection, account, DAY, DAY)
        assert A_DAY * 0.9 < len(statement.lines) < A_DAY * 1.1
        assert connection.pages < BALANCE_PAGES + LINE_PAGES * len(statement.lines)
        assert await owner.fetch(CHECKS["shift_mismatch"]) == []
        assert await owner.fetch(CHECKS["running_balance_mismatch"]) == []
    finally:
        await owner.close()
