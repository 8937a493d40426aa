"""Operations: paths that begin with `$` (https://hl7.org/fhir/R4/operations.html). Each is a module beside this one."""

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.kit.errors import NotFound, NotImplementedYet
from apps.kit.operation_outcomes import FHIR_PATH
from apps.kit.web import AUTHENTICATED, Endpoint, Operation, PolicedRoute, smart
from apps.patient.operations.everything import everything
from apps.patient.operations.lastn import last_observations
from apps.patient.operations.match import match
from apps.patient.operations.summary import summarise
from apps.patient.operations.validate import validate_routes

# Known, and not served yet.
PLANNED = frozenset(
    [
        "merge",
        "unmerge",
        "export",
        "import",
        "erase",
    ]
)


def operation_routes(negotiated: Callable[[Endpoint], Endpoint]) -> list[BaseRoute]:
    """Returns the routes of the operations; what is not among them is refused by its name."""
    unknown = negotiated(refuse)
    return [
        *validate_routes(),
        PolicedRoute(
            FHIR_PATH + "/Patient/{id}/$everything",
            Operation("GET", negotiated(everything), smart("r", "Patient")),
        ),
        PolicedRoute(
            FHIR_PATH + "/Patient/{id}/$summary",
            Operation("GET", negotiated(summarise), smart("r", "Patient")),
        ),
        PolicedRoute(
            FHIR_PATH + "/Patient/$match",
            Operation("POST", negotiated(match), smart("s", "Patient")),
        ),
        PolicedRoute(
            FHIR_PATH + "/Observation/$lastn",
            Operation("GET", negotiated(last_observations), smart("s", "Observation")),
        ),
        *(
            PolicedRoute(
                path,
                Operation("GET", unknown, AUTHENTICATED),
                Operation("POST", unknown, AUTHENTICATED),
            )
            for path in (
                FHIR_PATH + "/${operation}",
                FHIR_PATH + "/{type}/${operation}",
                FHIR_PATH + "/{type}/{id}/${operation}",
            )
        ),
    ]


async def refuse(request: Request) -> Response:
    name = request.path_params["operation"]
    if name in PLANNED:
        raise NotImplementedYet("not_implemented", f"${name} is not served yet")
    raise NotFound("operation_not_served", "there is no such operation")
