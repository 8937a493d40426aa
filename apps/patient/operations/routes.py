"""Operations: paths that begin with `$` (https://hl7.org/fhir/R4/operations.html). Each is a module
beside this one.
"""

from collections.abc import Callable

from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.kit.errors import NotFound, NotImplementedYet
from apps.kit.operation_outcomes import FHIR_PATH
from apps.kit.web import AUTHENTICATED, Endpoint, Operation, PolicedRoute, Policy, smart
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
            *by_both(negotiated(everything), smart("r", "Patient")),
        ),
        PolicedRoute(
            FHIR_PATH + "/Patient/{id}/$summary",
            *by_both(negotiated(summarise), smart("r", "Patient")),
        ),
        PolicedRoute(
            FHIR_PATH + "/Patient/$match",
            Operation("POST", negotiated(match), smart("s", "Patient")),
        ),
        PolicedRoute(
            FHIR_PATH + "/Observation/$lastn",
            *by_both(negotiated(last_observations), smart("s", "Observation")),
        ),
        *(
            PolicedRoute(
                path,
                Operation("GET", unknown, AUTHENTICATED),
                Operation("POST", unknown, AUTHENTICATED),
            )
            for path in (
                FHIR_PATH + "/${operation:unserved}",
                FHIR_PATH + "/{type}/${operation:unserved}",
                FHIR_PATH + "/{type}/{id}/${operation:unserved}",
            )
        ),
    ]


def by_both(endpoint: Endpoint, policy: Policy) -> tuple[Operation, Operation]:
    """Returns the operations of what changes nothing: by GET and, as any operation, by POST."""
    return Operation("GET", endpoint, policy), Operation("POST", endpoint, policy)


class Unserved(Convertor[str]):
    """The name of an operation that has no route of its own."""

    regex = "(?!(?:everything|lastn|match|summary|validate)$)[^/]+"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("unserved", Unserved())


async def refuse(request: Request) -> Response:
    name = request.path_params["operation"]
    if name in PLANNED:
        raise NotImplementedYet("not_implemented", f"${name} is not served yet")
    raise NotFound("operation_not_served", "there is no such operation")
