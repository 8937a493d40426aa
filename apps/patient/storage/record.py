"""What may be done with the record, in terms of resources: create, change, delete. One
transaction each.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from apps.kit.context import new_id
from apps.kit.database import Connection, Database
from apps.kit.errors import Conflict, NotFound, Unprocessable
from apps.kit.idempotency import Claim, claim_key, insert_key
from apps.patient.codec import Resource, decode
from apps.patient.storage.access import Caller
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
from apps.patient.storage.reference_checks import asked_references, check_references
from apps.patient.storage.versions import Change, Method, Stored, Version, change_of, deletion_of
from apps.patient.storage.writing import TextCache, Writer

# A writer without `If-Match` that loses a race looks again, so often.
ATTEMPTS = 3


Make = Callable[[Version], Resource]


@dataclass(frozen=True, slots=True)
class Record:
    """`committed` is called after each transaction: what it left in the outbox can be sent."""

    database: Database
    committed: Callable[[], None]
    base_url: str
    writer: Writer = field(
        default_factory=lambda: Writer(NumberBlocks("resource_number"), TextCache())
    )
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
                outcome = await self.create_new(connection, resource, caller)
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
        """Stores `resource` under an id of ours, within the connection's transaction or
        one of its own.
        """
        change = await self.new_change(connection, resource, new_id(), "POST")
        found = caller.check_change(change, "c")
        await self.write_one(connection, change, caller)
        return Outcome(change.version, created=True, disclosure=found)

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

    async def update(
        self,
        resource_type: str,
        id: str,
        make: Make | Resource,
        caller: Caller,
        expected: Expected = ANY_VERSION,
        method: Method = "PUT",
    ) -> Outcome:
        """Writes the version after the current one: a resource, or what `make` makes of
        the current one.

        A resource is stored where there is none, or restored where there was one; `make` needs one.
        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with self.database.connection() as connection:
                    outcome = await self.update_in(
                        connection,
                        resource_type,
                        id,
                        make=make,
                        caller=caller,
                        expected=expected,
                        method=method,
                    )
            except Conflict as conflict:
                if conflict.code != "version_conflict":
                    raise
                if expected.is_strict:
                    raise stale(None) from None
                if attempt == ATTEMPTS:
                    raise
                continue
            self.committed()
            return outcome
        raise AssertionError("unreachable")

    async def update_in(
        self,
        connection: Connection,
        resource_type: str,
        id: str,
        *,
        make: Make | Resource,
        caller: Caller,
        expected: Expected = ANY_VERSION,
        method: Method = "PUT",
    ) -> Outcome:
        """Does what `update` does, within the connection's transaction or one of its own."""
        stored = await select_stored(connection, resource_type, id)
        change, outcome = await self.next_change(
            stored,
            connection,
            make=make,
            resource_type=resource_type,
            id=id,
            caller=caller,
            expected=expected,
            method=method,
        )
        # The version read here is part of the statement: nobody can come between.
        await self.write_one(connection, change, caller)
        return outcome

    async def write_one(self, connection: Connection, change: Change, caller: Caller) -> None:
        """Writes a change whose references are there, in one statement; BEGIN, a look-up and COMMIT
        would cost three round trips more.
        """
        referred = asked_references([change])
        hidden = await hidden_targets(connection, [change], caller, frozenset())
        if hidden or not await self.writer.write(connection, [change], caller.author, referred):
            await check_references(connection, [change], caller)
            raise Conflict("version_conflict", "a reference came back meanwhile; try again")

    async def next_change(
        self,
        stored: Stored | None,
        connection: Connection,
        *,
        make: Make | Resource,
        resource_type: str,
        id: str,
        caller: Caller,
        expected: Expected,
        method: Method,
    ) -> tuple[Change, Outcome]:
        """Returns the change and what it comes to, after all checks but of references."""
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
            caller.require(resource_type, "c")
        expected.check(current)
        if callable(make):
            assert current is not None
            resource = make(current)
        else:
            resource = with_kept_meta(make, current)
        change = await self.new_change(connection, resource, id, method, stored)
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
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with self.database.connection() as connection:
                    deleted = await self.delete_in(connection, resource_type, id, caller, expected)
            except Conflict:
                if expected.is_strict:
                    raise stale(None) from None
                if attempt == ATTEMPTS:
                    raise
                continue
            self.committed()
            return deleted
        raise AssertionError("unreachable")

    async def delete_in(
        self,
        connection: Connection,
        resource_type: str,
        id: str,
        caller: Caller,
        expected: Expected = ANY_VERSION,
    ) -> Version | None:
        """Does what `delete` does: one statement that changes something."""
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


# What a PUT without it does not take away (https://hl7.org/fhir/R4/resource.html#tag-updates).
_KEPT_META = ("profile", "security", "tag")


def with_kept_meta(resource: Resource, current: Version | None) -> Resource:
    """Returns `resource` with the tags, security labels and profiles that it does not mention."""
    if current is None or current.body is None:
        return resource
    kept = {
        name: value
        for name, value in (decode(current.body).get("meta") or {}).items()
        if name in _KEPT_META
    }
    meta = resource.get("meta") or {}
    return {**resource, "meta": {**kept, **meta}} if kept else resource
