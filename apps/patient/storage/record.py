"""What may be done with the record, in terms of resources: create, read, replace, delete. One transaction each."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

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
from apps.patient.codec import Resource
from apps.patient.search.search_parameters import Criteria
from apps.patient.storage.mrn import MrnIssuer, with_mrn
from apps.patient.storage.reading import (
    select_current,
    select_living_patients,
    select_mrn,
    select_versions,
)
from apps.patient.storage.search import select_matches
from apps.patient.storage.versions import (
    Author,
    Change,
    Version,
    change_of,
    deletion_of,
    now,
    subject_of,
)
from apps.patient.storage.writing import insert_changes

# A writer without `If-Match` that loses a race looks again, so often.
ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a write made. `created` is False for one that was there; `replayed`: the first answer, given again."""

    version: Version
    created: bool
    replayed: bool = False

    @property
    def reference(self) -> str:
        return f"{201 if self.created else 200} {self.version.reference}"


@dataclass(frozen=True, slots=True)
class Condition:
    """Create only where nothing matches (`If-None-Exist`, `ifNoneExist`). `text` is what two writers take turns by."""

    text: str
    criteria: Criteria


@dataclass(frozen=True, slots=True)
class Record:
    """`committed` is called after each transaction: what it left in the outbox can be sent."""

    database: Database
    committed: Callable[[], None]
    mrns: MrnIssuer = field(default_factory=MrnIssuer)

    async def create(
        self,
        resource: Resource,
        author: Author,
        restrict_to_patient_id: str | None = None,
        *,
        claim: Claim | None = None,
        condition: Condition | None = None,
    ) -> Outcome:
        """`resource` under an id of ours. Needs a transaction only where something is asked before it writes."""
        if claim is None and condition is None and resource["resourceType"] == "Patient":
            async with self.database.connection() as connection:
                change = await self.new_change(connection, resource, restrict_to_patient_id)
                await insert_changes(connection, [change], author)
            self.committed()
            return Outcome(change.version, created=True)
        async with self.database.transaction() as connection:
            reference = await claim_key(connection, claim)
            if reference is not None:
                return (await repeat_answer(connection, reference))[0]
            outcome = (
                None
                if condition is None
                else await find_match(connection, resource["resourceType"], condition)
            )
            if outcome is None:
                change = await self.new_change(connection, resource, restrict_to_patient_id)
                await insert_changes(connection, [change], author)
                outcome = Outcome(change.version, created=True)
            await insert_key(connection, claim, outcome.reference)
        self.committed()
        return outcome

    async def new_change(
        self, connection: Connection, resource: Resource, restrict_to_patient_id: str | None
    ) -> Change:
        """Returns the first version of `resource`.

        Raises Unprocessable if its patient does not exist, Forbidden if it is another patient than
        `restrict_to_patient_id`.
        """
        id = new_id()
        if resource["resourceType"] == "Patient":
            if restrict_to_patient_id is not None:
                raise Forbidden("insufficient_scope", "this is another patient's record")
            mrn = await self.mrns.take(connection)
            return first_version(with_mrn(resource, mrn), id, id, mrn)
        patient_id = subject_of(resource)
        check_restriction(patient_id, restrict_to_patient_id)
        if patient_id not in await select_living_patients(connection, [patient_id]):
            raise patient_unknown(resource)
        return first_version(resource, id, patient_id)

    async def replace(
        self,
        resource_type: str,
        id: str,
        make: Callable[[Version], Resource],
        author: Author,
        restrict_to_patient_id: str | None,
        expected: int | None,
    ) -> Version:
        """The version after the current one, of what `make` makes of it. `expected`: the version of `If-Match`."""

        async def next_change(connection: Connection, current: Version) -> Change:
            resource, mrn = make(current), ""
            if resource_type == "Patient":
                mrn = await select_mrn(connection, id)
                resource = with_mrn(resource, mrn)
            elif subject_of(resource) != current.patient_id:
                raise Unprocessable(
                    "patient_changed",
                    "a record does not move to another patient",
                    pointer="/subject",
                )
            return change_of(
                resource,
                id=id,
                version_id=current.version_id + 1,
                patient_id=current.patient_id,
                recorded_at=now(),
                method="PUT",
                mrn=mrn,
            )

        return await self._change(
            resource_type, id, next_change, author, restrict_to_patient_id, expected
        )

    async def delete(
        self,
        resource_type: str,
        id: str,
        author: Author,
        restrict_to_patient_id: str | None,
        expected: int | None,
    ) -> None:
        """Keeps the history; raises Gone where it was deleted before."""

        async def deletion(connection: Connection, current: Version) -> Change:
            mrn = await select_mrn(connection, id) if resource_type == "Patient" else ""
            return deletion_of(current, now(), mrn)

        await self._change(resource_type, id, deletion, author, restrict_to_patient_id, expected)

    async def _change(
        self,
        resource_type: str,
        id: str,
        next_change: "NextChange",
        author: Author,
        restrict_to_patient_id: str | None,
        expected: int | None,
    ) -> Version:
        for attempt in range(1, ATTEMPTS + 1):
            async with self.database.connection() as connection:
                current = await select_current(connection, resource_type, id)
                check_found(current, restrict_to_patient_id)
                assert current is not None
                if expected is not None and expected != current.version_id:
                    raise stale(current)
                change = await next_change(connection, current)
                try:
                    # The version read here is part of the statement: nobody can come between.
                    await insert_changes(connection, [change], author)
                except Conflict:
                    if expected is not None:
                        raise stale(None) from None
                    if attempt == ATTEMPTS:
                        raise
                    continue
            self.committed()
            return change.version
        raise AssertionError("unreachable")


