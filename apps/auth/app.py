"""The auth service, put together."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request

from apps.auth import account_routes, authorize_routes, login_routes, oauth_routes, pages, signin_routes, well_known
from apps.auth.passwords import Hashing
from apps.auth.revocations import OwnSource
from apps.auth.room import Room, room_of
from apps.auth.settings import Settings
from apps.kit.database import open_database
from apps.kit.tokens import Verifier, keep_fresh
from apps.kit.web import Readiness, create_web_app, health_routes


def create_app(settings: Settings) -> Starlette:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[Mapping[str, Any]]:
        async with open_database(settings.database) as database:
            room = Room(settings, database, Hashing())
            verifier = Verifier(settings.issuer, (settings.issuer, "auth"), OwnSource(database, room.load_ring))
            task = asyncio.create_task(room.keep_ring())
            try:
                async with keep_fresh(verifier):
                    yield {"settings": settings, "database": database, "room": room, "verifier": verifier}
            finally:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
                room.hashing.close()

    rooms = (
        well_known, oauth_routes, authorize_routes, signin_routes, account_routes, pages, login_routes,
    )  # fmt: skip
    routes = [route for room in rooms for route in room.routes()]
    return create_web_app([*health_routes(readiness), *routes], lifespan=lifespan, render=pages.render)


async def readiness(request: Request) -> Readiness:
    room = room_of(request)
    if not await room.database.is_ready():
        return Readiness(failed=("database",))
    return Readiness(failed=() if room.has_ring and request.state.verifier.has_keys else ("keys",))
