"""Carries over what the previous release has stored: into `resource` and its index, in batches,
while both run.

Until all is there, a search would silently miss what is not: it is refused with 503, as is
whatever else looks for resources. A request that names one resource is served: that one is
carried over first.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg

from apps.kit.database import Connection, Database
from apps.kit.errors import Unavailable
from apps.kit.logs import log_failure
from apps.patient.codec import decode
from apps.patient.storage.mrn import find_mrn
from apps.patient.storage.reading import select_stored
from apps.patient.storage.record import Record
from apps.patient.storage.versions import Change, Version, change_of_version, version_of

BATCH_ROWS = 200
POLL_SECONDS = 5.0
RETRY_SECONDS = 1.0
# Replicas of the previous release are gone by then.
CONTRACT_SECONDS = 3_600.0

log = logging.getLogger(__name__)

_NEWEST = """
    SELECT type, id, version_id, patient_id, recorded_at, method, convert_to(body, 'UTF8') AS body
    FROM resource_history WHERE type = $1 AND id = $2 ORDER BY version_id DESC LIMIT 1"""


class Backfill:
    """`is_pending` until nothing is left to carry over; None while that is not known."""

    def __init__(self, database: Database, record: Record) -> None:
        self._database = database
        self._record = record
        self.is_pending: bool | None = None
        self._is_contracted = False

    async def check(self) -> None:
        """Raises Unavailable while resources are not indexed yet."""
        if self.is_pending is None:
            await self.look()
        if self.is_pending:
            raise Unavailable("index_being_built", "what was stored before is being indexed")

    async def look(self) -> None:
        async with self._database.connection() as connection:
            exists = await connection.fetchval("SELECT to_regclass('resource_backlog') IS NOT NULL")
            self._is_contracted = not exists
            self.is_pending = exists and await connection.fetchval(
                "SELECT EXISTS (SELECT FROM resource_backlog)"
            )

    async def carry_over_one(self, resource_type: str, id: str) -> None:
        """Makes sure that one resource is where it is looked for."""
        if self.is_pending is None:
            await self.look()
        if self.is_pending:
            async with self._database.transaction() as connection:
                await self._carry_over(connection, [(resource_type, id)])

    async def carry_over_batch(self) -> int:
        """Carries over up to BATCH_ROWS and returns how many there were. Several replicas
        share the work.
        """
        async with self._database.transaction() as connection:
            rows = await connection.fetch(
                """
                DELETE FROM resource_backlog WHERE ctid = ANY (ARRAY(
                    SELECT ctid FROM resource_backlog ORDER BY is_patient DESC, type, id
                    LIMIT $1 FOR UPDATE SKIP LOCKED)) RETURNING type, id""",
                BATCH_ROWS,
            )
            await self._carry_over(connection, [(row["type"], row["id"]) for row in rows])
        return len(rows)

    async def _carry_over(
        self, connection: Connection, references: Sequence[tuple[str, str]]
    ) -> None:
        await connection.execute("SELECT set_config('patient.carries_over', 'on', true)")
        changes: list[Change] = []
        for resource_type, id in sorted(references):
            row = await connection.fetchrow(_NEWEST, resource_type, id)
            stored = await select_stored(connection, resource_type, id)
            if row is None or (stored and stored.version.version_id >= row["version_id"]):
                continue
            changes.append(self._change(version_of(row), stored, await _mrn(connection, row)))
        await self._record.writer.write_versions(connection, changes)

    def _change(self, version: Version, stored: Any, mrn: str | None) -> Change:
        return change_of_version(version, self._record.base_url, stored, mrn)

    async def run(self) -> None:
        """Works until all is carried over, goes on looking for what the previous release writes,
        and contracts.
        """
        quiet_seconds = 0.0
        while True:
            try:
                await self.look()
                if self._is_contracted:
                    return
                count = await self.carry_over_batch() if self.is_pending else 0
            except (Unavailable, asyncpg.PostgresError) as error:
                log.warning("backfill waits", extra={"error": type(error).__name__})
                await asyncio.sleep(RETRY_SECONDS)
                continue
            except Exception as error:  # whatever it was, the rest must still be carried over
                log_failure(error, "backfill failed")
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if count:
                quiet_seconds = 0.0
                log.info("carried over", extra={"resources": count})
                continue
            await asyncio.sleep(POLL_SECONDS)
            quiet_seconds += POLL_SECONDS
            if quiet_seconds >= CONTRACT_SECONDS:
                with suppress(Unavailable, asyncpg.PostgresError):
                    await self.contract()

    async def contract(self) -> bool:
        """Drops the tables of the previous release; False where something is left to carry over."""
        async with self._database.connection() as connection:
            dropped: bool = await connection.fetchval("SELECT drop_previous_tables()")
        return dropped


async def _mrn(connection: Connection, row: Any) -> str | None:
    """Returns a Patient's record number: a deleted one has it in an earlier version."""
    if row["type"] != "Patient":
        return None
    if row["body"] is not None:
        return find_mrn(decode(version_of(row).body or ""))
    number: str | None = await connection.fetchval(
        "SELECT mrn FROM patient WHERE id = $1", row["id"]
    )
    return number


@asynccontextmanager
async def running_backfill(backfill: Backfill) -> AsyncIterator[None]:
    task = asyncio.create_task(backfill.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
