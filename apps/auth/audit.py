"""The audit of identity: who did what, when and from where; never a secret.

Entries are kept for six years, failures of nobody known for 90 days (migration 0003).
"""

from dataclasses import dataclass

from apps.kit.context import current_request_id, new_id
from apps.kit.database import Connection

MAX_FIELD_CHARS = 200


@dataclass(frozen=True, slots=True)
class Event:
    """`actor_id`: who did it (a user's or a client's id, or `operator`); `subject`:
    to whom or what.
    """

    name: str
    outcome: str = "success"
    reason: str = ""
    actor_id: str = ""
    client_id: str = ""
    subject: str = ""
    address: str = ""


async def insert_audit(connection: Connection, event: Event) -> None:
    fields = (
        event.name,
        event.outcome,
        event.reason,
        event.actor_id,
        event.client_id,
        event.subject,
        event.address,
    )
    await connection.execute(
        "INSERT INTO audit (id, event, outcome, reason, actor_id, client_id, subject, address, "
        "request_id) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        new_id(),
        *(_clean(value) for value in fields),
        current_request_id(),
    )


def _clean(value: str) -> str:
    """Replaces what PostgreSQL does not take, NUL and lone surrogates: a caller sends anything."""
    return value[:MAX_FIELD_CHARS].replace("\0", "").encode("utf-8", "replace").decode()
