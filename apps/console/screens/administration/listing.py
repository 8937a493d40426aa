"""What the pages of the administration share: pages of lists at the auth service, and forms
that it refuses.
"""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from apps.console.neighbours import fhir
from apps.console.neighbours.api import Api
from apps.console.neighbours.calls import ApiError
from apps.kit.web import scopes

ADMIN = scopes("admin")
BASE = "/administration"
PAGE = 50


def items_of(body: Any) -> list[dict[str, Any]]:
    """Gives the rows of a list, whichever member holds them."""
    body = fhir.as_dict(body)
    for value in body.values():
        if isinstance(value, list):
            return fhir.as_list(value)
    return []


def next_cursor(answer: Any) -> str:
    """Gives the cursor of the next page, from the body or the `Link` header."""
    body = fhir.as_dict(answer.body)
    for name in ("next", "nextCursor", "cursor"):
        if body.get(name):
            return str(body[name]).rpartition("cursor=")[2]
    link = str(answer.headers.get("link", ""))
    return link.partition("cursor=")[2].partition("&")[0].partition(">")[0] if link else ""


async def find_page(api: Api, path: str, query: dict[str, str]) -> tuple[list[Any], str]:
    """Gives a page of a list, and the cursor of the next."""
    answer = await api.get(path, {key: value for key, value in query.items() if value})
    rows = fhir.as_list(answer.body) if isinstance(answer.body, list) else items_of(answer.body)
    return rows, next_cursor(answer)


async def show_refused(request: Request, render: Any, error: ApiError, **shown: Any) -> Response:
    """Renders the page again, with what was typed and why it was not carried out."""
    if error.status in (401, 403, 404):
        raise error
    if error.is_unavailable:
        response: Response = await render(request, error.status, unavailable=error, **shown)
        return response
    errors = {f"_{index}": text for index, text in enumerate(error.sentences)}
    answered: Response = await render(request, 422, errors=errors, **shown)
    return answered
