"""The auth service, put together."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request

from apps.auth.admin import client_routes, user_routes
from apps.auth.cleanup import keep_clean
from apps.auth.oauth import legacy_login_routes, oauth_routes, well_known
from apps.auth.oauth.revocations import OwnSource
from apps.auth.pages import account_routes, authorize_routes, rendering, sign_in_routes
from apps.auth.people.passwords import Hashing
from apps.auth.settings import Settings
from apps.auth.state import Room, room_of
from apps.kit.database import open_database
from apps.kit.token_verifier import Verifier, keep_fresh
from apps.kit.web import Readiness, create_web_app, health_routes

ROUTED = (
    well_known,
    oauth_routes,
    authorize_routes,
    sign_in_routes,
    account_routes,
    rendering,
    legacy_login_routes,
    user_routes,
    client_routes,
)


def create_app(settings: Settings) -> Starlette:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[Mapping[str, Any]]:
        async with open_database(settings.database) as database:
            room = Room(settings, database, Hashing())
            verifier = Verifier(
                settings.issuer, (settings.issuer, "auth"), OwnSource(database, room.load_ring)
            )
            tasks = [
                asyncio.create_task(room.keep_ring()),
                asyncio.create_task(keep_clean(database)),
            ]
            try:
                async with keep_fresh(verifier):
                    yield {
                        "settings": settings,
                        "database": database,
                        "room": room,
                        "verifier": verifier,
                    }
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                room.hashing.close()

    routes = [route for room in ROUTED for route in room.routes()]
    return create_web_app(
        [*health_routes(readiness), *routes], lifespan=lifespan, render=rendering.render
    )


async def readiness(request: Request) -> Readiness:
    room = room_of(request)
    if not await room.database.is_ready():
        return Readiness(failed=("database",))
    if room.keys_are_sealed:
        return Readiness(failed=("signing_key_sealed_under_another_AUTH_KEY_ENCRYPTION_KEY",))
    return Readiness(failed=() if room.has_ring and request.state.verifier.has_keys else ("keys",))
