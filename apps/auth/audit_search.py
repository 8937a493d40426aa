"""Searches the audit log of sign-ins and accounts, for `scripts/operate audit search`."""

from apps.kit.database import Connection
from apps.kit.operate import Row, Values, limit_of, time_of

SEARCH = """
    SELECT occurred_at, event, outcome, reason, actor_id, client_id, subject, address, request_id
    FROM audit
    WHERE ($1::text IS NULL OR actor_id = $1 OR client_id = $1)
      AND ($2::text IS NULL OR subject = $2)
      AND ($3::text IS NULL OR event = $3)
      AND ($4::timestamptz IS NULL OR occurred_at >= $4)
      AND ($5::timestamptz IS NULL OR occurred_at < $5)
    ORDER BY occurred_at DESC, id DESC LIMIT $6
"""


async def search_audit(connection: Connection, values: Values) -> list[Row]:
    """Returns the newest matching entries, newest first."""
    rows = await connection.fetch(
        SEARCH,
        values.get("actor"),
        values.get("subject"),
        values.get("event"),
        time_of(values, "since"),
        time_of(values, "until"),
        limit_of(values),
    )
    return [
        {**row, "occurred_at": row["occurred_at"].isoformat(timespec="milliseconds")}
        for row in map(dict, rows)
    ]
