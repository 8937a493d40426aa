"""Carries out a transaction: all of its entries or none
(https://hl7.org/fhir/R4/http.html#transaction).
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from apps.kit.context import new_id
from apps.kit.database import Connection
from apps.kit.errors import BadRequest, Conflict, NotFound, PreconditionFailed, Unprocessable
from apps.patient.fhir.bundles.conditional_references import find_conditional
from apps.patient.fhir.bundles.parsing import ORDER, Entry, fault
from apps.patient.fhir.bundles.references import (
    Mentions,
    check_identities,
    mentions_of,
    resolve,
    targets_of,
)
from apps.patient.storage.access import Caller
from apps.patient.storage.outcomes import Outcome
from apps.patient.storage.preconditions import lock_condition, matches_of
from apps.patient.storage.reading import select_stored_each
from apps.patient.storage.record import Record, Update
from apps.patient.storage.reference_checks import check_references
from apps.patient.storage.versions import Change, Stored, Version

# The event loop gets its turn after so many entries: about 5 ms of work.
TURN_ENTRIES = 20
# Where an entry takes a tenth of that.
CHEAP_TURN_ENTRIES = 200


@dataclass(slots=True, kw_only=True)
class Result:
    """What became of an entry: a write's outcome, or nothing where there was nothing to delete."""

    outcome: Outcome | None = None
    deleted: Version | None = None


@dataclass(slots=True, kw_only=True)
class Work:
    """A transaction under way: `existing` are the current versions of what it changes."""

    record: Record
    caller: Caller
    connection: Connection
    results: dict[int, Result] = field(default_factory=dict)
    existing: dict[tuple[str, str], Stored] = field(default_factory=dict)


async def write_entries(
    record: Record, connection: Connection, entries: Sequence[Entry], caller: Caller
) -> dict[int, Result]:
    """Writes what the entries ask for and returns the result of each by its index."""
    work = Work(record=record, caller=caller, connection=connection)
    writes = [entry for entry in entries if entry.is_write]
    await _find_matches(work, writes)
    _assign_ids(work, writes)
    check_identities([entry for entry in writes if entry.index not in work.results])
    await _resolve_references(work, writes)
    await _load_existing(work, writes)
    changes = await _changes_of(work, writes)
    await record.writer.write(connection, changes, caller.author)
    return work.results


async def _find_matches(work: Work, entries: Sequence[Entry]) -> None:
    """Looks for what each entry's criteria find. Writers of one condition take turns, in one
    order for all.
    """
    asking = [entry for entry in entries if entry.condition is not None]
    created: dict[str, Entry] = {}
    for entry in sorted(asking, key=lambda entry: (entry.condition.text, entry.index)):  # type: ignore[union-attr]
        condition = entry.condition
        assert condition is not None
        await lock_condition(work.connection, condition)
        match = await matches_of(work.connection, condition, work.caller)
        if match is not None:
            version, disclosure = match
            if entry.method == "POST":
                entry.id = version.id
                outcome = Outcome(version, created=False, disclosure=disclosure)
                work.results[entry.index] = Result(outcome=outcome)
                continue
            given = (entry.resource or {}).get("id")
            if given not in (None, version.id):
                raise fault(f"{entry.at}/resource/id", "the match has another id", "value")
            entry.id = version.id
        elif entry.method == "PATCH":
            raise NotFound("not_found", f"{entry.at}: nothing meets the criteria")
        elif entry.method == "DELETE":
            work.results[entry.index] = Result()
        elif condition.text in created:
            raise fault(f"{entry.at}/request", "another entry has this condition", "duplicate")
        else:
            created[condition.text] = entry


def _assign_ids(work: Work, entries: Sequence[Entry]) -> None:
    for entry in entries:
        if not entry.id and entry.index not in work.results:
            given = (entry.resource or {}).get("id") if entry.method == "PUT" else None
            entry.id = given or new_id()


async def _resolve_references(work: Work, entries: Sequence[Entry]) -> None:
    targets = targets_of(entries)
    mentions: dict[int, Mentions] = {}
    for position, entry in enumerate(entries):
        if position % CHEAP_TURN_ENTRIES == CHEAP_TURN_ENTRIES - 1:
            await asyncio.sleep(0)
        if entry.resource is not None and entry.index not in work.results:
            mentions[entry.index] = mentions_of(entry.resource, targets)
    conditional = await find_conditional(
        work.connection, work.caller, entries, work.results, mentions
    )
    for position, entry in enumerate(entries):
        if position % CHEAP_TURN_ENTRIES == CHEAP_TURN_ENTRIES - 1:
            await asyncio.sleep(0)
        if entry.index in mentions:
            resolve(entry, mentions[entry.index], targets, conditional)


async def _load_existing(work: Work, entries: Sequence[Entry]) -> None:
    """Reads what is changed in one query."""
    references = [
        (entry.resource_type, entry.id) for entry in entries if entry.method != "POST" and entry.id
    ]
    if not references:
        return
    for stored in await select_stored_each(work.connection, references):
        work.existing[(stored.version.resource_type, stored.version.id)] = stored


async def _changes_of(work: Work, entries: Sequence[Entry]) -> list[Change]:
    """Returns the changes, patients first: a patient's first event is the first that is sent."""
    changes: list[Change] = []
    pointers: dict[str, str] = {}
    for position, entry in enumerate(sorted(entries, key=lambda entry: ORDER[entry.method])):
        if position % TURN_ENTRIES == TURN_ENTRIES - 1:
            await asyncio.sleep(0)
        if entry.index in work.results:
            continue
        change, result = await _change_of(work, entry)
        work.results[entry.index] = result
        if change is not None:
            changes.append(change)
            pointers[change.version.id] = f"{entry.at}/resource"
    born = frozenset(
        (change.version.resource_type, change.version.id)
        for change in changes
        if change.version.body is not None
    )
    await check_references(work.connection, changes, work.caller, born, pointers)
    return sorted(changes, key=lambda change: change.version.resource_type != "Patient")


async def _change_of(work: Work, entry: Entry) -> tuple[Change | None, Result]:
    record, caller, connection = work.record, work.caller, work.connection
    stored = work.existing.get((entry.resource_type, entry.id))
    try:
        if entry.method == "DELETE":
            deletion = await record.next_deletion(connection, stored, caller, entry.expected)
            version = deletion.version if deletion else stored.version if stored else None
            return deletion, Result(deleted=version)
        if entry.method == "POST":
            assert entry.resource is not None
            created = await record.new_change(connection, entry.resource, entry.id, "POST")
            disclosure = caller.check_change(created, "c")
            return created, Result(
                outcome=Outcome(created.version, created=True, disclosure=disclosure)
            )
        make = entry.make or entry.resource
        assert make is not None
        update = Update(
            resource_type=entry.resource_type,
            id=entry.id,
            make=make,
            caller=caller,
            expected=entry.expected,
            method="PATCH" if entry.method == "PATCH" else "PUT",
        )
        change, outcome = await record.next_change(connection, update, stored)
        return change, Result(outcome=outcome)
    except Unprocessable as error:
        at = f"{entry.at}/resource"
        error.faults = tuple(replace(one, pointer=at + one.pointer) for one in error.faults)
        raise
    except (BadRequest, NotFound, PreconditionFailed, Conflict) as error:
        error.detail = f"{entry.at}: {error.detail or error.code}"
        raise
