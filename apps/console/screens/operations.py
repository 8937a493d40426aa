"""Operations: the services, what waits in queues, what was refused and why; each
beside its command.
"""

import re
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.console.neighbours.api import Api, load_all
from apps.console.neighbours.calls import ApiError
from apps.console.neighbours.health import find_services
from apps.console.screens.money import calls
from apps.console.web.people import ScreenRoute, person_of
from apps.console.web.rendering import go_to, page
from apps.kit.errors import NotFound
from apps.kit.texts import N_
from apps.kit.web import Operation, scopes

ADMIN = scopes("admin")
RECORD_OUTBOX = "/api/outbox"
# Each service with an outbox, and the name that `scripts/operate` knows it by.
OUTBOXES = {"patient": N_("Record"), "billing": N_("Billing")}
# Each service that reads topics, and what is made of them.
CONSUMERS = {"analytics": N_("Figures"), "billing": N_("Billing")}
# Whole words of `scripts/operate` that no part of the page stands for.
COMMANDS = (
    (N_("Log of a service"), "logs patient"),
    (N_("Signing keys"), "keys list"),
    (N_("Check of the books"), "reconcile"),
    (N_("Figures from the beginning"), "figures rebuild"),
)


async def load_services(request: Request) -> list[dict[str, Any]]:
    """Gives the state of every service."""
    gateway = request.headers.get("x-forwarded-server", "")
    return await find_services(request.state.neighbours, gateway)


async def find_lag(api: Api, service: str) -> Any:
    """Gives how far a service is behind the topics that it reads."""
    if service == "billing":
        return await api.billing("GetConsumerLag", f"GET {calls.BASE}/lag", {})
    return (await api.get("/analytics/v1/lag")).body


async def find_letters(api: Api, service: str) -> Any:
    """Gives the events that a service could not read."""
    if service == "billing":
        found = await api.billing("ListDeadLetters", f"GET {calls.BASE}/dead-letters", {})
        letters = [{**each, "id": each["deadLetterId"]} for each in found["deadLetters"]]
    else:
        letters = (await api.get("/analytics/v1/dead-letters")).body.get("deadLetters", [])
    return letters


async def find_record_outbox(api: Api) -> Any:
    """Gives the record's queues and refused rows."""
    return (await api.get(RECORD_OUTBOX)).body


async def find_billing_outbox(api: Api) -> Any:
    """Gives billing's queues, refused rows and version."""
    return await api.billing("ListOutbox", f"GET {calls.BASE}/outbox", {})


async def operations_page(request: Request, status: int = 200, **values: Any) -> Response:
    """Shows the state; `values`: why something could not be carried out."""
    api = person_of(request).api
    parts = await load_all(
        services=load_services(request),
        **{f"letters_{name}": find_letters(api, name) for name in CONSUMERS},
        patient=find_record_outbox(api),
        billing=find_billing_outbox(api),
    )
    billing = parts["billing"].value or {}
    for each in parts["services"].value or []:
        if each["name"] == "billing":
            each["version"] = billing.get("version", "")
    common: dict[str, Any] = {"errors": {}, "unavailable": None}
    return page(
        request,
        "operations/operations.html",
        status,
        **{**common, **values},
        parts=parts,
        outboxes=OUTBOXES,
        consumers=CONSUMERS,
        commands=COMMANDS,
        operate=operate_of(request),
    )


async def show(request: Request) -> Response:
    return await operations_page(request)


async def show_lag(request: Request) -> Response:
    """Shows how far the consumers are behind: by itself, since the brokers take up to half a
    second to say.
    """
    api = person_of(request).api
    lags = await load_all(**{name: find_lag(api, name) for name in CONSUMERS})
    return page(
        request,
        "operations/lag.html",
        lags=lags,
        consumers=CONSUMERS,
        operate=operate_of(request),
    )


def operate_of(request: Request) -> str:
    """Gives the beginning of an operator's command for this environment."""
    return f"scripts/operate {request.state.settings.environment}"


async def carry_out(request: Request, change: Any, notice: str) -> Response:
    """Makes a change, and shows the page again where it is refused."""
    try:
        await change
    except ApiError as error:
        if error.status in (401, 403):
            raise
        if error.is_unavailable:
            return await operations_page(request, error.status, unavailable=error)
        return await operations_page(request, 422, errors={"_": error.sentences[0]})
    return go_to(f"/operations?notice={notice}")


async def settle_letter(request: Request) -> Response:
    """Sends a dead letter to its topic again, or discards it with a reason."""
    api, form = person_of(request).api, request.state.form
    service, letter = request.path_params["service"], request.path_params["letter"]
    if service not in CONSUMERS or form.get("action") not in ("retry", "discard"):
        raise NotFound("not_found")
    is_retry = form["action"] == "retry"
    if not is_retry and not form.get("reason"):
        return await operations_page(request, 422, errors={"_": N_("Say why it is discarded.")})
    body = {} if is_retry else {"reason": form["reason"]}
    path = f"/dead-letters/{letter}/{'redrive' if is_retry else 'discard'}"
    if service == "billing":
        change = api.billing(
            "RedriveDeadLetter" if is_retry else "DiscardDeadLetter",
            f"POST {calls.BASE}{path}",
            {"deadLetterId": letter, **body},
        )
    else:
        change = api.send("POST", f"/analytics/v1{path}", body)
    return await carry_out(request, change, "retried" if is_retry else "discarded")


async def settle_row(request: Request) -> Response:
    """Sends a refused row of an outbox again, or deletes it for good."""
    api, form = person_of(request).api, request.state.form
    service, row = request.path_params["service"], request.path_params["row"]
    action = form.get("action", "")
    is_row = re.fullmatch("[0-9]{1,18}", row)
    if service not in OUTBOXES or action not in ("retry", "discard") or not is_row:
        raise NotFound("not_found")
    if service == "patient":
        change = api.send("POST", f"{RECORD_OUTBOX}/{row}/{action}", {})
    else:
        change = api.billing(
            "RetryOutboxRow" if action == "retry" else "DiscardOutboxRow",
            f"POST {calls.BASE}/outbox/{row}/{action}",
            {"rowId": row},
        )
    return await carry_out(request, change, "retried" if action == "retry" else "discarded")


def routes() -> list[BaseRoute]:
    """Gives the screen's routes."""
    return [
        ScreenRoute("/operations", Operation("GET", show, ADMIN)),
        ScreenRoute("/operations/lag", Operation("GET", show_lag, ADMIN)),
        ScreenRoute(
            "/operations/dead-letters/{service}/{letter}",
            Operation("POST", settle_letter, ADMIN),
        ),
        ScreenRoute("/operations/outbox/{service}/{row}", Operation("POST", settle_row, ADMIN)),
    ]