NextChange = Callable[[Connection, Version], Awaitable[Change]]


def first_version(resource: Resource, id: str, patient_id: str, mrn: str = "") -> Change:
    return change_of(
        resource,
        id=id,
        version_id=1,
        patient_id=patient_id,
        recorded_at=now(),
        method="POST",
        mrn=mrn,
    )


def check_restriction(patient_id: str, restrict_to_patient_id: str | None) -> None:
    if restrict_to_patient_id is not None and patient_id != restrict_to_patient_id:
        raise Forbidden("insufficient_scope", "this is another patient's record")


def check_found(version: Version | None, restrict_to_patient_id: str | None) -> None:
    """Raises NotFound, for another patient's record as well, and Gone for one that was deleted."""
    if version is None or (
        restrict_to_patient_id is not None and version.patient_id != restrict_to_patient_id
    ):
        raise NotFound("not_found")
    if version.body is None:
        raise Gone("deleted", headers={"ETag": version.etag})


def stale(current: Version | None) -> PreconditionFailed:
    headers = {"ETag": current.etag} if current else None
    return PreconditionFailed(
        "stale_version", "If-Match names a version that is not the current one", headers=headers
    )


def patient_unknown(resource: Resource, at: str = "") -> Unprocessable:
    element = "patient" if "patient" in resource else "subject"
    message = "there is no such patient"
    return Unprocessable(
        "patient_unknown",
        message,
        faults=(FieldError("not-found", message, f"{at}/{element}/reference"),),
    )


async def find_match(
    connection: Connection, resource_type: str, condition: Condition
) -> Outcome | None:
    """What matches already; raises PreconditionFailed where more than one does. Until the transaction ends nobody
    else can create under the same condition."""
    await connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended($1, 1))", condition.text
    )
    matches = await select_matches(connection, resource_type, condition.criteria)
    if len(matches) > 1:
        raise PreconditionFailed("multiple_matches", "more than one resource meets the condition")
    return Outcome(matches[0], created=False) if matches else None


async def repeat_answer(connection: Connection, reference: str) -> list[Outcome]:
    """The first answer from its reference, a line a resource."""
    lines = [line.split(" ", 1) for line in reference.splitlines()]
    parts = [text.split("/") for _, text in lines]
    versions = await select_versions(
        connection, [(part[0], part[1], int(part[3])) for part in parts]
    )
    return [
        Outcome(version, created=status == "201", replayed=True)
        for (status, _), version in zip(lines, versions, strict=True)
    ]
