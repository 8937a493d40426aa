"""The outbox as its relays and operators see it: what waits, what was refused, what was
sent and is gone.

Each service that uses it has a table `outbox` of its own, by its migrations; its rows are
keyed by patient.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from apps.kit.database import Connection

# The number of each destination's advisory lock: it must not change, as two releases
# may run at once.
DESTINATIONS = {"billing": 0, "kafka": 1}
LOCK = 0x6F757462  # "outb"
# Older than this and unsent: operators are told.
LATE_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Entry:
    id: int
    patient_id: str
    event_id: str
    payload: bytes
    request_id: str
    traceparent: str
    attempts: int


@dataclass(frozen=True, slots=True)
class Parked:
    id: int
    destination: str
    patient_id: str
    event_id: str
    created_at: datetime
    attempts: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """What an outbox holds for one destination. `oldest_at`: of the oldest row that waits."""

    destination: str
    waiting: int
    parked: int
    oldest_at: datetime | None


async def try_lead(connection: Connection, destination: str) -> bool:
    """Tells whether this session is the destination's one relay; it stays so until it ends."""
    leads: bool = await connection.fetchval(
        "SELECT pg_try_advisory_lock($1, $2)", LOCK, DESTINATIONS[destination]
    )
    return leads


async def select_unsent(connection: Connection, destination: str, limit: int) -> list[Entry]:
    """Returns rows in order. Never by a high-water mark, which would skip what commits late; not of
    a patient with a row held.
    """
    rows = await connection.fetch(
        """
        SELECT id, patient_id, event_id, payload, request_id, traceparent, attempts FROM outbox o
        WHERE destination = $1 AND NOT EXISTS (
            SELECT FROM outbox held WHERE held.destination = $1 AND held.patient_id = o.patient_id
              AND (held.parked OR held.held_until IS NOT NULL) AND (held.parked OR held.held_until >
                  now()))
        ORDER BY id LIMIT $2""",
        destination,
        limit,
    )
    return [Entry(*row) for row in rows]


async def delete_sent(connection: Connection, ids: Sequence[int]) -> None:
    await connection.execute("DELETE FROM outbox WHERE id = ANY($1::bigint[])", ids)


async def vacuum(connection: Connection) -> None:
    """Takes away the rows that were sent, outside a transaction; does nothing without the right
    to (MAINTAIN).

    Autovacuum looks once a minute: by then a registration of a thousand patients a second has left
    100,000 of them.
    """
    await connection.execute("VACUUM (SKIP_LOCKED, TRUNCATE false, PARALLEL 0) outbox")


async def hold(connection: Connection, id: int, reason: str, seconds: float) -> None:
    """Holds the row up: it is tried again after `seconds`; until then nothing of the same
    patient is sent.
    """
    await connection.execute(
        """
        UPDATE outbox SET attempts = attempts + 1, reason = $2, held_until = now() +
            make_interval(secs => $3)
        WHERE id = $1""",
        id,
        reason,
        seconds,
    )


async def park(connection: Connection, id: int, reason: str) -> None:
    """Sets a row aside that was refused for good: it waits, and all behind it of the same patient,
    until an operator retries it.
    """
    await connection.execute(
        "UPDATE outbox SET attempts = attempts + 1, reason = $2, parked = true WHERE id = $1",
        id,
        reason,
    )


async def select_parked(connection: Connection) -> list[Parked]:
    rows = await connection.fetch(
        """
        SELECT id, destination, patient_id, event_id, created_at, attempts, reason FROM outbox
        WHERE parked ORDER BY id LIMIT 1000"""
    )
    return [Parked(*row) for row in rows]


async def select_queues(connection: Connection) -> list[Queue]:
    """Returns the destinations that have rows, with the numbers of those that wait and those
    that were refused.
    """
    rows = await connection.fetch(
        """
        SELECT destination, count(*) FILTER (WHERE NOT parked) AS waiting,
               count(*) FILTER (WHERE parked) AS parked,
               min(created_at) FILTER (WHERE NOT parked) AS oldest_at
        FROM outbox GROUP BY destination ORDER BY destination"""
    )
    return [Queue(**dict(row)) for row in rows]


async def retry_parked(connection: Connection, ids: Sequence[int] | None) -> int:
    """Lets parked rows be sent again: these, or all. How many there were."""
    rows: list[Any] = await connection.fetch(
        """
        UPDATE outbox SET parked = false, held_until = NULL
        WHERE parked AND ($1::bigint[] IS NULL OR id = ANY($1)) RETURNING id""",
        ids,
    )
    return len(rows)


async def delete_parked(connection: Connection, ids: Sequence[int] | None) -> int:
    """Deletes parked rows, these or all, and returns how many. A row that is still to be sent is
    never deleted.
    """
    rows: list[Any] = await connection.fetch(
        "DELETE FROM outbox WHERE parked AND ($1::bigint[] IS NULL OR id = ANY($1)) RETURNING id",
        ids,
    )
    return len(rows)


async def select_troubles(connection: Connection) -> tuple[str, ...]:
    """Returns troubles for readiness: `outbox_<destination>_parked`,
    `outbox_<destination>_late`.
    """
    rows = await connection.fetch(
        """
        SELECT d.name,
               EXISTS (SELECT FROM outbox WHERE destination = d.name AND parked) AS parked,
               (SELECT created_at FROM outbox WHERE destination = d.name AND NOT parked ORDER BY id
                   LIMIT 1)
                   < now() - make_interval(secs => $2) AS late
        FROM unnest($1::text[]) AS d (name)""",
        list(DESTINATIONS),
        float(LATE_SECONDS),
    )
    return tuple(
        f"outbox_{row['name']}_{trouble}"
        for row in rows
        for trouble in ("parked", "late")
        if row[trouble]
    )
