"""Transaction Bundles: all of it or nothing (https://hl7.org/fhir/R4/http.html#transaction)."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from apps.kit.context import new_id
from apps.kit.database import Connection
from apps.kit.errors import ContentTooLarge, FieldError, Forbidden, Unprocessable
from apps.kit.idempotency import Claim, claim_key, insert_key
from apps.kit.scopes import Principal
from apps.patient.codec import Resource
from apps.patient.definitions.schema import RESOURCE_TYPES
from apps.patient.definitions.validation import MAX_FAULTS, find_faults
from apps.patient.search.search_parameters import parse_criteria
from apps.patient.storage.mrn import with_mrn
from apps.patient.storage.reading import select_living_patients
from apps.patient.storage.record import (
    Condition,
    Outcome,
    Record,
    check_restriction,
    find_match,
    first_version,
    patient_unknown,
    repeat_answer,
)
from apps.patient.storage.versions import Author, Change, Version, subject_of
from apps.patient.storage.writing import insert_changes

# The event loop gets its turn after so many entries: about 5 ms of validation.
TURN_ENTRIES = 20

_CONDITIONAL = re.compile(rf"({'|'.join(RESOURCE_TYPES)})\?")


@dataclass(frozen=True, slots=True)
class Entry:
    """`at`: the JSON pointer of its resource. `id` is new, and taken unless the condition finds one that is there."""

    at: str
    full_url: str
    resource: Resource
    condition: Condition | None
    id: str
    restrict_to_patient_id: str | None


async def parse_bundle(body: Any, principal: Principal, max_entries: int) -> list[Entry]:
    """Raises Unprocessable with everything that is wrong, ContentTooLarge, and Forbidden for a type without scope."""
    if not isinstance(body, dict) or body.get("resourceType") != "Bundle":
        raise Unprocessable("not_a_bundle", "expected a Bundle", pointer="/resourceType")
    if body.get("type") != "transaction":
        raise Unprocessable(
            "bundle_type_not_served", "only transaction Bundles are served", pointer="/type"
        )
    items = body.get("entry")
    if not isinstance(items, list) or not items:
        raise Unprocessable("empty_bundle", "expected entries", pointer="/entry")
    if len(items) > max_entries:
        raise ContentTooLarge(
            "too_many_entries", f"a Bundle has at most {max_entries} entries", pointer="/entry"
        )
    entries: list[Entry] = []
    faults: list[FieldError] = []
    urls: set[str] = set()
    conditions: set[str] = set()
    for index, item in enumerate(items):
        if index % TURN_ENTRIES == TURN_ENTRIES - 1:
            await asyncio.sleep(0)
        at = f"/entry/{index}"
        try:
            entry = _parse_entry(item, at, principal)
            if entry.full_url in urls:
                raise _fault(f"{at}/fullUrl", "another entry has this fullUrl", "duplicate")
            if entry.condition and entry.condition.text in conditions:
                raise _fault(
                    f"{at}/request/ifNoneExist", "another entry has this condition", "duplicate"
                )
        except Unprocessable as error:
            faults.extend(error.faults)
            if len(faults) >= MAX_FAULTS:
                break
            continue
        urls.add(entry.full_url or entry.id)
        if entry.condition:
            conditions.add(entry.condition.text)
        entries.append(entry)
    if faults:
        raise Unprocessable("invalid_bundle", faults=tuple(faults[:MAX_FAULTS]))
    return entries


def _fault(pointer: str, message: str, code: str = "invalid") -> Unprocessable:
    return Unprocessable("invalid_bundle", faults=(FieldError(code, message, pointer),))


def _parse_entry(item: Any, at: str, principal: Principal) -> Entry:
    request = item.get("request") if isinstance(item, dict) else None
    if not isinstance(request, dict):
        raise _fault(f"{at}/request", "expected an entry with its request", "required")
    if request.get("method") != "POST":
        raise _fault(
            f"{at}/request/method",
            "entries are created here: POST alone is served",
            "not-supported",
        )
    resource_type = request.get("url")
    if resource_type not in RESOURCE_TYPES:
        raise _fault(
            f"{at}/request/url", f"expected one of {', '.join(RESOURCE_TYPES)}", "not-supported"
        )
    access = principal.access_to(resource_type, "c")
    if access is None or access.has_parameters:
        raise Forbidden("insufficient_scope", f"this needs {resource_type}.c")
    full_url = item.get("fullUrl", "")
    if not isinstance(full_url, str) or len(full_url) > 1000:
        raise _fault(f"{at}/fullUrl", "expected a URL")
    resource = item.get("resource")
    faults = find_faults(resource, resource_type)
    if faults:
        prefixed = tuple(
            FieldError(fault.code, fault.message, f"{at}/resource{fault.pointer}")
            for fault in faults
        )
        raise Unprocessable("invalid_bundle", faults=prefixed)
    condition = parse_condition(
        resource_type, request.get("ifNoneExist"), f"{at}/request/ifNoneExist"
    )
    restrict_to_patient_id = access.only_patient_id
    return Entry(f"{at}/resource", full_url, resource, condition, new_id(), restrict_to_patient_id)


def parse_condition(resource_type: str, text: Any, pointer: str) -> Condition | None:
    """`If-None-Exist` or `ifNoneExist`: search criteria; raises Unprocessable for an empty one."""
    if text is None:
        return None
    parameters = parse_qsl(text.partition("?")[2] or text) if isinstance(text, str) else []
    if not parameters or any(
        name in ("_count", "_cursor", "_total", "_summary") for name, _ in parameters
    ):
        raise _fault(pointer, "expected search parameters: name=value")
    # Written in one way, so that two writers of one condition take turns.
    return Condition(
        f"{resource_type}?{sorted(parameters)}", parse_criteria(resource_type, parameters)
    )


async def write_bundle(
    record: Record, entries: list[Entry], author: Author, claim: Claim | None
) -> list[Outcome]:
    """What became of each entry, in order."""
    async with record.database.transaction() as connection:
        reference = await claim_key(connection, claim)
        if reference is not None:
            return await repeat_answer(connection, reference)
        found = await _find_matches(connection, entries)
        changes = await _changes_of(record, connection, entries, found)
        await insert_changes(connection, _patients_first(changes), author)
        versions = {change.version.id: change.version for change in changes}
        outcomes = [
            found.get(entry.id) or Outcome(versions[entry.id], created=True) for entry in entries
        ]
        await insert_key(connection, claim, "\n".join(outcome.reference for outcome in outcomes))
    record.committed()
    return outcomes


async def _find_matches(connection: Connection, entries: list[Entry]) -> dict[str, Outcome]:
    """The outcomes of entries that are there already, by the entry's own id."""
    found: dict[str, Outcome] = {}
    asking = [(entry.condition.text, entry) for entry in entries if entry.condition]
    # In one order for everybody, so that two Bundles do not wait for each other.
    for _, entry in sorted(asking, key=lambda item: (item[0], item[1].at)):
        assert entry.condition is not None
        match = await find_match(connection, entry.resource["resourceType"], entry.condition)
        if match is not None:
            found[entry.id] = match
    return found


