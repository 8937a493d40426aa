"""`/auth/v1/launches`: the console launches an application for the patient that a
clinician has open.
"""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.auth.admin.requests import claim_secret, no_store, read_object, record
from apps.auth.oauth.clients import select_active_client
from apps.auth.oauth.launches import LAUNCH_LIFE_SECONDS, insert_launch
from apps.auth.people.user_fields import RESOURCE_ID
from apps.auth.people.users import select_active_user
from apps.auth.state import state_of
from apps.kit.errors import Forbidden, Unprocessable
from apps.kit.idempotency import insert_key, read_claim
from apps.kit.scopes import Principal
from apps.kit.web import JSONResponse, Operation, PolicedRoute, Policy, principal_of

LAUNCHES = "/auth/v1/launches"


def may_launch(principal: Principal, request: Request) -> bool:
    """Tells whether a person calls who may read every patient. Programs have no role."""
    access = principal.access_to("Patient", "r")
    return bool(principal.roles) and access is not None and access.is_unrestricted


STAFF = Policy("Patient.r of a person for every patient", may_launch)


async def create(request: Request) -> Response:
    """Returns a `launch` value: good once, for five minutes, for the person who asks.

    The body: `patientId`, and if wanted `encounterId` and the `clientId` of the only application
    that may use it.
    """
    body = await read_object(request, "patientId", "encounterId", "clientId")
    patient_id = read_id(body, "patientId", required=True)
    encounter_id = read_id(body, "encounterId")
    client_id = body.get("clientId")
    principal = principal_of(request)
    claim = read_claim(request, await request.body())
    async with state_of(request).database.transaction() as connection:
        await claim_secret(connection, claim)
        user = await select_active_user(connection, principal.subject)
        if user is None:
            raise Forbidden("insufficient_scope", "this needs a person")
        if client_id is not None and (
            not isinstance(client_id, str)
            or await select_active_client(connection, client_id) is None
        ):
            raise Unprocessable("invalid_client", "no such application", pointer="/clientId")
        launch = await insert_launch(
            connection,
            user_id=user.id,
            patient_id=str(patient_id),
            encounter_id=encounter_id,
            client_id=client_id,
        )
        await record(connection, request, "launch_created", str(patient_id))
        await insert_key(connection, claim, str(patient_id))
    return no_store(JSONResponse({"launch": launch, "expiresIn": LAUNCH_LIFE_SECONDS}, 201))


def read_id(body: dict[str, Any], name: str, *, required: bool = False) -> str | None:
    value = body.get(name)
    if value is None and not required:
        return None
    if not isinstance(value, str) or not RESOURCE_ID.fullmatch(value):
        raise Unprocessable("invalid_id", "the id of a resource", pointer=f"/{name}")
    return value


def routes() -> list[BaseRoute]:
    return [PolicedRoute(LAUNCHES, Operation("POST", create, STAFF))]
