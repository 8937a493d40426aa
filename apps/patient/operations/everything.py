"""`Patient/<id>/$everything`: the whole record of a patient, page by page.

Source: https://hl7.org/fhir/R4/patient-operation-everything.html. The patient comes first,
then each type of the compartment; every page brings along what its resources refer to outside
the compartment.
"""

import re
from collections.abc import Mapping
from functools import cache

from starlette.requests import Request
from starlette.responses import Response

from apps.kit.errors import BadRequest
from apps.kit.operation_outcomes import FHIR_PATH
from apps.patient.codec import Resource
from apps.patient.definitions.model import (
    compartment_parameters,
    primitive_patterns,
    search_parameters,
    served_types,
)
from apps.patient.fhir.requests import (
    READ_ONLY_TYPES,
    base_of,
    caller_of,
    path_id,
    read_audit_of,
    read_operation,
)
from apps.patient.fhir.responses import respond
from apps.patient.fhir.search_runs import Asked, run_search
from apps.patient.search.criteria.criteria import Criterion, Exact, ExactValue, Identity, all_of
from apps.patient.search.criteria.query import Query
from apps.patient.search.index.hashing import reference_hash, resource_hash
from apps.patient.search.reading.reader import Reader
from apps.patient.storage.preconditions import read_patient

# The day of care: R4's common parameter of the types that have one.
CARE_DATE = "date"
PARAMETERS = ("start", "end", "_since", "_type", "_count", "_cursor")


async def everything(request: Request) -> Response:
    caller = caller_of(request)
    id = path_id(request)
    caller.require("Patient", "r")
    values = read_parameters(await read_operation(request))
    limits = {
        kind: limit_of(caller.reader, kind, resource_hash("Patient", id), values)
        for kind in ("Patient", *members())
        if caller.access(kind, "s") is not None and caller.access(kind, "r") is not None
    }
    pairs = [(name, values[name]) for name in ("_type", "_count", "_cursor") if name in values]
    if since := values.get("_since"):
        pairs.append(("_lastUpdated", f"ge{since}"))

    asked = Asked(
        caller=caller,
        base=base_of(request),
        path=request.url.path.removeprefix(FHIR_PATH),
        types=tuple(limits),
        pairs=[*pairs, ("_include", "*")],
        limits=limits,
        cursors=request.state.cursors,
    )
    read_audit = read_audit_of(request)
    async with read_audit.database.connection() as connection:
        await read_patient(connection, id, caller)
        bundle, entry = await run_search(connection, asked)
    drop_repetitions(bundle)
    # Nothing is given out before it is recorded.
    await read_audit.record(entry)
    return respond(request, bundle)


def drop_repetitions(bundle: Resource) -> None:
    """Leaves out what a page brings along although it is on a page of its own: resources of
    the compartment.
    """
    paged = {"Patient", *members()}
    entries = [
        entry
        for entry in bundle.pop("entry", [])
        if entry["search"]["mode"] != "include" or kind_of(entry) not in paged
    ]
    if entries:
        bundle["entry"] = entries


def kind_of(entry: Resource) -> str:
    """Returns the type of an entry's resource, which its address names."""
    return str(entry["fullUrl"]).rsplit("/", 2)[1]


def members() -> list[str]:
    """Returns the types of the compartment that are served and can be read, the
    patient's own left out.
    """
    return [
        kind
        for kind in served_types()
        if compartment_parameters(kind) and kind not in (*READ_ONLY_TYPES, "Patient")
    ]


def read_parameters(pairs: list[tuple[str, str]]) -> Mapping[str, str]:
    """Returns the operation's parameters; raises BadRequest for an unknown or a repeated one."""
    values: dict[str, str] = {}
    for name, value in pairs:
        if name in ("_include", "_lastUpdated"):
            # A link of an earlier page has them.
            continue
        if name not in PARAMETERS:
            raise BadRequest(
                "parameter_not_served", f"served are {', '.join(PARAMETERS)}", pointer=name[:100]
            )
        if name in values:
            raise BadRequest("invalid_parameter", f"{name} is given once", pointer=name)
        values[name] = value
    for name, value in pairs:
        if name == "_lastUpdated":
            values.setdefault("_since", value.removeprefix("ge"))
    for name in ("start", "end", "_since"):
        # A prefix or a comma would make it another search; a plus that is not escaped
        # comes as a blank.
        if name in values and not _time().fullmatch(values[name].replace(" ", "+")):
            raise BadRequest(
                "invalid_parameter", f"{name}: expected a date or date-time", pointer=name
            )
    return values


@cache
def _time() -> re.Pattern[str]:
    return re.compile(primitive_patterns()["dateTime"])


def limit_of(reader: Reader, kind: str, patient: int, values: Mapping[str, str]) -> Criterion:
    """Returns what puts a resource of the type into the answer."""
    if kind == "Patient":
        return Identity(hashes=(patient,))
    parts: list[Criterion] = [
        Exact(
            values=tuple(
                ExactValue(matching=found, leading=found)
                for found in (
                    reference_hash(kind, parameter, patient)
                    for parameter in compartment_parameters(kind)
                )
            ),
            is_narrow=True,
        )
    ]
    if CARE_DATE in search_parameters(kind):
        query = Query(types=(kind,))
        for name, prefix in (("start", "ge"), ("end", "le")):
            if name in values:
                parts.append(reader.criterion(query, kind, CARE_DATE, prefix + values[name], 0))
    return all_of(parts)