async def _changes_of(
    record: Record, connection: Connection, entries: list[Entry], found: dict[str, Outcome]
) -> list[Change]:
    new = [entry for entry in entries if entry.id not in found]
    ids = {
        entry.id: found[entry.id].version.id if entry.id in found else entry.id for entry in entries
    }
    targets = {
        entry.full_url: f"{entry.resource['resourceType']}/{ids[entry.id]}"
        for entry in entries
        if entry.full_url
    }
    born = {entry.id for entry in new if entry.resource["resourceType"] == "Patient"}
    changes: list[Change] = []
    subjects: dict[str, Entry] = {}
    for index, entry in enumerate(new):
        if index % TURN_ENTRIES == TURN_ENTRIES - 1:
            await asyncio.sleep(0)
        resolve_references(entry.resource, targets, entry.at)
        if entry.id in born:
            if entry.restrict_to_patient_id is not None:
                raise Forbidden("insufficient_scope", "this is another patient's record")
            mrn = await record.mrns.take(connection)
            changes.append(first_version(with_mrn(entry.resource, mrn), entry.id, entry.id, mrn))
            continue
        patient_id = subject_of(entry.resource, entry.at)
        check_restriction(patient_id, entry.restrict_to_patient_id)
        if patient_id not in born:
            subjects.setdefault(patient_id, entry)
        changes.append(first_version(entry.resource, entry.id, patient_id))
    living = await select_living_patients(connection, list(subjects)) if subjects else frozenset()
    for patient_id, entry in subjects.items():
        if patient_id not in living:
            raise patient_unknown(entry.resource, entry.at)
    return changes


def resolve_references(value: Any, targets: dict[str, str], at: str) -> None:
    """Replaces in place each `reference` to another entry; those to what the service does not hold stay.

    Raises Unprocessable for a `urn:uuid:` that no entry has, and for a conditional reference to a type held here.
    """
    if isinstance(value, list):
        for index, item in enumerate(value):
            if isinstance(item, (dict, list)):
                resolve_references(item, targets, f"{at}/{index}")
        return
    reference = value.get("reference")
    if isinstance(reference, str):
        if reference in targets:
            value["reference"] = targets[reference]
        elif reference.startswith("urn:uuid:"):
            raise _fault(f"{at}/reference", "no entry of the Bundle has this fullUrl", "not-found")
        elif _CONDITIONAL.match(reference):
            raise _fault(
                f"{at}/reference",
                "a conditional reference to this type is not served",
                "not-supported",
            )
    for name, child in value.items():
        if isinstance(child, (dict, list)):
            resolve_references(child, targets, f"{at}/{name}")


def _patients_first(changes: Sequence[Change]) -> list[Change]:
    """So that a patient's first event is the first that is sent."""
    return sorted(changes, key=lambda change: change.version.resource_type != "Patient")


def response_of(outcomes: list[Outcome], base: str) -> Resource:
    return {
        "resourceType": "Bundle",
        "type": "transaction-response",
        "entry": [
            {"response": _response(outcome.version, outcome.created, base)} for outcome in outcomes
        ],
    }


def _response(version: Version, created: bool, base: str) -> Resource:
    return {
        "status": "201 Created" if created else "200 OK",
        "location": f"{base}/{version.reference}",
        "etag": version.etag,
        "lastModified": version.recorded_at,
    }
