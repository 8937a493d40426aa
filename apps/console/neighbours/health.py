"""Whether the services answer, and which version of each runs."""

import asyncio
from typing import Any

import aiohttp
import msgspec

from apps.console.neighbours.api import Neighbours
from apps.kit.version import service_version

PROBE_SECONDS = 2.0
OK, DEGRADED, UNREACHABLE = "ok", "degraded", "unreachable"


async def find_services(neighbours: Neighbours, gateway: str) -> list[dict[str, Any]]:
    """Gives name, status, version and what is missing of each service; one that is silent for 2 s
    does not answer.

    `gateway`: what the gateway says of itself in the request that it passed on
    (`X-Forwarded-Server`). Billing tells its version elsewhere.
    """
    found = await asyncio.gather(
        *(_ask(neighbours.http, name, url) for name, url in neighbours.upstreams.items()),
        _ask_billing(neighbours),
    )
    own = _state("console", OK, service_version())
    passed = [_state("gateway", OK, gateway.removeprefix("gateway/"))] if gateway else []
    return sorted([*found, own, *passed], key=lambda each: str(each["name"]))


def _state(name: str, status: str, version: str = "", *details: str) -> dict[str, Any]:
    return {"name": name, "status": status, "version": version, "details": details}


async def _ask(http: aiohttp.ClientSession, name: str, url: str) -> dict[str, Any]:
    timeout = aiohttp.ClientTimeout(total=PROBE_SECONDS)
    try:
        async with http.get(f"{url}/readyz", timeout=timeout) as answer:
            body = msgspec.json.decode(await answer.read())
    except (aiohttp.ClientError, TimeoutError, OSError, msgspec.DecodeError):
        return _state(name, UNREACHABLE)
    details = [*body.get("failed", []), *body.get("degraded", [])]
    return _state(name, str(body.get("status", "")), str(body.get("version", "")), *details)


async def _ask_billing(neighbours: Neighbours) -> dict[str, Any]:
    is_serving = await neighbours.billing.is_serving(PROBE_SECONDS)
    return _state("billing", OK if is_serving else UNREACHABLE)
