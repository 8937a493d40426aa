"""`POST /fhir/R4`: transactions and batches (https://hl7.org/fhir/R4/http.html#transaction)."""

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from apps.kit.database import Connection
from apps.kit.errors import FieldError, Problem, Unprocessable
from apps.kit.idempotency import claim_key, insert_key, read_claim
from apps.kit.logs import log_failure
from apps.kit.operation_outcomes import outcome_of
from apps.kit.scopes import Disclosure
from apps.patient.codec import Resource, decode
from apps.patient.definitions.expressions import element_expression
from apps.patient.fhir.bundles.parsing import ORDER, Entry, entries_of, parse_entry
from apps.patient.fhir.bundles.reads import read_entry
from apps.patient.fhir.bundles.transactions import TURN_ENTRIES, Result, write_entries
from apps.patient.fhir.requests import (
    base_of,
    caller_of,
    preferences_of,
    read_audit_of,
    read_fhir_body,
    record_of,
)
from apps.patient.fhir.responses import information, raw, respond
from apps.patient.storage.access import Caller
from apps.patient.storage.outcomes import Outcome, repeat_answer
from apps.patient.storage.read_audit import ReadEntry

MAX_FAULTS = 100


async def exchange_bundle(request: Request) -> Response:
    body = await read_fhir_body(request)
    kind, items = entries_of(decode(body), request.state.settings.max_bundle_entries)
    caller = caller_of(request)
    if kind == "batch":
        return respond(request, await _batch(request, items, caller))
    entries = await _parse_all(items, caller)
    return await _transaction(request, body, entries, caller)


async def _parse_all(items: Sequence[Any], caller: Caller) -> list[Entry]:
    """Raises Unprocessable with the faults of all entries."""
    entries: list[Entry] = []
    faults: list[FieldError] = []
    for index, item in enumerate(items):
        if index % TURN_ENTRIES == TURN_ENTRIES - 1:
            await asyncio.sleep(0)
        try:
            entries.append(parse_entry(item, index, caller))
        except Unprocessable as error:
            faults.extend(error.faults)
            if len(faults) >= MAX_FAULTS:
                break
    if faults:
        raise Unprocessable("invalid_bundle", faults=tuple(faults[:MAX_FAULTS]))
    return entries


async def _transaction(
    request: Request, body: bytes, entries: Sequence[Entry], caller: Caller
) -> Response:
    record, claim = record_of(request), read_claim(request, body)
    is_replayed = False
    audits: list[ReadEntry] = []
    given: dict[int, Resource] = {}
    async with record.database.transaction() as connection:
        reference = await claim_key(connection, claim)
        if reference is not None:
            is_replayed = True
            given = await _repeat(request, connection, reference, caller)
        else:
            results = await write_entries(record, connection, entries, caller)
            given = _told_each(request, results)
            for entry in entries:
                if not entry.is_write:
                    given[entry.index], audit = await read_entry(request, connection, entry, caller)
                    audits += audit
            await insert_key(connection, claim, _reference(results))
    record.committed()
    await read_audit_of(request).record(*audits)
    headers = {"Idempotency-Replayed": "true"} if is_replayed else None
    return respond(request, _bundle("transaction-response", given), headers=headers)


def _reference(results: dict[int, Result]) -> str:
    """Returns what an Idempotency-Key keeps: the index and the outcome of each write."""
    return "\n".join(
        result.outcome.reference
        for _, result in sorted(results.items())
        if result.outcome is not None
    )


async def _repeat(
    request: Request, connection: Connection, reference: str, caller: Caller
) -> dict[int, Resource]:
    outcomes = await repeat_answer(connection, reference, caller) if reference else []
    results = {index: Result(outcome=outcome) for index, outcome in enumerate(outcomes)}
    return _told_each(request, results)


async def _batch(request: Request, items: Sequence[Any], caller: Caller) -> Resource:
    """Carries out each entry by itself, in the order of a transaction; a fault is its own
    entry's alone.
    """
    given: dict[int, Resource] = {}
    entries: list[Entry] = []
    for index, item in enumerate(items):
        if index % TURN_ENTRIES == TURN_ENTRIES - 1:
            await asyncio.sleep(0)
        try:
            entries.append(parse_entry(item, index, caller))
        except Problem as error:
            given[index] = _refused(error)
    for entry in sorted(entries, key=lambda entry: ORDER[entry.method]):
        try:
            given[entry.index] = await _carry_out(request, entry, caller)
        except Problem as error:
            given[entry.index] = _refused(error)
        except Exception as error:  # a fault of ours is the entry's answer too: the others stand
            log_failure(error, "batch entry failed", method=entry.method)
            given[entry.index] = _refused(Problem("internal_error"))
    return _bundle("batch-response", given)


async def _carry_out(request: Request, entry: Entry, caller: Caller) -> Resource:
    record = record_of(request)
    if not entry.is_write:
        async with record.database.connection() as connection:
            answer, audits = await read_entry(request, connection, entry, caller)
        await read_audit_of(request).record(*audits)
        return answer
    async with record.database.transaction() as connection:
        results = await write_entries(record, connection, [entry], caller)
    record.committed()
    return _told_each(request, results)[entry.index]


def _bundle(kind: str, given: dict[int, Resource]) -> Resource:
    bundle: Resource = {"resourceType": "Bundle", "type": kind}
    if given:
        bundle["entry"] = [entry for _, entry in sorted(given.items())]
    return bundle


def _told_each(request: Request, results: dict[int, Result]) -> dict[int, Resource]:
    """Returns the entry of each write."""
    base, returned = base_of(request), preferences_of(request).returned
    return {index: _told(result, base, returned) for index, result in results.items()}


def _told(result: Result, base: str, returned: str) -> Resource:
    """Returns a write's entry: as much of the resource as the scopes and `Prefer` allow."""
    outcome = result.outcome
    if outcome is None:
        response: Resource = {"status": "204 No Content"}
        if result.deleted is not None:
            response["etag"] = result.deleted.etag
            response["lastModified"] = result.deleted.recorded_at
        return {"response": response}
    entry: Resource = {"response": _response(outcome, base)}
    if returned == "OperationOutcome":
        entry["response"]["outcome"] = information("the resource is stored")
    elif returned == "representation" and outcome.disclosure is Disclosure.BODY:
        entry["resource"] = raw(outcome.version.body or "")
    return entry


def _response(outcome: Outcome, base: str) -> Resource:
    version = outcome.version
    return {
        "status": "201 Created" if outcome.created else "200 OK",
        "location": f"{base}/{version.reference}",
        "etag": version.etag,
        "lastModified": version.recorded_at,
    }


def _refused(error: Problem) -> Resource:
    status = f"{error.status} {HTTPStatus(error.status).phrase}"
    return {
        "response": {"status": status, "outcome": outcome_of(error, "Bundle", element_expression)}
    }
