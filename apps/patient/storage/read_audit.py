"""The audit trail of reads: each is recorded, durably, before its answer goes out; many
share one commit.

What comes while one batch is being written makes the next. A change's own entry is part of its
transaction instead.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from apps.kit.batches import Batches, Waiting
from apps.kit.database import ROW_ERRORS, Connection, Database
from apps.patient.search.index.hashing import resource_hash
from apps.patient.storage.versions import Author, Version

MAX_BATCH_READS = 100
# As many as the gateway lets run at once, and more.
MAX_WAITING_READS = 1_000


@dataclass(frozen=True, slots=True)
class ReadEntry:
    """`resource_id` and what follows for one resource that was read, `query` and
    `returned_ids` for a search.
    """

    action: str
    author: Author
    resource_type: str
    resource_id: str | None = None
    version_id: int | None = None
    patient_id: str | None = None
    query: str | None = None
    # FHIR ids, which hold no blank; `Type/id` where a search gave several types.
    returned_ids: Sequence[str] | None = None
    # The patients whose records were looked into, where they are not `patient_id` alone.
    patient_ids: Sequence[str] = ()


def entry_of(action: str, author: Author, version: Version) -> ReadEntry:
    return ReadEntry(
        action,
        author,
        version.resource_type,
        version.id,
        version_id=version.version_id,
        patient_id=version.patient_id,
    )


def entities_of(references: Iterable[tuple[str, str]], patient_ids: Iterable[str] = ()) -> set[int]:
    """Returns what an entry is found by: the hashes of the resources and of their patients."""
    found = {resource_hash(resource_type, id) for resource_type, id in references}
    return found | {resource_hash("Patient", id) for id in patient_ids}


def _entities_text(entry: ReadEntry) -> str:
    ids = entry.returned_ids or ((entry.resource_id,) if entry.resource_id else ())
    references = [
        (kind or entry.resource_type, id) for kind, _, id in (item.rpartition("/") for item in ids)
    ]
    patient_ids = {*entry.patient_ids, *((entry.patient_id,) if entry.patient_id else ())}
    return "{" + ",".join(map(str, entities_of(references, patient_ids))) + "}"


async def insert_entries(connection: Connection, entries: Sequence[ReadEntry]) -> None:
    rows = [
        (
            entry.action,
            entry.author.actor_id,
            entry.author.client_id,
            entry.author.request_id,
            entry.resource_type,
            entry.resource_id,
            entry.version_id,
            entry.patient_id,
            entry.query,
            None if entry.returned_ids is None else " ".join(entry.returned_ids),
            _entities_text(entry),
        )
        for entry in entries
    ]
    await connection.execute(
        """
        INSERT INTO audit_event (action, actor_id, client_id, request_id, resource_type,
            resource_id,
                                 version_id, patient_id, query, returned_ids, entities)
        SELECT action, actor_id, client_id, request_id, resource_type, resource_id,
               version_id, patient_id, query, string_to_array(returned_ids, ' '), entities::bigint[]
        FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],
                    $7::bigint[], $8::text[], $9::text[], $10::text[], $11::text[])
            AS r (action, actor_id, client_id, request_id, resource_type, resource_id,
                  version_id, patient_id, query, returned_ids, entities)""",
        *zip(*rows, strict=True),
    )


class ReadAudit:
    """`database` is what the reads are made on: whoever has it from here records
    what it gives out.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self._batches: Batches[Sequence[ReadEntry], None] = Batches(
            self._write,
            max_batch=MAX_BATCH_READS,
            max_waiting=MAX_WAITING_READS,
            busy="audit_busy",
        )

    async def record(self, *entries: ReadEntry) -> None:
        """Returns when they are committed; raises Unavailable where they cannot be, and then
        nothing may be told.
        """
        if entries:
            await self._batches.put(entries)

    async def settle(self) -> None:
        """Waits until nothing is left to write."""
        await self._batches.settle()

    async def _write(self, batch: Sequence[Waiting[Sequence[ReadEntry], None]]) -> None:
        try:
            async with self.database.connection() as connection:
                await insert_entries(
                    connection, [entry for waiting in batch for entry in waiting.item]
                )
        except ROW_ERRORS as error:
            if len(batch) == 1:
                batch[0].fail(error)
                return
            # Whichever of them cannot be written holds up itself alone.
            await self._write(batch[: len(batch) // 2])
            await self._write(batch[len(batch) // 2 :])
        else:
            for waiting in batch:
                waiting.finish(None)


@asynccontextmanager
async def open_read_audit(database: Database) -> AsyncIterator[ReadAudit]:
    """Yields the audit of reads; at its end what waits is still written."""
    read_audit = ReadAudit(database)
    try:
        yield read_audit
    finally:
        await read_audit.settle()
