"""The console's composition root: pages over the other services, for people in a browser."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request

from apps.console.neighbours.api import Neighbours, open_http
from apps.console.neighbours.billing import Billing
from apps.console.screens import last_routes, screen_routes
from apps.console.settings import Settings
from apps.console.web.assets import asset_routes
from apps.console.web.rendering import render
from apps.console.web.sessions import delete_expired
from apps.console.web.sign_in import sign_in_routes
from apps.console.web.tokens import Statements
from apps.kit.credentials import ServiceCredentials
from apps.kit.database import Database, open_database
from apps.kit.errors import Unavailable
from apps.kit.rpc import open_channel
from apps.kit.token_verifier import open_verifier
from apps.kit.web import Readiness, create_web_app, health_routes

CLEAN_PERIOD_SECONDS = 600.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outside:
    """What lies beyond the process. `verifier`: a `kit.token_verifier.Verifier`, or what
    answers like one.
    """

    verifier: Any
    database: Database
    neighbours: Neighbours


OpenOutside = Callable[[Settings], AbstractAsyncContextManager[Outside]]


@asynccontextmanager
async def open_outside(settings: Settings) -> AsyncIterator[Outside]:
    """Opens the database and the ways to the other services; none of them need be there yet."""
    async with (
        open_http() as http,
        open_verifier(settings.verifier, http) as verifier,
        open_database(settings.database) as database,
        open_channel(settings.billing_target) as channel,
    ):
        credentials = ServiceCredentials(
            settings.upstreams["auth"], "service-console", settings.client_secret, http
        )
        yield Outside(
            verifier, database, Neighbours(http, settings.upstreams, Billing(channel, credentials))
        )


def create_app(settings: Settings, *, outside: OpenOutside = open_outside) -> Starlette:
    """Makes the application; nothing is opened before its lifespan begins."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[Mapping[str, Any]]:
        async with outside(settings) as found:
            cleaning = asyncio.create_task(_clean_forever(found.database))
            try:
                yield {
                    "settings": settings,
                    "verifier": found.verifier,
                    "database": found.database,
                    "neighbours": found.neighbours,
                    "statements": Statements(found.neighbours.http, settings),
                }
            finally:
                cleaning.cancel()
                with suppress(asyncio.CancelledError):
                    await cleaning

    return create_web_app(
        [
            *screen_routes(),
            *sign_in_routes(),
            *asset_routes(),
            *health_routes(readiness),
            *last_routes(),
        ],
        lifespan=lifespan,
        render=render,
    )


async def _clean_forever(database: Database) -> None:
    while True:
        try:
            async with database.transaction() as connection:
                await delete_expired(connection)
        except Unavailable:
            log.warning("sessions were not cleaned: the database is away")
        await asyncio.sleep(CLEAN_PERIOD_SECONDS)


async def readiness(request: Request) -> Readiness:
    """Fails without its database or without keys; a service that is down only degrades it."""
    state = request.state
    failed = [] if await state.database.is_ready() else ["database"]
    if not state.verifier.has_keys:
        failed.append("keys")
    degraded = [*state.verifier.degraded]
    if not state.neighbours.billing.is_reachable:
        degraded.append("billing")
    return Readiness(tuple(failed), tuple(degraded))
