"""Searches the audit of identity: for administrators and for operators."""

from collections.abc import Mapping
from typing import Any

from apps.kit.database import Connection

# A uuid that no entry comes after: ids sort by time.
LAST_ID = "ffffffff-ffff-ffff-ffff-ffffffffffff"
# `actor`: the person or client that acted; `client`: the application, also where a person
# acted through it.
FILTERS = ("actor", "subject", "client", "event", "outcome", "since", "until")

SEARCH = """
    SELECT id, occurred_at, event, outcome, reason, actor_id, client_id, subject, address,
        request_id
    FROM audit
    WHERE id < $1
        AND ($2::text IS NULL OR actor_id = $2 OR (actor_id = '' AND client_id = $2))
        AND ($3::text IS NULL OR subject = $3)
        AND ($4::text IS NULL OR client_id = $4) AND ($5::text IS NULL OR event = $5)
        AND ($6::text IS NULL OR outcome = $6)
        AND ($7::timestamptz IS NULL OR occurred_at >= $7)
        AND ($8::timestamptz IS NULL OR occurred_at < $8)
    ORDER BY id DESC LIMIT $9
"""


async def select_audit(
    connection: Connection, filters: Mapping[str, Any], *, limit: int, before: str = LAST_ID
) -> list[dict[str, Any]]:
    """Returns at most `limit` entries before an id that match every filter, the newest first."""
    rows = await connection.fetch(SEARCH, before, *(filters.get(name) for name in FILTERS), limit)
    return [{**row, "id": str(row["id"])} for row in map(dict, rows)]
