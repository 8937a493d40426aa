"""`grpc.health.v1`, as /livez and /readyz say it over HTTP."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from grpc_health.v1 import health_pb2

HEALTH_CACHE_SECONDS = 1.0
HEALTH_WATCH_SECONDS = 5.0
# This name asks whether the process runs (/livez); any other whether it can take traffic (/readyz).
LIVENESS = "livez"


def health_handler(is_ready: Callable[[], Awaitable[bool]]) -> Any:
    """Returns the handler to hand to a server: SERVING while `is_ready`."""
    status = health_pb2.HealthCheckResponse
    last: tuple[float, bool] = (float("-inf"), False)
    lock = asyncio.Lock()

    async def state(name: str) -> Any:
        nonlocal last
        if name == LIVENESS:
            return status(status=status.SERVING)
        # However often it is asked, the database is asked once at a time and not more than
        # once a second.
        async with lock:
            if time.monotonic() - last[0] > HEALTH_CACHE_SECONDS:
                ready = await is_ready()
                last = (time.monotonic(), ready)
        return status(status=status.SERVING if last[1] else status.NOT_SERVING)

    async def check(request: Any, context: Any) -> Any:
        return await state(request.service)

    async def watch(request: Any, context: Any) -> Any:
        told = None
        while True:
            now = await state(request.service)
            if now != told:
                yield now
                told = now
            await asyncio.sleep(HEALTH_WATCH_SECONDS)

    codec = {
        "request_deserializer": health_pb2.HealthCheckRequest.FromString,
        "response_serializer": health_pb2.HealthCheckResponse.SerializeToString,
    }
    return grpc.method_handlers_generic_handler(
        "grpc.health.v1.Health",
        {
            "Check": grpc.unary_unary_rpc_method_handler(check, **codec),
            "Watch": grpc.unary_stream_rpc_method_handler(watch, **codec),
        },
    )
