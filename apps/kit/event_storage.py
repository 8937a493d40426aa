"""SQL of an event consumer: offsets, event ids that were seen, dead letters.

Each function takes the connection of the transaction that it is part of. `create_consumer_tables`
of `apps.kit.migrations` makes the tables.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from apps.kit.database import Connection

# A producer may repeat an event for this long: until then its id is kept to recognise it.
EVENT_IDS_KEPT_DAYS = 14
CLEAN_BATCH_ROWS = 5_000
MAX_LISTED_DEAD_LETTERS = 1_000

# (topic, partition)
Place = tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A record that could not be read: where it lies in its topic, and a stable reason
    without content.
    """

    topic: str
    partition: int
    record_offset: int
    reason: str

    @property
    def id(self) -> str:
        return f"{self.topic}:{self.partition}:{self.record_offset}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDeadLetter:
    """A dead letter as an operator sees it. `resolution`: `redriven`, `discarded`, or empty."""

    letter: DeadLetter
    recorded_at: datetime
    resolution: str
    note: str


async def ensure_offsets(connection: Connection, places: Iterable[Place]) -> None:
    """Makes a row at offset 0 for each partition that has none."""
    ordered = sorted(places)
    await connection.execute(
        """
        INSERT INTO consumed (topic, partition, next_offset)
        SELECT topic, partition, 0 FROM unnest($1::text[], $2::integer[]) AS new (topic, partition)
        ON CONFLICT DO NOTHING
        """,
        [topic for topic, _ in ordered],
        [partition for _, partition in ordered],
    )


async def select_offsets(connection: Connection, topics: Sequence[str]) -> dict[Place, int]:
    """Returns the next offset to read of each partition of `topics`."""
    rows = await connection.fetch(
        "SELECT topic, partition, next_offset FROM consumed WHERE topic = ANY($1::text[])",
        list(topics),
    )
    return {(row["topic"], row["partition"]): row["next_offset"] for row in rows}


async def lock_offsets(connection: Connection, topics: Sequence[str]) -> dict[Place, int]:
    """Returns the next offset to read of each partition; until the transaction ends
    nobody reads on.
    """
    rows = await connection.fetch(
        """
        SELECT topic, partition, next_offset FROM consumed WHERE topic = ANY($1::text[])
        ORDER BY topic, partition FOR UPDATE
        """,
        list(topics),
    )
    return {(row["topic"], row["partition"]): row["next_offset"] for row in rows}


async def update_offsets(
    connection: Connection, begins: Mapping[Place, int], ends: Mapping[Place, int]
) -> bool:
    """Moves partitions from `begins` to `ends`; False if one is not at its beginning any more.

    The rows are locked in one order, so that transactions at once wait for each other and
    never deadlock.
    """
    places = sorted(ends)
    rows = await connection.fetch(
        """
        WITH moved AS (
            SELECT consumed.topic, consumed.partition, new.next_offset
            FROM unnest($1::text[], $2::integer[], $3::bigint[], $4::bigint[])
                AS new (topic, partition, expected, next_offset)
            JOIN consumed ON consumed.topic = new.topic AND consumed.partition = new.partition
                AND consumed.next_offset = new.expected
            ORDER BY consumed.topic, consumed.partition
            FOR UPDATE OF consumed
        )
        UPDATE consumed SET next_offset = moved.next_offset, updated_at = now() FROM moved
        WHERE consumed.topic = moved.topic AND consumed.partition = moved.partition
        RETURNING true
        """,
        [topic for topic, _ in places],
        [partition for _, partition in places],
        [begins[place] for place in places],
        [ends[place] for place in places],
    )
    return len(rows) == len(places)


async def reset_offsets(connection: Connection, topics: Sequence[str]) -> None:
    """Sets every partition of `topics` to its beginning."""
    await connection.execute(
        "UPDATE consumed SET next_offset = 0 WHERE topic = ANY($1::text[])", list(topics)
    )


async def insert_events(connection: Connection, event_ids: Sequence[UUID]) -> set[UUID]:
    """Stores the ids and returns those that were not seen before."""
    rows = await connection.fetch(
        """
        INSERT INTO seen_event (event_id) SELECT unnest($1::uuid[])
        ON CONFLICT DO NOTHING RETURNING event_id
        """,
        sorted(event_ids),
    )
    return {row["event_id"] for row in rows}


