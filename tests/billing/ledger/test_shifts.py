"""What counts on another day is added up by the database, for rows of before the migration too."""

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from importlib import import_module
from typing import Any

import asyncpg
import pytest

from apps.billing.ledger.reconcile import CHECKS
from tests.billing.many_entries import write_entries

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def urls(make_database: Any) -> Iterator[tuple[str, str]]:
    with make_database("billing") as found:
        yield found


@pytest.fixture
async def owner(urls: tuple[str, str]) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(urls[1])
    yield connection
    await connection.close()


async def test_rows_of_before_are_added_up_as_new_ones_are(owner: Any) -> None:
    await write_entries(owner, 3_000, shift=timedelta(days=2, hours=7), every=2, accounts=3)
    rows = "SELECT * FROM ledger_shift ORDER BY ledger_account_id, day"
    by_trigger = await owner.fetch(rows)
    assert len(by_trigger) > 20
    await owner.execute("DELETE FROM ledger_shift")
    assert await owner.fetch(CHECKS["shift_mismatch"]) != []
    migration = import_module("apps.billing.migrations.versions.0008_shifts_by_day")
    await owner.execute(migration.ADD_UP.format(entries="ledger_entry"))
    # A day whose shifts come to nothing has a row of 0, or none.
    assert [row for row in by_trigger if row["amount"]] == await owner.fetch(rows)
    assert await owner.fetch(CHECKS["shift_mismatch"]) == []


async def test_services_role_may_only_read_it(urls: tuple[str, str]) -> None:
    connection = await asyncpg.connect(urls[0])
    try:
        await connection.fetch("SELECT * FROM ledger_shift")
        for statement in (
            "INSERT INTO ledger_shift SELECT * FROM ledger_shift",
            "UPDATE ledger_shift SET amount = 0",
            "DELETE FROM ledger_shift",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
    finally:
        await connection.close()
