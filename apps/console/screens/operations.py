"""Operations: whether the services answer, how far the queues are behind, dead letters; each with its command."""

import asyncio
from typing import Any

import aiohttp
import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.console.neighbours.api import Api, load_all
from apps.console.neighbours.calls import ApiError
from apps.console.web.people import ScreenRoute, person_of
from apps.console.web.rendering import go_to, page
from apps.console.web.texts import N_
from apps.kit.web import Operation, scopes

ADMIN = scopes("admin")
LAG, LETTERS = "/analytics/v1/lag", "/analytics/v1/dead-letters"
PROBE_SECONDS = 2.0
# What has no call of its own: the command says it.
COMMANDS = (
    (N_("State of all services and queues"), "scripts/operate local status"),
    (N_("Outbox of the record: what waits, what was parked and why"), "scripts/operate local outbox list"),
    (N_("Log of a service"), "scripts/operate local logs patient"),
    (N_("Signing keys"), "scripts/operate local keys list"),
    (N_("Check of the books"), "scripts/operate local reconcile"),
    (N_("Backup of the databases"), "scripts/operate local backup"),
)  # fmt: skip


async def find_services(request: Request) -> list[dict[str, Any]]:
    """Asks every service whether it is ready; one that does not answer in time is not."""
    neighbours = request.state.neighbours

    async def ask(name: str, url: str) -> dict[str, Any]:
        timeout = aiohttp.ClientTimeout(total=PROBE_SECONDS)
        try:
            async with neighbours.http.get(f"{url}/readyz", timeout=timeout) as answer:
                body = msgspec.json.decode(await answer.read())
        except (aiohttp.ClientError, TimeoutError, OSError, msgspec.DecodeError):
            return {"name": name, "status": "unreachable", "details": []}
        details = [*body.get("failed", []), *body.get("degraded", [])]
        return {"name": name, "status": str(body.get("status", "")), "details": details}

    found = list(
        await asyncio.gather(*(ask(name, url) for name, url in neighbours.upstreams.items()))
    )
    is_reachable = neighbours.billing.is_reachable
    found.append(
        {"name": "billing", "status": "ok" if is_reachable else "unreachable", "details": []}
    )
    return sorted(found, key=lambda each: str(each["name"]))


async def find_lag(api: Api) -> Any:
    """Gives how far the figures are behind the topics."""
    return (await api.get(LAG)).body


async def find_letters(api: Api) -> Any:
    """Gives the events that could not be read."""
    return (await api.get(LETTERS)).body.get("deadLetters", [])


async def operations_page(request: Request, status: int = 200, **values: Any) -> Response:
    """Shows the state; `values`: why something could not be carried out."""
    api = person_of(request).api
    parts = await load_all(lag=find_lag(api), letters=find_letters(api))
    common: dict[str, Any] = {"errors": {}, "unavailable": None}
    return page(
        request,
        "operations/operations.html",
        status,
        **{**common, **values},
        services=await find_services(request),
        parts=parts,
        commands=COMMANDS,
    )


async def show(request: Request) -> Response:
    return await operations_page(request)


async def settle(request: Request) -> Response:
    """Sends a dead letter to its topic again, or discards it with a reason."""
    api, form = person_of(request).api, request.state.form
    path = f"{LETTERS}/{request.path_params['letter']}"
    is_retry = form.get("action") == "retry"
    if not is_retry and not form.get("reason"):
        return await operations_page(request, 422, errors={"_": N_("Say why it is discarded.")})
    try:
        if is_retry:
            await api.send("POST", f"{path}/redrive", {})
        else:
            await api.send("POST", f"{path}/discard", {"reason": form["reason"]})
    except ApiError as error:
        if error.status in (401, 403):
            raise
        if error.is_unavailable:
            return await operations_page(request, error.status, unavailable=error)
        return await operations_page(request, 422, errors={"_": error.sentences[0]})
    return go_to(f"/operations?notice={'retried' if is_retry else 'discarded'}")


def routes() -> list[BaseRoute]:
    """Gives the screen's routes."""
    return [
        ScreenRoute("/operations", Operation("GET", show, ADMIN)),
        ScreenRoute("/operations/dead-letters/{letter}", Operation("POST", settle, ADMIN)),
    ]
