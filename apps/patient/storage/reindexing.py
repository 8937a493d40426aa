"""Indexes stored resources anew, in batches, while the service runs: after a change of what the
index has of them.

`record_layout` says how far it has come: it goes on there after a stop, and replicas take turns. A
batch holds its rows' locks for about a tenth of a second; searches find what is not indexed anew by
the rows of before.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from apps.kit.database import Connection, Database
from apps.kit.errors import Unavailable
from apps.kit.logs import log_failure
from apps.patient.search.index.index_rows import INDEX_VERSION
from apps.patient.storage.reading import select_oldest_index, select_outdated
from apps.patient.storage.versions import change_of_version
from apps.patient.storage.writing import Writer

BATCH_ROWS = 200
# Numbers and versions alone are read of these.
LOOK_ROWS = 5_000
# Between two batches: the service keeps at least half of the time to itself.
PAUSE_SECONDS = 0.1
POLL_SECONDS = 30.0
# Replicas of the previous release, which know the previous index only, are gone by then.
GRACE_SECONDS = 3_600.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What a batch did. `is_done`: there is nothing more to do now."""

    resources: int = 0
    is_done: bool = False


async def request_reindexing(connection: Connection) -> None:
    """Has every resource indexed anew, from the first on."""
    await connection.execute(
        "UPDATE record_layout SET is_forced = true, position = 0,"
        " starts_at = greatest(compact_from, now()), target_version = $1",
        INDEX_VERSION,
    )


async def select_progress(connection: Connection) -> Mapping[str, Any]:
    """Returns the version of the index and, while resources are indexed anew, how
    many wait for it.
    """
    row = await connection.fetchrow(
        """
        SELECT index_version, is_forced OR index_version < target_version AS is_running, starts_at,
            (SELECT count(*) FROM resource WHERE number > position) AS waiting FROM record_layout"""
    )
    waiting = row["waiting"] if row["is_running"] else 0
    starts_at: datetime = row["starts_at"]
    return {
        "index version": row["index_version"],
        "waiting resources": waiting,
        **({"from": starts_at.isoformat(timespec="seconds")} if waiting else {}),
    }


async def reindex_batch(connection: Connection, writer: Writer, base_url: str) -> Step:
    """Indexes the next resources anew. Part of a transaction."""
    layout = await connection.fetchrow(
        "SELECT *, starts_at <= now() AS has_begun FROM record_layout FOR UPDATE SKIP LOCKED"
    )
    if layout is None:
        # Another replica is at it.
        return Step(is_done=True)
    if layout["target_version"] < INDEX_VERSION:
        await connection.execute(
            "UPDATE record_layout SET target_version = $1, position = 0,"
            " starts_at = now() + make_interval(secs => $2)",
            INDEX_VERSION,
            GRACE_SECONDS,
        )
        return Step(is_done=True)
    is_needed = layout["is_forced"] or layout["index_version"] < INDEX_VERSION
    if not is_needed or not layout["has_begun"]:
        return Step(is_done=True)
    older_than = None if layout["is_forced"] else INDEX_VERSION
    outdated, last = await select_outdated(
        connection, layout["position"], BATCH_ROWS, index_version=older_than
    )
    if last is None:
        await connection.execute(
            "UPDATE record_layout SET index_version = $1, is_forced = false", INDEX_VERSION
        )
        await connection.execute("SELECT drop_previous_layout()")
        return Step(is_done=True)
    changes = [
        change_of_version(stored.version, base_url, stored, stored.mrn) for stored in outdated
    ]
    await writer.rewrite(connection, changes)
    await connection.execute("UPDATE record_layout SET position = $1", last)
    return Step(resources=len(changes))


class Reindexing:
    """Does what there is to do, for the life of the service."""

    def __init__(self, database: Database, writer: Writer, base_url: str) -> None:
        self._database = database
        self._writer = writer
        self._base_url = base_url

    async def run_batch(self) -> Step:
        async with self._database.transaction() as connection:
            return await reindex_batch(connection, self._writer, self._base_url)

    async def look(self) -> None:
        """Has rows indexed anew that the previous release wrote behind the place up to which all
        was: after a return to it and back.
        """
        position = 0
        while True:
            async with self._database.connection() as connection:
                layout = await connection.fetchrow(
                    "SELECT index_version >= $1 AS is_done, position FROM record_layout",
                    INDEX_VERSION,
                )
                upto = None if layout["is_done"] else layout["position"]
                oldest, last = await select_oldest_index(connection, position, upto, LOOK_ROWS)
                if oldest is None or last is None:
                    return
                if oldest < INDEX_VERSION:
                    await connection.execute(
                        "UPDATE record_layout SET position = 0, target_version = $2,"
                        " index_version = least(index_version, $1),"
                        " starts_at = greatest(starts_at, now() + make_interval(secs => $3))",
                        oldest,
                        INDEX_VERSION,
                        GRACE_SECONDS,
                    )
                    return
            position = last
            await asyncio.sleep(PAUSE_SECONDS)

    async def run(self) -> None:
        total = 0
        started = time.monotonic()
        # Once more when replicas of the previous release are gone.
        looks = [started, started + GRACE_SECONDS]
        while True:
            step = Step(is_done=True)
            try:
                if looks and time.monotonic() >= looks[0]:
                    await self.look()
                    del looks[0]
                step = await self.run_batch()
            except (Unavailable, asyncpg.PostgresError) as error:
                log.warning("reindexing waits", extra={"error": type(error).__name__})
            except Exception as error:  # whatever it was, the rest must still be indexed
                log_failure(error, "reindexing failed")
            total += step.resources
            if step.is_done and total:
                log.info("indexed anew", extra={"resources": total})
                total = 0
            await asyncio.sleep(POLL_SECONDS if step.is_done else PAUSE_SECONDS)


@asynccontextmanager
async def running_reindexing(reindexing: Reindexing) -> AsyncIterator[None]:
    task = asyncio.create_task(reindexing.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
