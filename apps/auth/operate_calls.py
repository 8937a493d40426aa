"""What the operators' verbs share: a transaction each, an entry in the audit, arguments."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import asyncpg

from apps.auth.audit import Event, insert_audit
from apps.auth.settings import Settings
from apps.kit.database import Connection, connect_options
from apps.kit.operate import Answer, Handler, Values

# The actor in the audit log.
OPERATOR = "operator"

Function: TypeAlias = Callable[[Settings, Connection, Values], Awaitable[Answer]]


def in_transaction(function: Function) -> Handler[Settings]:
    """Gives `function` a connection and a transaction of its own."""

    async def handle(settings: Settings, values: Values) -> Answer:
        options: dict[str, Any] = connect_options(settings.database)
        connection = await asyncpg.connect(settings.database.url, **options)
        try:
            async with connection.transaction():
                return await function(settings, connection, values)
        finally:
            await connection.close()

    return handle


async def audit(connection: Connection, event: str, subject: str = "") -> None:
    await insert_audit(connection, Event(event, actor_id=OPERATOR, subject=subject))


def list_of(values: Values, name: str) -> list[str]:
    value = values.get(name, [])
    return value if isinstance(value, list) else [str(value)]


def text_or_none(values: Values, name: str) -> str | None:
    value = values.get(name)
    return None if value is None else str(value)
