"""What may be done with the record, in terms of resources: create, change, delete. One
transaction each.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from apps.kit.context import new_id
from apps.kit.database import Connection, Database
from apps.kit.errors import (
    Conflict,
    FieldError,
    Forbidden,
    Gone,
    NotFound,
    PreconditionFailed,
    Unprocessable,
)
from apps.kit.idempotency import Claim, claim_key, insert_key
from apps.kit.scopes import Disclosure
from apps.patient.codec import Resource, decode
from apps.patient.definitions.model import served_types
from apps.patient.search.criteria import AllOf, Criterion
from apps.patient.search.hashing import resource_hash
from apps.patient.search.references import references_of
from apps.patient.storage.access import Caller
from apps.patient.storage.hidden_targets import hidden_targets
from apps.patient.storage.mrn import format_mrn, with_mrn
from apps.patient.storage.numbers import NumberBlocks
from apps.patient.storage.reading import select_living, select_stored, select_versions
from apps.patient.storage.search import select_matches
from apps.patient.storage.versions import (
    Change,
    Method,
    Stored,
    Version,
    change_of,
    deletion_of,
)
from apps.patient.storage.writing import TextCache, Writer

# A writer without `If-Match` that loses a race looks again, so often.
ATTEMPTS = 3

Make = Callable[[Version], Resource]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a write made. `created` is False for one that was there; `replayed`: the first
    answer, given again.

    `version` is None where a delete found nothing to delete.
    """

    version: Version
    created: bool
    replayed: bool = False
    disclosure: Disclosure = Disclosure.BODY

    @property
    def reference(self) -> str:
        return f"{201 if self.created else 200} {self.version.reference}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """Search criteria of a conditional interaction. `text` is what two writers take turns by."""

    resource_type: str
    text: str
    criterion: Criterion


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What the headers say of the version that is there: `If-Match` and `If-None-Match: *`."""

    version_id: int | None = None
    must_exist: bool = False
    must_not_exist: bool = False

    def check(self, current: Version | None) -> None:
        """Raises PreconditionFailed where the current version is another than the expected one."""
        is_there = current is not None and current.body is not None
        if self.must_not_exist and is_there:
            raise stale(current, "there is such a resource already")
        if (self.must_exist or self.version_id is not None) and not is_there:
            raise stale(current, "there is no such resource")
        if self.version_id is not None and current and self.version_id != current.version_id:
            raise stale(current)

    @property
    def is_strict(self) -> bool:
        return self.version_id is not None or self.must_not_exist


ANY_VERSION = Expected()


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


async def check_visible(
    connection: Connection, version: Version, caller: Caller, interaction: str
) -> None:
    """Raises NotFound for what the caller may not know of."""
    await caller.load_referred(connection, version.resource_type)
    if caller.disclosure_of(version, interaction) is Disclosure.NOTHING:
        raise NotFound("not_found")


def gone(version: Version) -> Gone:
    return Gone("deleted", headers={"ETag": version.etag})


def stale(
    current: Version | None,
    message: str = "If-Match names a version that is not the current one",
) -> PreconditionFailed:
    headers = {"ETag": current.etag} if current else None
    return PreconditionFailed("stale_version", message, headers=headers)


def asked_references(
    changes: Sequence[Change], born: frozenset[tuple[str, str]] = frozenset()
) -> dict[tuple[str, str], Change]:
    """Returns what must be there, with the change that refers to it, itself or by a contained
    resource: neither `born` nor referred to before.
    """
    asked: dict[tuple[str, str], Change] = {}
    for change in changes:
        known = change.stored.target_hashes if change.stored else frozenset()
        referred = [(kind, id) for _, kind, id in references_of(change.values)]
        for target in (*referred, *change.contained_references):
            is_held_here = target[0] in served_types()
            if is_held_here and target not in born and resource_hash(*target) not in known:
                asked.setdefault(target, change)
    return asked


