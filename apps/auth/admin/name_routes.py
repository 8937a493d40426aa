"""`/auth/v1/names`: who stands behind the ids that an audit names, for people who may
read that audit.
"""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.auth.admin.requests import no_store
from apps.auth.people.user_fields import is_uuid
from apps.auth.people.users import select_active_user
from apps.auth.state import state_of
from apps.kit.database import Connection
from apps.kit.errors import BadRequest, Forbidden
from apps.kit.web import AUTHENTICATED, JSONResponse, Operation, PolicedRoute, principal_of

NAMES = "/auth/v1/names"
MAX_IDS = 100
MAX_ID_CHARS = 100


async def find(request: Request) -> Response:
    """Returns the names of the accounts and applications among the ids; of unknown ids nothing.

    A patient is told the names of staff and applications and the own one, never another patient's.
    """
    async with state_of(request).database.connection() as connection:
        user = await select_active_user(connection, principal_of(request).subject)
        if user is None:
            raise Forbidden("no_person", "no person stands behind this token")
        ids = read_ids(request)
        own = user.id if "patient" in user.roles else None
        names = await select_names(connection, ids, own)
    return no_store(JSONResponse({"items": names}))


def read_ids(request: Request) -> list[str]:
    """Reads the parameter `id`, which may be repeated; raises BadRequest for none or too many."""
    parameters = request.query_params
    ids = list(dict.fromkeys(parameters.getlist("id")))
    if set(parameters) - {"id"} or not 0 < len(ids) <= MAX_IDS:
        raise BadRequest("invalid_parameter", f"`id`, up to {MAX_IDS} times", pointer="id")
    if any(len(each) > MAX_ID_CHARS or not each.isprintable() for each in ids):
        raise BadRequest("invalid_id", "not the id of an account or application", pointer="id")
    return ids


async def select_names(
    connection: Connection, ids: list[str], only_patient: str | None
) -> list[dict[str, Any]]:
    """Returns id, name and kind (person | application); `only_patient`: the one patient's
    login to be named.
    """
    rows = await connection.fetch(
        """
        SELECT id::text, name, 'person' AS kind FROM users
        WHERE id = ANY ($1::uuid[]) AND ($3::uuid IS NULL OR id = $3 OR NOT 'patient' = ANY (roles))
        UNION ALL SELECT id, name, 'application' FROM clients WHERE id = ANY ($2::text[])
        ORDER BY 1""",
        [each for each in ids if is_uuid(each)],
        ids,
        only_patient,
    )
    return [dict(row) for row in rows]


def routes() -> list[BaseRoute]:
    return [PolicedRoute(NAMES, Operation("GET", find, AUTHENTICATED))]
