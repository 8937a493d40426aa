"""Billing's composition root."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc

from apps.billing.books import Books
from apps.billing.charges.consumer import apply_to, consumer_settings
from apps.billing.dead_letter_methods import ConsumedTopics
from apps.billing.housekeeping import keep_house
from apps.billing.ledger.chain import seal_forever
from apps.billing.service import billing_methods
from apps.billing.settings import SERVICE, Settings
from apps.catalogue import SERVICES
from apps.kit.broker import Producer
from apps.kit.database import Database
from apps.kit.delivery import KafkaDestination
from apps.kit.event_consumer import EventConsumer, clean_forever
from apps.kit.lag import LagMonitor, metrics_environment
from apps.kit.relay import Relay, connect_to
from apps.kit.relay import running as relaying
from apps.kit.rpc import RpcGuard, TokenVerifier, create_rpc_server, rpc_handler
from apps.kit.tasks import running
from protos.billing.v1 import billing_pb2 as pb

CONTRACT = pb.DESCRIPTOR.services_by_name["Billing"]


@dataclass(frozen=True, slots=True)
class Running:
    """What runs beside the calls, as far as the calls need it."""

    books: Books
    topics: ConsumedTopics


def create_app(
    settings: Settings, *, books: Books, topics: ConsumedTopics, verifier: TokenVerifier
) -> grpc.aio.Server:
    """Makes the gRPC server; nothing is opened or listened on yet."""
    guard = RpcGuard(
        verifier,
        audience=SERVICE,
        user_audience=settings.public_url,
        callers=frozenset(
            f"service-{entry.name}" for entry in SERVICES.values() if SERVICE in entry.calls
        ),
    )
    handler = rpc_handler(CONTRACT, billing_methods(books, topics), guard)

    async def is_ready() -> bool:
        return verifier.has_keys and await books.database.is_ready()

    # The contract is no secret, but in production nobody explores.
    reflected = () if settings.environment == "prod" else (CONTRACT.full_name,)
    return create_rpc_server(handler, is_ready, reflected=reflected)


@asynccontextmanager
async def run_books(
    settings: Settings, database: Database, producer: Producer
) -> AsyncIterator[Running]:
    """Runs what works beside the calls: the relay, the consumer and its lag, the seals
    and the clean-up.
    """
    relay = Relay(KafkaDestination(producer, settings.billing_topic), connect_to(settings.database))
    books = Books(database, settings, relay.wake)
    reads = consumer_settings(settings)
    consumer = EventConsumer(reads, database, producer, apply_to(settings))
    monitor = LagMonitor(
        reads,
        database,
        consumer,
        environment=metrics_environment(settings.environment, settings.log_format),
    )
    async with (
        relaying([relay]),
        running(
            consumer.run(),
            monitor.run(),
            seal_forever(database),
            keep_house(books),
            clean_forever(database),
        ),
    ):
        yield Running(
            books,
            ConsumedTopics(
                names=reads.topics, ends=consumer, broker=settings.broker, publisher=producer
            ),
        )
