"""The SQL that keeps the figures. Every function takes the connection of the transaction that it is part of."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from apps.analytics.events import ClinicalEvent, PatientEvent
from apps.analytics.figures import Changes
from apps.kit.database import Connection

# A producer may repeat an event for as long; an id is kept to know it again.
EVENT_IDS_KEPT_DAYS = 14
CLEAN_BATCH_ROWS = 5_000
REBUILD_TIMEOUT_SECONDS = 600


@dataclass(frozen=True, slots=True)
class DeadLetter:
    topic: str
    partition: int
    record_offset: int
    reason: str


async def ensure_offsets(connection: Connection, topic: str, partitions: Sequence[int]) -> None:
    await connection.execute(
        """
        INSERT INTO consumed (topic, partition, next_offset) SELECT $1, unnest($2::integer[]), 0
        ON CONFLICT DO NOTHING
        """,
        topic,
        sorted(partitions),
    )


async def select_offsets(connection: Connection, topic: str) -> dict[int, int]:
    """The next offset to read, by partition."""
    rows = await connection.fetch(
        "SELECT partition, next_offset FROM consumed WHERE topic = $1", topic
    )
    return {row["partition"]: row["next_offset"] for row in rows}


async def update_offset(
    connection: Connection, topic: str, partition: int, expected: int, next_offset: int
) -> bool:
    """False where the partition is not at `expected` any more: somebody else has read on."""
    row = await connection.fetchrow(
        """
        UPDATE consumed SET next_offset = $4, updated_at = now()
        WHERE topic = $1 AND partition = $2 AND next_offset = $3
        RETURNING true
        """,
        topic,
        partition,
        expected,
        next_offset,
    )
    return row is not None


async def insert_events(connection: Connection, event_ids: Sequence[UUID]) -> set[UUID]:
    """Those that were not seen before."""
    rows = await connection.fetch(
        "INSERT INTO seen_event (event_id) SELECT unnest($1::uuid[]) ON CONFLICT DO NOTHING RETURNING event_id",
        sorted(event_ids),
    )
    return {row["event_id"] for row in rows}


async def delete_old_events(connection: Connection) -> int:
    """How many ids it forgot, at most CLEAN_BATCH_ROWS."""
    rows = await connection.fetch(
        """
        DELETE FROM seen_event WHERE event_id IN (
            SELECT event_id FROM seen_event WHERE seen_at < now() - make_interval(days => $1) LIMIT $2
        ) RETURNING true
        """,
        EVENT_IDS_KEPT_DAYS,
        CLEAN_BATCH_ROWS,
    )
    return len(rows)


async def apply_changes(connection: Connection, changes: Changes) -> None:
    if changes.patients:
        await upsert_patients(connection, changes.patients)
    if changes.facts:
        await upsert_facts(connection, changes.facts)
    # Last: every consumer adds to the same hour's row, and holds it until it commits.
    if changes.registrations:
        await connection.execute(
            """
            INSERT INTO registration (hour, count) SELECT * FROM unnest($1::timestamptz[], $2::bigint[])
            ON CONFLICT (hour) DO UPDATE SET count = registration.count + EXCLUDED.count
            """,
            *zip(*changes.registrations, strict=True),
        )


async def upsert_patients(connection: Connection, events: Sequence[PatientEvent]) -> None:
    await connection.execute(
        """
        INSERT INTO patient (patient_id, version_id, birth_year, gender, postal_prefix, deleted)
        SELECT * FROM unnest($1::text[], $2::bigint[], $3::integer[], $4::text[], $5::text[], $6::boolean[])
        ON CONFLICT (patient_id) DO UPDATE SET
            version_id = EXCLUDED.version_id, birth_year = EXCLUDED.birth_year, gender = EXCLUDED.gender,
            postal_prefix = EXCLUDED.postal_prefix, deleted = EXCLUDED.deleted
        WHERE patient.version_id < EXCLUDED.version_id
        """,
        [event.patient_id for event in events],
        [event.version_id for event in events],
        [event.birth_year for event in events],
        [event.gender for event in events],
        [event.postal_prefix for event in events],
        [event.event_type == "patient.deleted" for event in events],
    )


async def upsert_facts(connection: Connection, events: Sequence[ClinicalEvent]) -> None:
    await connection.execute(
        """
        INSERT INTO fact
            (resource_type, resource_id, version_id, patient_id, system, code, category, effective_at, deleted)
        SELECT * FROM unnest(
            $1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[],
            $8::timestamptz[], $9::boolean[]
        )
        ON CONFLICT (resource_type, resource_id) DO UPDATE SET
            version_id = EXCLUDED.version_id, patient_id = EXCLUDED.patient_id, system = EXCLUDED.system,
            code = EXCLUDED.code, category = EXCLUDED.category, effective_at = EXCLUDED.effective_at,
            deleted = EXCLUDED.deleted
        WHERE fact.version_id < EXCLUDED.version_id
        """,
        [event.resource_type for event in events],
        [event.resource_id for event in events],
        [event.version_id for event in events],
        [event.patient_id for event in events],
        [event.system for event in events],
        [event.code for event in events],
        [event.category for event in events],
        [event.effective_at for event in events],
        [event.event_type == "clinical.deleted" for event in events],
    )


async def select_known_dead_letters(
    connection: Connection, letters: Sequence[DeadLetter]
) -> set[tuple[int, int]]:
    """(partition, offset) of those that were sent before; all of `letters` are of one topic."""
    rows = await connection.fetch(
        """
        SELECT partition, record_offset FROM dead_letter
        WHERE topic = $1 AND (partition, record_offset) IN (SELECT * FROM unnest($2::integer[], $3::bigint[]))
        """,
        letters[0].topic,
        [letter.partition for letter in letters],
        [letter.record_offset for letter in letters],
    )
    return {(row["partition"], row["record_offset"]) for row in rows}


async def insert_dead_letters(connection: Connection, letters: Sequence[DeadLetter]) -> None:
    await connection.execute(
        """
        INSERT INTO dead_letter (topic, partition, record_offset, reason)
        SELECT * FROM unnest($1::text[], $2::integer[], $3::bigint[], $4::text[])
        ON CONFLICT DO NOTHING
        """,
        [letter.topic for letter in letters],
        [letter.partition for letter in letters],
        [letter.record_offset for letter in letters],
        [letter.reason for letter in letters],
    )


async def delete_figures(connection: Connection, topic: str) -> None:
    """Back to nothing read. Until the transaction ends, readers see the old figures and consumers wait."""
    await connection.execute("UPDATE consumed SET next_offset = 0 WHERE topic = $1", topic)
    for table in ("seen_event", "registration", "patient", "fact"):
        await connection.execute(f"DELETE FROM {table}", timeout=REBUILD_TIMEOUT_SECONDS)  # noqa: S608


async def count_dead_letters(connection: Connection, new_seconds: float) -> tuple[int, int]:
    """All there ever were, and those of the last `new_seconds`."""
    row = await connection.fetchrow(
        "SELECT count(*), count(*) FILTER (WHERE recorded_at > now() - make_interval(secs => $1)) FROM dead_letter",
        new_seconds,
    )
    return row[0], row[1]
