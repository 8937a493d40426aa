"""Analytics' composition root: the HTTP application, with the consumer running beside it."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from starlette.applications import Starlette
from starlette.requests import Request

from apps.analytics.figures.storage import apply_events
from apps.analytics.routes.live import LiveUpdates
from apps.analytics.routes.routes import analytics_routes
from apps.analytics.settings import Settings
from apps.kit.broker import Producer, open_producer
from apps.kit.database import Database, open_database
from apps.kit.event_consumer import EventConsumer, clean_forever
from apps.kit.lag import LagMonitor, metrics_environment
from apps.kit.shown_settings import settings_routes
from apps.kit.tasks import running
from apps.kit.token_verifier import open_verifier
from apps.kit.web import Readiness, create_web_app, health_routes


@dataclass(frozen=True, slots=True)
class Neighbours:
    """`verifier`: a `kit.token_verifier.Verifier`, or what answers like one."""

    verifier: Any
    database: Database
    producer: Producer


@asynccontextmanager
async def open_neighbours(settings: Settings) -> AsyncIterator[Neighbours]:
    async with (
        aiohttp.ClientSession() as session,
        open_verifier(settings.verifier, session) as verifier,
        open_database(settings.database) as database,
        open_producer(settings.broker) as producer,
    ):
        yield Neighbours(verifier, database, producer)


OpenNeighbours = Callable[[Settings], AbstractAsyncContextManager[Neighbours]]


def create_app(settings: Settings, *, neighbours: OpenNeighbours = open_neighbours) -> Starlette:
    """Returns the application; its consumer runs for its life."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[Mapping[str, Any]]:
        async with neighbours(settings) as found:
            consumer = EventConsumer(
                settings.consumer, found.database, found.producer, apply_events
            )
            monitor = LagMonitor(
                settings.consumer,
                found.database,
                consumer,
                environment=metrics_environment(settings.environment, settings.log_format),
            )
            live = LiveUpdates(found.database)
            async with running(
                consumer.run(), monitor.run(), live.run(), clean_forever(found.database)
            ):
                yield {
                    "settings": settings,
                    "verifier": found.verifier,
                    "database": found.database,
                    "consumer": consumer,
                    "producer": found.producer,
                    "monitor": monitor,
                    "live": live,
                }

    routes = [
        *health_routes(readiness),
        *analytics_routes(),
        *settings_routes("/analytics/v1/settings"),
    ]
    return create_web_app(routes, lifespan=lifespan)


async def readiness(request: Request) -> Readiness:
    state = request.state
    failed = [] if await state.database.is_ready() else ["database"]
    if not state.verifier.has_keys:
        failed.append("keys")
    degraded = [*state.verifier.degraded]
    if not state.consumer.is_connected or state.monitor.failing:
        degraded.append("kafka")
    return Readiness(tuple(failed), tuple(degraded))
