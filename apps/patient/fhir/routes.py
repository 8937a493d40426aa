"""`/fhir/R4`: the routes of the record as FHIR R4 (https://hl7.org/fhir/R4/http.html)."""

from collections.abc import Sequence

from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.kit.operation_outcomes import FHIR_PATH
from apps.kit.scopes import Principal
from apps.kit.web import PUBLIC, Endpoint, Operation, PolicedRoute, Policy, smart
from apps.patient.definitions.model import served_types
from apps.patient.fhir.bundles.routes import exchange_bundle
from apps.patient.fhir.capabilities import metadata
from apps.patient.fhir.histories import list_system_versions, list_type_versions, list_versions
from apps.patient.fhir.instances import (
    create,
    delete,
    delete_by_search,
    patch,
    patch_by_search,
    read,
    read_version,
    update,
    update_by_search,
)
from apps.patient.fhir.negotiation import check_accept, check_format, check_pretty
from apps.patient.fhir.requests import READ_ONLY_TYPES, check_parameters
from apps.patient.fhir.searches import (
    search_compartment,
    search_compartment_by_form,
    search_system,
    search_system_by_form,
    search_type,
    search_type_by_form,
)
from apps.patient.fhir.subsets import SUBSETS
from apps.patient.operations.routes import operation_routes


def _may_use_any(*interactions: str) -> Policy:
    """Lets in whoever may do one of these to some type; each entry and each type is
    checked by itself.
    """

    def check(principal: Principal, request: Request) -> bool:
        return any(
            principal.access_to(name, interaction)
            for interaction in interactions
            for name in served_types()
        )

    return Policy(f"*.{''.join(interactions)}", check)


class PathPart(Convertor[str]):
    """A part of a path that is passed on as it is."""

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


class ReadOnlyType(PathPart):
    """A type that the service alone writes: its paths take fewer methods."""

    regex = "|".join(READ_ONLY_TYPES)


class WritableType(PathPart):
    """Any other name of a type. What is no name of one has routes of its own, which allow
    other methods.
    """

    regex = rf"(?!\$|(?:{ReadOnlyType.regex}|metadata|_history|_search)(?:/|$))[^/]+"


class ResourceId(PathPart):
    """What may be an id."""

    regex = r"(?!\$|(?:_history|_search)(?:/|$))[^/]+"


register_url_convertor("readonly", ReadOnlyType())
register_url_convertor("writable", WritableType())
register_url_convertor("resource", ResourceId())

ANY = _may_use_any("c", "r", "u", "d", "s")
ANY_SEARCH = _may_use_any("s")
ANY_READ = _may_use_any("r")


def negotiated(endpoint: Endpoint, taken: Sequence[str] | None = None) -> Endpoint:
    """Returns the endpoint behind the check that the client takes JSON.

    `taken` are the parameters of the query beside those that say what the answer looks like; None:
    it checks them.
    """

    async def respond(request: Request) -> Response:
        if not check_format(request.query_params.getlist("_format")):
            check_accept(request.headers.get("accept", ""))
        check_pretty(request.query_params.getlist("_pretty"))
        if taken is not None:
            check_parameters(request, taken)
        await wait_for_index(request)
        return await endpoint(request)

    return respond


async def wait_for_index(request: Request) -> None:
    """Carries over the resource that the path names; raises Unavailable for what looks for
    resources too early.
    """
    backfill = request.state.backfill
    if backfill.is_pending is False or request.url.path.endswith("/metadata"):
        return
    parameters = request.path_params
    if "id" in parameters and "compartment_type" not in parameters:
        await backfill.carry_over_one(parameters.get("type", "Patient"), parameters["id"])
    else:
        await backfill.check()


def operation(
    method: str, endpoint: Endpoint, policy: Policy, taken: Sequence[str] | None = None
) -> Operation:
    return Operation(method, negotiated(endpoint, taken), policy)


def fhir_routes(max_bundle_bytes: int) -> list[BaseRoute]:
    base = [
        PolicedRoute(
            path,
            operation("GET", search_system, ANY_SEARCH),
            operation("POST", exchange_bundle, ANY, ()),
            max_body_bytes=max_bundle_bytes,
        )
        # Many clients end the base with a slash.
        for path in (FHIR_PATH, FHIR_PATH + "/")
    ]
    types = [
        PolicedRoute(
            path,
            operation("GET", search_type, smart("s")),
            operation("POST", create, smart("c")),
            operation("PUT", update_by_search, smart("u")),
            operation("PATCH", patch_by_search, smart("u")),
            operation("DELETE", delete_by_search, smart("d")),
        )
        for path in (FHIR_PATH + "/{type:writable}", FHIR_PATH + "/{type:writable}/")
    ]
    one = FHIR_PATH + "/{type:writable}/{id:resource}"
    return [
        *base,
        PolicedRoute(
            FHIR_PATH + "/metadata", operation("GET", metadata, PUBLIC, ("mode", *SUBSETS))
        ),
        PolicedRoute(
            FHIR_PATH + "/_search",
            operation("GET", search_system, ANY_SEARCH),
            operation("POST", search_system_by_form, ANY_SEARCH),
        ),
        PolicedRoute(FHIR_PATH + "/_history", operation("GET", list_system_versions, ANY_READ)),
        *operation_routes(negotiated),
        PolicedRoute(
            FHIR_PATH + "/{type}/_search",
            operation("GET", search_type, smart("s")),
            operation("POST", search_type_by_form, smart("s")),
        ),
        PolicedRoute(
            FHIR_PATH + "/{type:writable}/_history",
            operation("GET", list_type_versions, smart("r")),
        ),
        *(
            PolicedRoute(path, operation("GET", search_type, smart("s")))
            for path in (FHIR_PATH + "/{type:readonly}", FHIR_PATH + "/{type:readonly}/")
        ),
        PolicedRoute(
            FHIR_PATH + "/{type:readonly}/{id:resource}",
            operation("GET", read, smart("r"), SUBSETS),
        ),
        *types,
        PolicedRoute(
            one,
            operation("GET", read, smart("r"), SUBSETS),
            operation("PUT", update, smart("u"), ()),
            operation("PATCH", patch, smart("u"), ()),
            operation("DELETE", delete, smart("d"), ()),
        ),
        PolicedRoute(one + "/_history", operation("GET", list_versions, smart("r"))),
        PolicedRoute(one + "/_history/{vid}", operation("GET", read_version, smart("r"), SUBSETS)),
        *(
            PolicedRoute(path, operation("POST", search_compartment_by_form, ANY_SEARCH))
            for path in (
                FHIR_PATH + "/Patient/{id}/_search",
                FHIR_PATH + "/Patient/{id}/{compartment_type}/_search",
            )
        ),
        PolicedRoute(
            FHIR_PATH + "/Patient/{id}/{compartment_type:resource}",
            operation("GET", search_compartment, ANY_SEARCH),
        ),
    ]