async def delete_old_events(connection: Connection) -> int:
    """Deletes at most CLEAN_BATCH_ROWS ids that are older than EVENT_IDS_KEPT_DAYS;
    returns how many.
    """
    rows = await connection.fetch(
        """
        DELETE FROM seen_event WHERE event_id IN (
            SELECT event_id FROM seen_event
            WHERE seen_at < now() - make_interval(days => $1) LIMIT $2
        ) RETURNING true
        """,
        EVENT_IDS_KEPT_DAYS,
        CLEAN_BATCH_ROWS,
    )
    return len(rows)


async def select_known_dead_letters(
    connection: Connection, letters: Sequence[DeadLetter]
) -> set[tuple[str, int, int]]:
    """Returns topic, partition and offset of those that are stored already."""
    rows = await connection.fetch(
        """
        SELECT topic, partition, record_offset FROM dead_letter
        WHERE (topic, partition, record_offset)
            IN (SELECT * FROM unnest($1::text[], $2::integer[], $3::bigint[]))
        """,
        *_places(letters),
    )
    return {(row["topic"], row["partition"], row["record_offset"]) for row in rows}


async def insert_dead_letters(connection: Connection, letters: Sequence[DeadLetter]) -> None:
    await connection.execute(
        """
        INSERT INTO dead_letter (topic, partition, record_offset, reason)
        SELECT * FROM unnest($1::text[], $2::integer[], $3::bigint[], $4::text[])
        ON CONFLICT DO NOTHING
        """,
        *_places(letters),
        [letter.reason for letter in letters],
    )


async def select_dead_letters(
    connection: Connection, *, unresolved: bool = True
) -> list[StoredDeadLetter]:
    """Returns the newest MAX_LISTED_DEAD_LETTERS, by default those without a resolution."""
    rows = await connection.fetch(
        """
        SELECT topic, partition, record_offset, reason, recorded_at, resolution, note
        FROM dead_letter WHERE resolution = '' OR NOT $1
        ORDER BY recorded_at DESC, topic, partition, record_offset LIMIT $2
        """,
        unresolved,
        MAX_LISTED_DEAD_LETTERS,
    )
    return [_stored(row) for row in rows]


async def select_dead_letter(
    connection: Connection, topic: str, partition: int, record_offset: int
) -> StoredDeadLetter | None:
    """Returns the dead letter at this place, or None."""
    row = await connection.fetchrow(
        """
        SELECT topic, partition, record_offset, reason, recorded_at, resolution, note
        FROM dead_letter WHERE topic = $1 AND partition = $2 AND record_offset = $3
        """,
        topic,
        partition,
        record_offset,
    )
    return _stored(row) if row else None


async def resolve_dead_letters(
    connection: Connection, letters: Sequence[DeadLetter], resolution: str, note: str
) -> int:
    """Marks unresolved letters as `redriven` or `discarded`; returns how many were."""
    rows = await connection.fetch(
        """
        UPDATE dead_letter SET resolution = $4, note = $5, resolved_at = now()
        WHERE resolution = '' AND (topic, partition, record_offset)
            IN (SELECT * FROM unnest($1::text[], $2::integer[], $3::bigint[]))
        RETURNING true
        """,
        *_places(letters),
        resolution,
        note,
    )
    return len(rows)


async def count_dead_letters(connection: Connection, new_seconds: float) -> tuple[int, int]:
    """Returns how many are unresolved, and how many of those came in the last `new_seconds`."""
    row = await connection.fetchrow(
        """
        SELECT count(*),
            count(*) FILTER (WHERE recorded_at > now() - make_interval(secs => $1))
        FROM dead_letter WHERE resolution = ''
        """,
        new_seconds,
    )
    return row[0], row[1]


def _places(letters: Sequence[DeadLetter]) -> tuple[list[str], list[int], list[int]]:
    return (
        [letter.topic for letter in letters],
        [letter.partition for letter in letters],
        [letter.record_offset for letter in letters],
    )


def _stored(row: Mapping[str, object]) -> StoredDeadLetter:
    values = dict(row)
    letter = {name: values.pop(name) for name in ("topic", "partition", "record_offset", "reason")}
    return StoredDeadLetter(letter=DeadLetter(**letter), **values)  # type: ignore[arg-type]
