"""The seed's short login, for compatibility: e-mail and password for a token. Off unless a
setting turns it on.
"""

from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.auth.audit import Event, insert_audit
from apps.auth.oauth.clients import PASSWORD_LOGIN, select_active_client
from apps.auth.oauth.tokens import Grant, sign_access_token
from apps.auth.people.password_check import check_password
from apps.auth.people.roles import intersect, scopes_of_roles
from apps.auth.people.users import lock_unchanged
from apps.auth.state import address_of, state_of
from apps.kit.errors import BadRequest, Forbidden, NotFound, Unauthorized
from apps.kit.web import AUTHENTICATED, PUBLIC, JSONResponse, Operation, PolicedRoute, read_json


async def login(request: Request) -> Response:
    state = state_of(request)
    if not state.settings.password_login_enabled:
        raise NotFound("not_found", "the short login is off: use /oauth2/authorize")
    email, password = read_credentials(await read_json(request))
    address = address_of(request)
    ring = state.ring()
    user = await check_password(
        state.database,
        state.hashing,
        email=email,
        password=password,
        address=address,
        client_id=PASSWORD_LOGIN,
    )
    if user is None:
        raise Unauthorized("invalid_credentials")
    async with state.database.transaction() as connection:
        client = await select_active_client(connection, PASSWORD_LOGIN)
        # Hashing takes its time: whoever was disabled or changed meanwhile is refused, and waits
        # for this commit else.
        unchanged = await lock_unchanged(connection, user)
        refusal = (
            "changed_meanwhile" if unchanged is None
            else "client_disabled" if client is None
            else "mfa_required" if user.must_prove_more(state.settings.mfa_required_roles)
            else ""
        )  # fmt: skip
        event = Event(
            "sign_in",
            "failure" if refusal else "success",
            refusal,
            actor_id=user.id,
            client_id=PASSWORD_LOGIN,
            subject=user.id,
            address=address,
        )
        await insert_audit(connection, event)
        if client and not refusal:
            grant = Grant(
                issuer=state.settings.issuer,
                audience=state.settings.issuer,
                client=client,
                user=user,
                scopes=intersect(client.scopes, scopes_of_roles(user.roles)),
                authenticated_at=datetime.now(UTC),
                methods=("pwd",),
            )
            token = sign_access_token(ring.active, grant)
            return JSONResponse({"token": token}, headers={"Cache-Control": "no-store"})
    if unchanged is None:
        raise Unauthorized("invalid_credentials")
    raise Forbidden(refusal)


def read_credentials(body: object) -> tuple[str, str]:
    if not isinstance(body, dict):
        raise BadRequest("invalid_body", "expected an object")
    email, password = body.get("email"), body.get("password")
    for name, value in (("email", email), ("password", password)):
        if not isinstance(value, str) or not value:
            raise BadRequest("missing_field", f"{name} is required", pointer=f"/{name}")
    return str(email), str(password)


async def validate(request: Request) -> Response:
    """Answers that the token is valid: the policy has verified it."""
    return JSONResponse({"valid": True})


def routes() -> list[BaseRoute]:
    return [
        PolicedRoute("/auth/login", Operation("POST", login, PUBLIC)),
        PolicedRoute("/auth/validate", Operation("GET", validate, AUTHENTICATED)),
    ]
