"""Runs changes: each is one transaction that is answered once for its request id, audited, and
told to others.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from uuid import UUID
from weakref import WeakValueDictionary

import asyncpg
from google.protobuf.message import Message

from apps.billing.parsing import Fields
from apps.billing.settings import Settings
from apps.kit.context import current_context, new_id
from apps.kit.database import Connection, Database
from apps.kit.errors import PreconditionFailed, Problem, Unavailable, Unprocessable
from apps.kit.rpc import Caller
from protos.billing.v1 import events_pb2

MAX_TRIES = 3
# Two transactions that stood in each other's way: the one that was ended is worth another try.
RETRIED = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)

Answer = TypeVar("Answer", bound=Message)


def hash_of(message: Message) -> bytes:
    """Hashes a message's fields, in the order of their numbers."""
    return hashlib.sha256(message.SerializeToString(deterministic=True)).digest()


def expect_version(found: int, expected: int) -> None:
    """Raises PreconditionFailed where the caller has seen another version; 0 stands for any."""
    if expected and expected != found:
        raise PreconditionFailed("stale_version", f"the current version is {found}")


# What ends a change, in one statement: each of them is a round trip in which others wait.
AUDITED = """
    audited AS (
        INSERT INTO audit (audit_id, action, account_id, document_id, subject, client_id,
            service_id, correlation_id)
        SELECT *, $5::text, $6::text, $7::text, $8::text
        FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[]))
"""
TOLD = """
    INSERT INTO outbox (destination, event_id, patient_id, payload, request_id, traceparent)
    SELECT 'kafka', *, $8, $12::text FROM unnest($9::text[], $10::text[], $11::bytea[])
"""
ANSWERED = """
    INSERT INTO request (client_id, subject, request_id, method, request_hash, resource_id,
        response)
    VALUES ($6, $5, $13, $14, $15, $16, $17)
"""


class Change:
    """What one change adds beside its own rows: audit entries and events, written
    together at its end.
    """

    def __init__(self, connection: Connection, caller: Caller) -> None:
        self.connection = connection
        self.caller = caller
        # Its own: a batch of events has changes of several requests under way.
        self._context = current_context()
        self._audit: list[tuple[str, str, UUID | None, str]] = []
        self._events: list[tuple[str, str, bytes]] = []

    def audit(self, action: str, account_id: UUID | None, document_id: object = "") -> None:
        self._audit.append((new_id(), action, account_id, str(document_id)))

    def emit(self, event: events_pb2.BillingEvent) -> None:
        event.event_id = new_id()
        event.actor_id = self.caller.actor.subject
        event.correlation_id = self._context.request_id if self._context else ""
        self._events.append((event.event_id, event.patient_id, event.SerializeToString()))

    async def write(self) -> None:
        """Writes audit entries and events, if there are any."""
        if self._audit or self._events:
            await self.connection.execute(f"WITH {AUDITED} {TOLD}", *self._arguments())

    async def write_answer(self, method: str, message: Any, answer: Message) -> None:
        """Writes audit entries and events, and the answer for whoever sends the request again.

        Raises UniqueViolationError where the request id was used before, once that one
        has committed.
        """
        await self.connection.execute(
            f"WITH {AUDITED}, told AS ({TOLD}) {ANSWERED}",
            *self._arguments(),
            message.request_id,
            method,
            hash_of(message),
            new_id(),
            answer.SerializeToString(),
        )

    def _arguments(self) -> tuple[Any, ...]:
        context = self._context
        return (
            *(list(column) for column in _columns(self._audit, 4)),
            self.caller.actor.subject,
            self.caller.actor.client_id,
            self.caller.service.client_id,
            context.request_id if context else "",
            *(list(column) for column in _columns(self._events, 3)),
            context.traceparent if context else "",
        )


def _columns(rows: Sequence[Sequence[Any]], count: int) -> Sequence[Sequence[Any]]:
    return list(zip(*rows, strict=True)) or [()] * count


class Books:
    """`committed` is called after each change: there may be something to send.

    Changes that are known to meet at the same rows (`turns`: a busy ledger account, a number
    series) queue here, before they take a connection: inside PostgreSQL each of them would hold one
    while it waits.
    """

    def __init__(
        self, database: Database, settings: Settings, committed: Callable[[], None] = lambda: None
    ) -> None:
        self.database = database
        self.settings = settings
        self._committed = committed
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def turn(self, names: Sequence[str]) -> AsyncIterator[None]:
        """Waits for all of the names, in sorted order, so that no two wait for each other."""
        locks = []
        for name in sorted(set(names)):
            lock = self._turns.get(name)
            if lock is None:
                lock = self._turns[name] = asyncio.Lock()
            locks.append(lock)
        taken: list[asyncio.Lock] = []
        try:
            for lock in locks:
                await lock.acquire()
                taken.append(lock)
            yield
        finally:
            for lock in reversed(taken):
                lock.release()

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Connection]:
        """Yields a connection whose statements all see one moment, and change nothing."""
        async with self.database.connection() as connection:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                yield connection

    async def change(
        self,
        message: Any,
        caller: Caller,
        answer_type: type[Answer],
        operation: Callable[[Change], Awaitable[Answer]],
        *,
        turns: Sequence[str] = (),
    ) -> Answer:
        """Runs `operation` in one transaction; a request id that was used before gets
        its first answer.

        Raises Unprocessable where the request id was used for another request.
        """
        fields = Fields()
        fields.request_id(message.request_id)
        fields.check()
        method = type(message).__name__.removesuffix("Request")
        async with self.turn(turns):
            for tries in range(1, MAX_TRIES + 1):
                try:
                    async with self.database.transaction() as connection:
                        change = Change(connection, caller)
                        answer = await operation(change)
                        await change.write_answer(method, message, answer)
                except RETRIED as error:
                    if tries == MAX_TRIES:
                        raise Unavailable("too_much_contention") from error
                except Unavailable:
                    raise
                except (Problem, asyncpg.UniqueViolationError) as error:
                    # Refused, perhaps, only because the same request came through before.
                    first = await self._first_answer(caller, method, message)
                    if first is None:
                        raise
                    if first == b"":
                        raise Unavailable("answer_unknown") from error
                    return answer_type.FromString(first)
                else:
                    self._committed()
                    return answer
        raise AssertionError("not reached")

    async def _first_answer(self, caller: Caller, method: str, message: Any) -> bytes | None:
        async with self.database.connection() as connection:
            row = await connection.fetchrow(
                """
                SELECT method, request_hash, response FROM request
                WHERE client_id = $1 AND subject = $2 AND request_id = $3""",
                caller.actor.client_id,
                caller.actor.subject,
                message.request_id,
            )
        if row is None:
            return None
        if (row["method"], row["request_hash"]) != (method, hash_of(message)):
            raise Unprocessable(
                "request_id_reused",
                "the request id was used for another request",
                pointer="request_id",
            )
        return row["response"] or b""
