"""What must hold before a write: the version that is expected, the criteria of a conditional
interaction, and that the caller may know of the resource.
"""

from dataclasses import dataclass

from apps.kit.database import Connection
from apps.kit.errors import Forbidden, Gone, NotFound, PreconditionFailed
from apps.kit.scopes import Disclosure
from apps.patient.search.criteria.criteria import AllOf, Criterion
from apps.patient.storage.access import Caller
from apps.patient.storage.outcomes import Outcome
from apps.patient.storage.reading import select_current
from apps.patient.storage.search import select_matches
from apps.patient.storage.versions import Version


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


async def check_visible(
    connection: Connection, version: Version, caller: Caller, interaction: str
) -> None:
    """Raises NotFound for what the caller may not know of."""
    await caller.load_referred(connection, version.resource_type)
    if caller.disclosure_of(version, interaction) is Disclosure.NOTHING:
        raise NotFound("not_found")


async def read_patient(connection: Connection, id: str, caller: Caller) -> Version:
    """Returns the patient's current version; raises NotFound for one who is not there or whom the
    caller may not know of, Gone for one who is deleted.
    """
    patient = await select_current(connection, "Patient", id)
    if patient is None:
        raise NotFound("not_found")
    await check_visible(connection, patient, caller, "r")
    if patient.body is None:
        raise gone(patient)
    return patient


def gone(version: Version) -> Gone:
    return Gone("deleted", headers={"ETag": version.etag})


def stale(
    current: Version | None,
    message: str = "If-Match names a version that is not the current one",
) -> PreconditionFailed:
    headers = {"ETag": current.etag} if current else None
    return PreconditionFailed("stale_version", message, headers=headers)


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
