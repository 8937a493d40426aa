import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from apps.kit import database as module
from apps.kit.database import Database, DatabaseSettings, connect_options, open_database
from apps.kit.errors import Unavailable

pytestmark = pytest.mark.integration
AWAY = "postgresql://nobody:secret@127.0.0.1:1/nowhere"


@pytest.fixture
async def database(billing_database: str) -> AsyncIterator[Database]:
    async with open_database(DatabaseSettings(billing_database, pool_size=2)) as opened:
        yield opened


async def insert(database: Database, patient_id: str, failing: bool = False) -> None:
    async with database.transaction() as connection:
        await connection.execute(
            "INSERT INTO account VALUES (gen_random_uuid(), $1, 'active', 'USD', 1, now(), now())",
            patient_id,
        )
        if failing:
            raise ValueError


async def count(database: Database, patient_id: str) -> int:
    async with database.connection() as connection:
        return int(
            await connection.fetchval(
                "SELECT count(*) FROM account WHERE patient_id = $1", patient_id
            )
        )


async def test_transaction_is_kept_whole_or_not_at_all(database: Database) -> None:
    await insert(database, "kept")
    with pytest.raises(ValueError):
        await insert(database, "dropped", failing=True)
    assert (await count(database, "kept"), await count(database, "dropped")) == (1, 0)


async def test_types_are_described_once_a_process(
    billing_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """asyncpg's own method is replaced: this fails where a new release asks in another way."""
    asked: list[str] = []
    original = asyncpg.Connection._introspect_types

    async def count_asked(self: Any, typeoids: Any, timeout: Any) -> Any:
        asked.append(str(typeoids))
        return await original(self, typeoids, timeout)

    monkeypatch.setattr(asyncpg.Connection, "_introspect_types", count_asked)
    monkeypatch.setattr(module, "_builtin_types", {})
    ids = [uuid.uuid4() for _ in range(2)]
    for _ in range(3):
        async with open_database(DatabaseSettings(billing_database)) as opened:
            async with opened.connection() as connection:
                for _ in range(2):
                    row = await connection.fetchrow(
                        "SELECT $1::uuid[] AS ids, $2::smallint[] AS numbers, $3::bytea[] AS bytes",
                        ids,
                        [1, 2],
                        [b"a", b"\xff"],
                    )
                    assert tuple(row) == (ids, [1, 2], [b"a", b"\xff"])
    assert len(asked) == 1


async def test_server_away_is_unavailable_and_does_not_stop_the_start() -> None:
    async with open_database(DatabaseSettings(AWAY)) as database:
        with pytest.raises(Unavailable):
            await count(database, "anyone")
        assert not await database.is_ready()


async def test_wrong_password_is_unavailable(billing_database: str) -> None:
    role, _, rest = billing_database.removeprefix("postgresql://").partition(":")
    url = f"postgresql://{role}:wrong@{rest.partition('@')[2]}"
    async with open_database(DatabaseSettings(url)) as database:
        with pytest.raises(Unavailable):
            await count(database, "anyone")


async def test_full_pool_is_unavailable_after_a_limited_wait(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    free, held = asyncio.Event(), asyncio.Semaphore(0)

    async def hold() -> None:
        async with database.connection():
            held.release()
            await free.wait()

    holders = [asyncio.create_task(hold()) for _ in range(2)]
    async with asyncio.timeout(5):
        for _ in holders:
            await held.acquire()
        with monkeypatch.context() as patch:
            patch.setattr(module, "ACQUIRE_TIMEOUT_SECONDS", 0.1)
            with pytest.raises(Unavailable):
                await count(database, "anyone")
        free.set()
        await asyncio.gather(*holders)
    assert await count(database, "nobody") == 0


async def test_connection_lost_in_a_transaction_is_unavailable_and_the_next_works(
    database: Database,
) -> None:
    async def lose_it() -> None:
        async with database.transaction() as connection:
            await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
            await connection.execute("SELECT 1")

    for _ in range(3):
        with pytest.raises(Unavailable):
            await lose_it()
    assert await count(database, "nobody") == 0


async def test_connection_lost_while_idle_is_replaced(
    database: Database, billing_database: str
) -> None:
    await count(database, "nobody")
    other = await asyncpg.connect(billing_database)
    # Waits until it is gone: between its last word and its end a query on it is
    # refused, not replaced.
    await other.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE usename = current_user AND pid <> pg_backend_pid()"
    )
    await other.close()
    assert await count(database, "nobody") == 0


async def test_cancelled_task_gives_its_connection_back(database: Database) -> None:
    async def sleep() -> None:
        async with database.transaction() as connection:
            await connection.execute("SELECT pg_sleep(30)")

    for _ in range(5):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(sleep(), 0.1)
    assert await count(database, "nobody") == 0


async def test_what_the_caller_did_wrong_is_not_unavailable(database: Database) -> None:
    async def wrong() -> None:
        async with database.connection() as connection:
            await connection.execute("SELECT 1 / 0")

    with pytest.raises(asyncpg.DivisionByZeroError):
        await wrong()


def test_password_is_not_shown() -> None:
    assert "secret" not in repr(DatabaseSettings(AWAY))


def test_every_wait_has_a_limit() -> None:
    options = connect_options(DatabaseSettings(AWAY))
    assert options == {
        "timeout": module.CONNECT_TIMEOUT_SECONDS,
        "command_timeout": module.COMMAND_TIMEOUT_SECONDS,
    }
