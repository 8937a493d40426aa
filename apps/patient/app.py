"""The patient service's composition root."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any

import asyncpg
from starlette.applications import Starlette
from starlette.requests import Request

from apps.kit.database import Database
from apps.kit.delivery import KafkaDestination, Publisher
from apps.kit.errors import Unavailable
from apps.kit.idempotency import delete_old_keys
from apps.kit.operation_outcomes import FHIR_PATH
from apps.kit.outbox import select_troubles
from apps.kit.relay import Relay, connect_to, running
from apps.kit.shown_settings import settings_routes
from apps.kit.web import Readiness, create_web_app, health_routes
from apps.patient.definitions.validation import compile_checks
from apps.patient.fhir.errors import render_fhir_error
from apps.patient.fhir.routes import fhir_routes
from apps.patient.patients_api import patients_api_routes
from apps.patient.relay.destinations import Billing, BillingDestination
from apps.patient.relay.outbox_routes import outbox_routes
from apps.patient.search.reading.cursors import Cursors
from apps.patient.settings import Settings
from apps.patient.storage.backfill import Backfill, running_backfill
from apps.patient.storage.group_commit import GroupCommit
from apps.patient.storage.numbers import NumberBlocks
from apps.patient.storage.read_audit import open_read_audit
from apps.patient.storage.record import Record
from apps.patient.storage.reindexing import Reindexing, running_reindexing
from apps.patient.storage.writing import TextCache, Writer

CLEANING_SECONDS = 600.0

log = logging.getLogger(__name__)


def create_app(
    settings: Settings, *, database: Database, verifier: Any, billing: Billing, publisher: Publisher
) -> Starlette:
    """Makes the application; its relays run for its life. `verifier` as
    kit.token_verifier.Verifier.
    """
    relays = [
        Relay(destination, connect_to(settings.database))
        for destination in (
            BillingDestination(billing),
            KafkaDestination(publisher, settings.topic),
        )
    ]

    def committed() -> None:
        for relay in relays:
            relay.wake()

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
        compile_checks()
        writer = Writer(NumberBlocks("resource_number"), TextCache())
        group_commit = GroupCommit(database, writer)
        record = Record(
            database=database,
            committed=committed,
            base_url=settings.public_url + FHIR_PATH,
            writer=writer,
            group_commit=group_commit,
        )
        backfill = Backfill(database, record)
        async with (
            running(relays),
            cleaning(database),
            running_backfill(backfill),
            running_reindexing(Reindexing(database, writer, record.base_url)),
            open_read_audit(database) as read_audit,
            aclosing(group_commit),
        ):
            yield {
                "settings": settings,
                "database": database,
                "verifier": verifier,
                "record": record,
                "backfill": backfill,
                "read_audit": read_audit,
                "cursors": Cursors(settings.verifier.client_secret),
            }

    async def readiness(request: Request) -> Readiness:
        degraded = [*verifier.degraded, *(relay.name for relay in relays if relay.away)]
        try:
            async with database.connection() as connection:
                degraded += await select_troubles(connection)
        except (Unavailable, asyncpg.PostgresError):
            return Readiness(("database",), tuple(degraded))
        return Readiness(() if verifier.has_keys else ("keys",), tuple(degraded))

    routes = [
        *health_routes(readiness),
        *patients_api_routes(),
        *outbox_routes(),
        *settings_routes("/api/settings"),
        *fhir_routes(settings.max_bundle_bytes),
    ]
    return create_web_app(
        routes, lifespan=lifespan, render=render_fhir_error, max_body_bytes=settings.max_body_bytes
    )


@asynccontextmanager
async def cleaning(database: Database) -> AsyncIterator[None]:
    """Forgets old idempotency keys from time to time."""

    async def clean() -> None:
        while True:
            await asyncio.sleep(CLEANING_SECONDS)
            try:
                async with database.connection() as connection:
                    await delete_old_keys(connection)
            except (Unavailable, asyncpg.PostgresError) as error:
                log.warning("old keys stay", extra={"error": type(error).__name__})

    task = asyncio.create_task(clean())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
