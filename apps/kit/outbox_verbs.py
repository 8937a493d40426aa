"""The verbs `outbox list|show|retry|discard` of `scripts/operate`, for every service that
has an outbox.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from apps.kit.database import Connection, DatabaseSettings
from apps.kit.errors import NotFound
from apps.kit.operate import Answer, Handler, OperateSettings, Values, ids_of
from apps.kit.outbox import delete_parked, retry_parked, select_parked
from apps.kit.relay import connect_to

# Of a row's destination and payload, the event as JSON.
Describe = Callable[[str, bytes], Mapping[str, Any]]


class OutboxSettings(OperateSettings, Protocol):
    @property
    def database(self) -> DatabaseSettings: ...


def outbox_verbs(describe: Describe) -> dict[str, Handler[Any]]:
    """Returns the functions by the verb's name; `describe` decodes the service's own events."""

    async def list_rows(settings: OutboxSettings, values: Values) -> Answer:
        async with connect_to(settings.database)() as connection:
            parked = await select_parked(connection)
        return [
            {
                "id": row.id,
                "destination": row.destination,
                "patient": row.patient_id,
                "created": row.created_at.isoformat(timespec="seconds"),
                "attempts": row.attempts,
                "reason": row.reason,
            }
            for row in parked
        ]

    async def show_row(settings: OutboxSettings, values: Values) -> Answer:
        async with connect_to(settings.database)() as connection:
            row = await select_row(connection, int(str(values["id"])))
        if row is None:
            raise NotFound("not_found", f"the outbox has no row {values['id']}")
        payload = row.pop("payload")
        try:
            event = describe(row["destination"], payload)
        except Exception as error:
            # Whatever is wrong with it, an operator must be able to look at it.
            event = {"unreadable": type(error).__name__, "bytes": payload.hex()}
        return {**row, "event": event}

    async def retry_rows(settings: OutboxSettings, values: Values) -> Answer:
        async with connect_to(settings.database)() as connection:
            return {"sent again": await retry_parked(connection, ids_of(values))}

    async def discard_rows(settings: OutboxSettings, values: Values) -> Answer:
        async with connect_to(settings.database)() as connection:
            return {"discarded": await delete_parked(connection, ids_of(values))}

    return {
        "outbox list": list_rows,
        "outbox show": show_row,
        "outbox retry": retry_rows,
        "outbox discard": discard_rows,
    }


async def select_row(connection: Connection, id: int) -> dict[str, Any] | None:
    """Returns the row with all its columns, or None."""
    row = await connection.fetchrow("SELECT * FROM outbox WHERE id = $1", id)
    return dict(row) if row else None
