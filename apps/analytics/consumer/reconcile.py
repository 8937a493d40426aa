"""Checks that every event counts once: makes the figures anew from the topics, and names each
row that differs.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from apps.analytics.consumer.rebuild import remake_figures
from apps.analytics.settings import Settings
from apps.kit.broker import Message
from apps.kit.database import Connection, Database
from apps.kit.event_storage import lock_offsets
from apps.kit.relay import connect_to

MAX_DIFFERENCES = 100
ROWS_AT_ONCE = 5_000
READ_TIMEOUT_SECONDS = 600
# What names a row of each table of figures: ids and times, nothing of a person.
KEYS = {
    "registration": "extract(epoch FROM hour)::bigint::text",
    "patient": "patient_id",
    "fact": "resource_type || '/' || resource_id",
    "charge": "charge_item_id",
    "invoice_version": "invoice_id || '/' || version",
    "revenue": "invoice_id || '/' || document || '/' || revenue_group",
    "payment": "payment_id || '/' || refund_id",
}


@dataclass(frozen=True, slots=True)
class Difference:
    """`code`: `figure_missing`, `figure_unexpected` or `figure_mismatch`; `subject`: the
    table and its row.
    """

    code: str
    subject: str


class _Nowhere:
    """Takes what a check would publish: the dead letters were sent when they were read first."""

    async def publish(self, messages: Sequence[Message]) -> None:
        return


class _Checked(Exception):
    """Ends the transaction that made figures for the check alone."""


async def reconcile(settings: Settings, database: Database) -> list[Difference]:
    """Returns at most MAX_DIFFERENCES of each table. Consumers wait meanwhile, readers do not.

    Raises Unavailable.
    """
    differences: list[Difference] = []
    try:
        async with database.transaction() as made:
            # From here on no consumer counts: both sides are as of the same offsets.
            ends = await lock_offsets(made, settings.consumer.topics)
            # Another connection: a task has but one of the database's pool.
            async with connect_to(settings.database)() as stored:
                async with stored.transaction(isolation="repeatable_read", readonly=True):
                    # The snapshot begins with its first statement.
                    await stored.execute("SELECT FROM consumed")
                    await remake_figures(settings, made, _Nowhere(), ends)
                    for table, key in KEYS.items():
                        differences += await _compare(stored, made, table, key)
            raise _Checked
    except _Checked:
        return differences


async def _compare(stored: Connection, made: Connection, table: str, key: str) -> list[Difference]:
    """Walks both tables in the order of their keys."""
    differences: list[Difference] = []
    left, right = _rows(stored, table, key), _rows(made, table, key)
    found, expected = await anext(left, None), await anext(right, None)
    while (found or expected) and len(differences) < MAX_DIFFERENCES:
        if expected is None or (found is not None and found[0] < expected[0]):
            assert found is not None
            differences.append(Difference("figure_unexpected", f"{table} {found[0]}"))
            found = await anext(left, None)
        elif found is None or expected[0] < found[0]:
            differences.append(Difference("figure_missing", f"{table} {expected[0]}"))
            expected = await anext(right, None)
        else:
            if found[1] != expected[1]:
                differences.append(Difference("figure_mismatch", f"{table} {found[0]}"))
            found, expected = await anext(left, None), await anext(right, None)
    return differences


async def _rows(connection: Connection, table: str, key: str) -> AsyncIterator[tuple[str, str]]:
    """Yields each row's key and a hash of all that it holds."""
    cursor = await connection.cursor(
        f'SELECT ({key}) COLLATE "C", md5(t::text) FROM {table} t ORDER BY 1',  # noqa: S608
        timeout=READ_TIMEOUT_SECONDS,
    )
    while rows := await cursor.fetch(ROWS_AT_ONCE, timeout=READ_TIMEOUT_SECONDS):
        for row in rows:
            yield row[0], row[1]