async def check_references(
    connection: Connection,
    changes: Sequence[Change],
    caller: Caller,
    born: frozenset[tuple[str, str]] = frozenset(),
    pointers: Mapping[str, str] | None = None,
) -> None:
    """Raises Unprocessable for references to resources that are not there, but for those `born`
    with these changes, and for those that are hidden from the caller.

    References that the version before had already are left alone. `pointers` tells where a resource
    of a Bundle is, by its id.
    """
    asked = asked_references(changes, born)
    hidden = await hidden_targets(connection, changes, caller, born)
    living = set(await select_living(connection, list(asked))) - set(hidden)
    asked = hidden | asked
    faults = [
        FieldError(
            "not-found",
            f"there is no {'such patient' if kind == 'Patient' else f'{kind}/{id}'}",
            _pointer(change, f"{kind}/{id}", pointers),
        )
        for (kind, id), change in asked.items()
        if (kind, id) not in living
    ]
    if faults:
        is_patient = any(fault.message == "there is no such patient" for fault in faults)
        code = "patient_unknown" if is_patient else "reference_unknown"
        raise Unprocessable(code, faults[0].message, faults=tuple(faults[:20]))


def _pointer(change: Change, target: str, pointers: Mapping[str, str] | None) -> str:
    """Returns where the resource refers to `target`, looked for once there is
    something to refuse.
    """
    at = (pointers or {}).get(change.version.id, "")
    waiting: list[tuple[Any, str]] = [(decode(change.version.body or "{}"), at)]
    while waiting:
        value, pointer = waiting.pop()
        if isinstance(value, dict):
            reference = value.get("reference")
            if isinstance(reference, str) and target in reference:
                return f"{pointer}/reference"
            waiting += [(child, f"{pointer}/{name}") for name, child in value.items()]
        elif isinstance(value, list):
            waiting += [(child, f"{pointer}/{index}") for index, child in enumerate(value)]
    return at


async def find_existing(
    connection: Connection, condition: Condition, caller: Caller
) -> Outcome | None:
    """Returns what matches already; raises PreconditionFailed where more than one does.

    Until the transaction ends nobody else can create under the same condition. Finding needs the
    scope to search.
    """
    await lock_condition(connection, condition)
    found = await matches_of(connection, condition, caller)
    return Outcome(found[0], created=False, disclosure=found[1]) if found else None


async def lock_condition(connection: Connection, condition: Condition) -> None:
    await connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended($1, 1))", condition.text
    )


async def matches_of(
    connection: Connection, condition: Condition, caller: Caller
) -> tuple[Version, Disclosure] | None:
    """Returns the one match of a condition, or None; raises PreconditionFailed where
    there are more.
    """
    caller.require(condition.resource_type, "s")
    reachable = caller.criterion(condition.resource_type, "s")
    matches = await select_matches(
        connection,
        condition.resource_type,
        AllOf(criteria=(caller.limited(condition.criterion), reachable)),
        caller.scans.budget,
    )
    if len(matches) > 1:
        raise PreconditionFailed("multiple_matches", "more than one resource meets the condition")
    if not matches:
        return None
    await caller.load_referred(connection, condition.resource_type)
    found = caller.disclosure_of(matches[0], "s")
    if found is Disclosure.NOTHING:
        raise Forbidden("insufficient_scope", f"this needs {condition.resource_type}.s")
    return matches[0], found


async def repeat_answer(connection: Connection, reference: str, caller: Caller) -> list[Outcome]:
    """Returns the first answer from its reference, a line a resource."""
    lines = [line.split(" ", 1) for line in reference.splitlines()]
    parts = [text.split("/") for _, text in lines]
    versions = await select_versions(
        connection, [(part[0], part[1], int(part[3])) for part in parts]
    )
    outcomes = []
    for (status, _), version in zip(lines, versions, strict=True):
        await caller.load_referred(connection, version.resource_type)
        interaction = "c" if status == "201" else "s"
        found = caller.disclosure_of(version, interaction)
        outcomes.append(Outcome(version, created=status == "201", replayed=True, disclosure=found))
    return outcomes
