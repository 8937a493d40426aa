"""What each operation under `/fhir/R4` does, by path and method. Whoever adds a route
describes it here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from apps.kit.operation_outcomes import FHIR_PATH
from apps.patient.openapi.parameters import HISTORY_NAMES, RESULT_NAMES

TYPE = FHIR_PATH + "/{type}"
ONE = TYPE + "/{id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What an operation does. `interactions`: the letters of the scope; "" for any
    signed-in caller.

    `answer` is the type in the body of a success: "" for none, "type" for that of the path. `body`
    is that of the request: a type, "type", "any" JSON, "form" or "patch". `searches`: it takes
    search parameters.
    """

    id: str
    summary: str
    interactions: str = ""
    answer: str = "type"
    body: str = ""
    status: Sequence[str] = ("200",)
    parameters: Sequence[str] = ()
    searches: bool = False
    public: bool = False
    # Of a path without `{type}`: the type whose scope and search parameters count.
    type: str = ""


_D = Description
_CHANGE = ("If-Match", "Prefer")
_LISTED = (*RESULT_NAMES, "Prefer")

# By path and method. A route that is missing here fails the generation.
DESCRIPTIONS: Mapping[tuple[str, str], Description] = {
    (FHIR_PATH, "GET"): _D(
        id="searchSystem",
        summary="Search all types",
        interactions="s",
        answer="Bundle",
        parameters=("_type", *_LISTED),
    ),
    (FHIR_PATH, "POST"): _D(
        id="postBundle",
        summary="Carry out a batch or a transaction",
        interactions="cruds",
        answer="Bundle",
        body="Bundle",
        parameters=("Idempotency-Key", "Prefer"),
    ),
    (FHIR_PATH + "/metadata", "GET"): _D(
        id="getCapabilities",
        summary="What is served, as a CapabilityStatement",
        answer="Resource",
        public=True,
    ),
    (FHIR_PATH + "/_search", "GET"): _D(
        id="searchSystemByPath",
        summary="Search all types, as some clients write it",
        interactions="s",
        answer="Bundle",
        parameters=("_type", *_LISTED),
    ),
    (FHIR_PATH + "/_search", "POST"): _D(
        id="searchSystemByForm",
        summary="Search all types by form",
        interactions="s",
        answer="Bundle",
        body="form",
    ),
    (FHIR_PATH + "/_history", "GET"): _D(
        id="listSystemVersions",
        summary="Every version of every resource",
        interactions="r",
        answer="Bundle",
        parameters=HISTORY_NAMES,
    ),
    (TYPE + "/$validate", "POST"): _D(
        id="validate",
        summary="Say what is wrong with a resource, and store nothing",
        answer="OperationOutcome",
        body="any",
        parameters=("mode", "profile"),
    ),
    (ONE + "/$validate", "POST"): _D(
        id="validateUpdate",
        summary="Say what is wrong with an update, and store nothing",
        answer="OperationOutcome",
        body="any",
        parameters=("mode", "profile"),
    ),
    (TYPE + "/_search", "GET"): _D(
        id="searchByPath",
        summary="Search a type, as some clients write it",
        interactions="s",
        answer="Bundle",
        parameters=_LISTED,
    ),
    (TYPE + "/_search", "POST"): _D(
        id="searchByForm",
        summary="Search a type by form",
        interactions="s",
        answer="Bundle",
        body="form",
    ),
    (TYPE + "/_history", "GET"): _D(
        id="listTypeVersions",
        summary="Every version of a type's resources",
        interactions="r",
        answer="Bundle",
        parameters=HISTORY_NAMES,
    ),
    (TYPE, "GET"): _D(
        id="search",
        summary="Search",
        interactions="s",
        answer="Bundle",
        parameters=_LISTED,
        searches=True,
    ),
    (TYPE, "POST"): _D(
        id="create",
        summary="Create",
        interactions="c",
        body="type",
        status=("201", "200"),
        parameters=("If-None-Exist", "Idempotency-Key", "Prefer"),
    ),
    (TYPE, "PUT"): _D(
        id="updateBySearch",
        summary="Update the one that the search parameters find, or create it",
        interactions="u",
        body="type",
        status=("200", "201"),
        parameters=_CHANGE,
    ),
    (TYPE, "PATCH"): _D(
        id="patchBySearch",
        summary="Patch the one that the search parameters find",
        interactions="u",
        body="patch",
        parameters=_CHANGE,
    ),
    (TYPE, "DELETE"): _D(
        id="deleteBySearch",
        summary="Delete the one that the search parameters find",
        interactions="d",
        answer="",
        status=("204",),
    ),
    (ONE, "GET"): _D(
        id="read",
        summary="Read",
        interactions="r",
        status=("200", "304"),
        parameters=("_summary", "_elements", "If-None-Match"),
    ),
    (ONE, "PUT"): _D(
        id="update",
        summary="Update, or create under this id",
        interactions="u",
        body="type",
        status=("200", "201"),
        parameters=(*_CHANGE, "If-None-Match"),
    ),
    (ONE, "PATCH"): _D(
        id="patch", summary="Patch", interactions="u", body="patch", parameters=_CHANGE
    ),
    (ONE, "DELETE"): _D(
        id="delete",
        summary="Delete; the history stays",
        interactions="d",
        answer="",
        status=("204",),
        parameters=("If-Match",),
    ),
    (ONE + "/_history", "GET"): _D(
        id="listVersions",
        summary="Every version of a resource",
        interactions="r",
        answer="Bundle",
        parameters=HISTORY_NAMES,
    ),
    (ONE + "/_history/{vid}", "GET"): _D(
        id="readVersion",
        summary="One version of a resource",
        interactions="r",
        parameters=("_summary", "_elements"),
    ),
    (FHIR_PATH + "/Patient/{id}/{compartment_type}", "GET"): _D(
        id="searchCompartment",
        summary="Search in a patient's compartment",
        interactions="s",
        answer="Bundle",
        parameters=_LISTED,
    ),
    (FHIR_PATH + "/Patient/{id}/_search", "POST"): _D(
        id="searchWholeCompartmentByForm",
        summary="Search in a patient's compartment by form, in all types",
        interactions="s",
        answer="Bundle",
        body="form",
    ),
    (FHIR_PATH + "/Patient/{id}/{compartment_type}/_search", "POST"): _D(
        id="searchCompartmentByForm",
        summary="Search in a patient's compartment by form",
        interactions="s",
        answer="Bundle",
        body="form",
    ),
    (FHIR_PATH + "/Patient/{id}/$everything", "GET"): _D(
        id="everything",
        summary="A patient's whole record, page by page",
        interactions="r",
        answer="Bundle",
        parameters=("start", "end", "_since", "_type", "_count", "_cursor"),
        type="Patient",
    ),
    (FHIR_PATH + "/Patient/{id}/$summary", "GET"): _D(
        id="summary",
        summary="A patient's International Patient Summary",
        interactions="r",
        answer="Bundle",
        type="Patient",
    ),
    (FHIR_PATH + "/Patient/{id}/$everything", "POST"): _D(
        id="everythingByBody",
        summary="A patient's whole record, asked for by Parameters",
        interactions="r",
        answer="Bundle",
        body="Parameters",
        type="Patient",
    ),
    (FHIR_PATH + "/Patient/{id}/$summary", "POST"): _D(
        id="summaryByBody",
        summary="A patient's International Patient Summary, asked for by Parameters",
        interactions="r",
        answer="Bundle",
        body="Parameters",
        type="Patient",
    ),
    (FHIR_PATH + "/Observation/$lastn", "POST"): _D(
        id="lastnByBody",
        summary="The newest observations of each code, asked for by Parameters",
        interactions="s",
        answer="Bundle",
        body="Parameters",
        type="Observation",
    ),
    (FHIR_PATH + "/Patient/$match", "POST"): _D(
        id="match",
        summary="Patients who may be the same person, with a score",
        interactions="s",
        answer="Bundle",
        body="Parameters",
        type="Patient",
    ),
    (FHIR_PATH + "/Observation/$lastn", "GET"): _D(
        id="lastn",
        summary="The newest observations of each code",
        interactions="s",
        answer="Bundle",
        parameters=("max",),
        searches=True,
        type="Observation",
    ),
}
