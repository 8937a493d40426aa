"""Searches of a type, of a patient's compartment and of the system
(https://hl7.org/fhir/R4/search.html): their routes.
"""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from apps.kit.errors import NotFound
from apps.kit.operation_outcomes import FHIR_PATH
from apps.patient.definitions.model import compartment_parameters, served_types
from apps.patient.fhir.requests import (
    READ_ONLY_TYPES,
    base_of,
    caller_of,
    path_id,
    read_audit_of,
    read_form,
    type_of,
    without_presentation,
)
from apps.patient.fhir.responses import respond
from apps.patient.fhir.search_runs import Asked, run_search
from apps.patient.search.criteria.criteria import Criterion, Exact, ExactValue
from apps.patient.search.index.hashing import reference_hash, resource_hash
from apps.patient.storage.preconditions import read_patient


async def search_type(request: Request) -> Response:
    return await _search(request, (type_of(request),), request.query_params.multi_items())


async def search_type_by_form(request: Request) -> Response:
    return await _search(request, (type_of(request),), await read_form(request))


async def search_system(request: Request) -> Response:
    return await _search_system(request, request.query_params.multi_items())


async def search_system_by_form(request: Request) -> Response:
    return await _search_system(request, await read_form(request))


async def _search_system(request: Request, pairs: list[tuple[str, str]]) -> Response:
    """Searches the types of `_type`, else all that the caller may search."""
    caller = caller_of(request)
    named = any(name == "_type" for name, _ in pairs)
    types = [
        kind
        for kind in served_types()
        if kind not in READ_ONLY_TYPES and (named or caller.access(kind, "s") is not None)
    ]
    return await _search(request, types, pairs)


async def search_compartment(request: Request) -> Response:
    """Searches `Patient/<id>/Observation` and `Patient/<id>/*`: what a type's compartment
    parameters put there.
    """
    return await _search_compartment(request, request.query_params.multi_items())


async def search_compartment_by_form(request: Request) -> Response:
    """Searches by `Patient/<id>/Observation/_search`, or of all types `Patient/<id>/_search`."""
    return await _search_compartment(request, await read_form(request))


async def _search_compartment(request: Request, pairs: list[tuple[str, str]]) -> Response:
    id = path_id(request)
    patient = resource_hash("Patient", id)
    name = request.path_params.get("compartment_type", "*")
    members = [kind for kind in served_types() if compartment_parameters(kind)]
    if name != "*" and name not in members:
        raise NotFound("type_not_served", f"in the compartment are {', '.join(members)}")
    if name in READ_ONLY_TYPES:
        # The audit has its own index: the patient is one of its parameters.
        return await _search(request, (name,), [*pairs, ("patient", id)], path=f"/{name}")
    caller = caller_of(request)
    if name != "*":
        caller.require(name, "s")
    types = [name]
    if name == "*":
        types = [
            kind
            for kind in members
            if kind not in READ_ONLY_TYPES and caller.access(kind, "s") is not None
        ]
    limits: dict[str, Criterion] = {
        kind: Exact(
            values=tuple(
                ExactValue(matching=found, leading=found)
                for found in (
                    reference_hash(kind, parameter, patient)
                    for parameter in compartment_parameters(kind)
                )
            ),
            is_narrow=True,
        )
        for kind in types
    }
    path = f"/Patient/{id}/{name}"
    return await _search(request, types, pairs, limits=limits, path=path, patient_id=id)


async def _search(
    request: Request,
    types: Sequence[str],
    pairs: list[tuple[str, str]],
    *,
    limits: dict[str, Criterion] | None = None,
    path: str | None = None,
    patient_id: str | None = None,
) -> Response:
    """Answers a search; `path`: of its links, behind the base; None for that of the request.
    `patient_id`: whose compartment is searched.
    """
    if path is None:
        path = request.url.path.removeprefix(FHIR_PATH).removesuffix("/_search").rstrip("/")
    caller = caller_of(request)
    asked = Asked(
        caller=caller,
        base=base_of(request),
        path=path,
        types=tuple(types),
        pairs=without_presentation(pairs),
        limits=limits or {},
        cursors=request.state.cursors,
    )
    read_audit = read_audit_of(request)
    async with read_audit.database.connection() as connection:
        if patient_id is not None and caller.access("Patient", "r") is not None:
            # An empty answer about a mistyped id would pass for a patient without allergies.
            await read_patient(connection, patient_id, caller)
        bundle, entry = await run_search(connection, asked)
    # Nothing is given out before it is recorded.
    await read_audit.record(entry)
    return respond(request, bundle)
