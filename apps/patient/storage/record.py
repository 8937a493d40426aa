"""What may be done with the record, in terms of resources: create, change, delete. One
transaction each.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from apps.kit.context import new_id
from apps.kit.database import Connection, Database
from apps.kit.errors import Conflict, NotFound, Unprocessable
from apps.kit.idempotency import Claim, claim_key, insert_key
from apps.patient.codec import Resource
from apps.patient.storage.access import Caller
from apps.patient.storage.group_commit import GroupCommit
from apps.patient.storage.hidden_targets import hidden_targets
from apps.patient.storage.mrn import format_mrn, with_mrn
from apps.patient.storage.numbers import NumberBlocks
from apps.patient.storage.outcomes import Outcome, repeat_answer
from apps.patient.storage.preconditions import (
    ANY_VERSION,
    Condition,
    Expected,
    check_visible,
    find_existing,
    gone,
    stale,
)
from apps.patient.storage.reading import select_stored
from apps.patient.storage.reference_checks import asked_references, refuse_references
from apps.patient.storage.versions import (
    Change,
    Method,
    Stored,
    Version,
    change_of,
    deletion_of,
    with_kept_meta,
)
from apps.patient.storage.writing import Writer

# A writer without `If-Match` that loses a race looks again, up to three times.
ATTEMPTS = 4

Make = Callable[[Version], Resource]
Hidden = Mapping[tuple[str, str], Change]
Done = TypeVar("Done")


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """What somebody asks for: `make` is the resource, or makes it of the current version."""

    resource_type: str
    id: str
    make: Make | Resource
    caller: Caller
    expected: Expected = ANY_VERSION
    method: Method = "PUT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """`committed` is called after each transaction: what it left in the outbox can be sent.

    `writer` writes within a transaction, `group_commit` what is a transaction by itself.
    """

    database: Database
    committed: Callable[[], None]
    base_url: str
    writer: Writer
    group_commit: GroupCommit
    mrns: NumberBlocks = field(default_factory=lambda: NumberBlocks("mrn"))

    async def create(
        self,
        resource: Resource,
        caller: Caller,
        *,
        claim: Claim | None = None,
        condition: Condition | None = None,
    ) -> Outcome:
        """Stores `resource` under an id of ours, unless `condition` finds one that is there."""
        if claim is None and condition is None:
            async with self.database.connection() as connection:
                change, outcome = await self._creation(connection, resource, caller)
                hidden = await hidden_targets(connection, [change], caller, frozenset())
            await self._write_by_itself(change, caller, hidden)
        else:
            async with self.database.transaction() as connection:
                reference = await claim_key(connection, claim)
                if reference is not None:
                    return (await repeat_answer(connection, reference, caller))[0]
                existing = await find_existing(connection, condition, caller) if condition else None
                outcome = existing or await self.create_new(connection, resource, caller)
                await insert_key(connection, claim, outcome.reference)
        self.committed()
        return outcome

    async def create_new(
        self, connection: Connection, resource: Resource, caller: Caller
    ) -> Outcome:
        """Stores `resource` under an id of ours, within the connection's transaction."""
        change, outcome = await self._creation(connection, resource, caller)
        await self.write_one(connection, change, caller)
        return outcome

    async def _creation(
        self, connection: Connection, resource: Resource, caller: Caller
    ) -> tuple[Change, Outcome]:
        change = await self.new_change(connection, resource, new_id(), "POST")
        found = caller.check_change(change, "c")
        return change, Outcome(change.version, created=True, disclosure=found)

    async def new_change(
        self,
        connection: Connection,
        resource: Resource,
        id: str,
        method: Method,
        stored: Stored | None = None,
    ) -> Change:
        """Returns the next version of `resource`; a Patient's has the record number."""
        mrn = None
        if resource["resourceType"] == "Patient":
            mrn = stored.mrn if stored else None
            if mrn is None:
                mrn = format_mrn((await self.mrns.take(connection, 1))[0])
            resource = with_mrn(resource, mrn)
        return change_of(
            resource, id=id, method=method, base_url=self.base_url, stored=stored, mrn=mrn
        )

    async def update(self, update: Update) -> Outcome:
        """Writes the version after the current one.

        A resource is stored where there is none, or restored where there was one; `make` needs one.
        """
        return await self._retried(
            update.expected,
            lambda: self._update_by_itself(update),
            lambda connection: self.update_in(connection, update),
        )

    async def _update_by_itself(self, update: Update) -> Outcome:
        async with self.database.connection() as connection:
            change, outcome = await self._next_update(connection, update)
            hidden = await hidden_targets(connection, [change], update.caller, frozenset())
        await self._write_by_itself(change, update.caller, hidden)
        return outcome

    async def _retried(
        self,
        expected: Expected,
        first: Callable[[], Awaitable[Done]],
        again: Callable[[Connection], Awaitable[Done]],
    ) -> Done:
        """Returns what `first` does or, where another writer came before it, what `again` does.

        That writes on the connection on which it has looked: behind a group it would be too
        late once more.
        """
        for attempt in range(ATTEMPTS):
            try:
                if attempt == 0:
                    done = await first()
                else:
                    async with self.database.connection() as connection:
                        done = await again(connection)
            except Conflict as conflict:
                if conflict.code != "version_conflict":
                    raise
                if expected.is_strict:
                    raise stale(None) from None
                if attempt == ATTEMPTS - 1:
                    raise
            else:
                self.committed()
                return done
        raise AssertionError("unreachable")

    async def update_in(self, connection: Connection, update: Update) -> Outcome:
        """Does what `update` does, within the connection's transaction or one of its own."""
        change, outcome = await self._next_update(connection, update)
        await self.write_one(connection, change, update.caller)
        return outcome

    async def _next_update(self, connection: Connection, update: Update) -> tuple[Change, Outcome]:
        stored = await select_stored(connection, update.resource_type, update.id)
        return await self.next_change(connection, update, stored)

    async def write_one(self, connection: Connection, change: Change, caller: Caller) -> None:
        """Writes a change whose references are there, within the connection's transaction."""
        referred = asked_references([change])
        hidden = await hidden_targets(connection, [change], caller, frozenset())
        if hidden or not await self.writer.write(connection, [change], caller.author, referred):
            async with connection.transaction():
                await refuse_references(connection, change, caller)

    async def _write_by_itself(self, change: Change, caller: Caller, hidden: Hidden) -> None:
        """Writes a change whose references are there as a transaction, in one statement: BEGIN, a
        look-up and COMMIT would cost three round trips more.

        The version that the change follows is part of the statement: nobody can come between.
        """
        referred = asked_references([change])
        if hidden or not await self.group_commit.write(change, caller.author, referred):
            async with self.database.transaction() as connection:
                await refuse_references(connection, change, caller)

    async def next_change(
        self, connection: Connection, update: Update, stored: Stored | None
    ) -> tuple[Change, Outcome]:
        """Returns the change and what it comes to, after all checks but of references."""
        make, caller = update.make, update.caller
        current = stored.version if stored else None
        if current is not None:
            await check_visible(connection, current, caller, "u")
        if callable(make):
            if current is None:
                raise NotFound("not_found")
            if current.body is None:
                raise gone(current)
        elif current is None:
            # A client's own id: it creates, and that needs the scope to create.
            caller.require(update.resource_type, "c")
        update.expected.check(current)
        if callable(make):
            assert current is not None
            resource = make(current)
        else:
            resource = with_kept_meta(make, current)
        change = await self.new_change(connection, resource, update.id, update.method, stored)
        if (
            current is not None
            and current.patient_id is not None
            and change.version.patient_id != current.patient_id
        ):
            raise Unprocessable(
                "patient_changed",
                "a record does not move to another patient",
                pointer="/subject",
            )
        found = caller.check_change(change, "u" if current else "c")
        is_new = current is None or current.body is None
        return change, Outcome(change.version, created=is_new, disclosure=found)

    async def delete(
        self, resource_type: str, id: str, caller: Caller, expected: Expected = ANY_VERSION
    ) -> Version | None:
        """Deletes the resource and keeps its history. Returns the deletion; None where there was
        nothing to delete.
        """
        return await self._retried(
            expected,
            lambda: self._delete_by_itself(resource_type, id, caller, expected),
            lambda connection: self.delete_in(connection, resource_type, id, caller, expected),
        )

    async def _delete_by_itself(
        self, resource_type: str, id: str, caller: Caller, expected: Expected
    ) -> Version | None:
        async with self.database.connection() as connection:
            stored = await select_stored(connection, resource_type, id)
            change = await self.next_deletion(connection, stored, caller, expected)
        if change is None:
            return stored.version if stored else None
        await self.group_commit.write(change, caller.author, ())
        return change.version

    async def delete_in(
        self,
        connection: Connection,
        resource_type: str,
        id: str,
        caller: Caller,
        expected: Expected = ANY_VERSION,
    ) -> Version | None:
        """Does what `delete` does, within the connection's transaction."""
        stored = await select_stored(connection, resource_type, id)
        change = await self.next_deletion(connection, stored, caller, expected)
        if change is None:
            return stored.version if stored else None
        await self.writer.write(connection, [change], caller.author)
        return change.version

    async def next_deletion(
        self,
        connection: Connection,
        stored: Stored | None,
        caller: Caller,
        expected: Expected = ANY_VERSION,
    ) -> Change | None:
        if stored is None:
            expected.check(None)
            return None
        await check_visible(connection, stored.version, caller, "d")
        expected.check(stored.version)
        return None if stored.version.body is None else deletion_of(stored)
