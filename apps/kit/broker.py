"""Kafka: a producer that may start before its broker does, a consumer that only reads, and
their headers.
"""

import asyncio
import logging
import os
import ssl
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.abc import AbstractTokenProvider, ConsumerRebalanceListener
from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from aiokafka.partitioner import DefaultPartitioner

from apps.kit.context import RequestContext, current_context, read_context
from apps.kit.errors import ContentTooLarge, Unavailable
from apps.kit.settings import Environment

SECURITIES = ("plaintext", "msk_iam")
REQUEST_TIMEOUT_SECONDS = 5.0
PUBLISH_TIMEOUT_SECONDS = 10.0
START_TIMEOUT_SECONDS = 10.0
STOP_TIMEOUT_SECONDS = 5.0
MAX_MESSAGE_BYTES = 1024 * 1024
MAX_FETCH_BYTES = 8 * 1024 * 1024
# A loaded history is hundreds of events of one patient, and so of one partition, whose batches go
# one after another.
MAX_BATCH_BYTES = 256 * 1024
TOKEN_SPARE_SECONDS = 60

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BrokerSettings:
    """`security`: `plaintext`, or `msk_iam` (SASL/OAUTHBEARER by an IAM signature, over
    verified TLS).
    """

    bootstrap_servers: str
    security: str = "plaintext"


def read_broker_settings(environment: Environment) -> BrokerSettings:
    return BrokerSettings(
        bootstrap_servers=environment.require("KAFKA_BOOTSTRAP_SERVERS"),
        security=environment.choice("KAFKA_SECURITY", SECURITIES),
    )


@dataclass(frozen=True, slots=True)
class Message:
    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


class MskToken(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka carries no types
    """The task role's signature as a token, made anew shortly before it expires."""

    def __init__(self) -> None:
        self._token = ""
        self._expires_at_seconds = 0.0

    async def token(self) -> str:
        if time.time() > self._expires_at_seconds - TOKEN_SPARE_SECONDS:
            self._token, self._expires_at_seconds = await asyncio.to_thread(self._sign)
        return self._token

    def _sign(self) -> tuple[str, float]:
        from aws_msk_iam_sasl_signer import MSKAuthTokenProvider  # type: ignore[import-untyped]  # only where MSK is: it brings boto3

        token, expires_at_ms = MSKAuthTokenProvider.generate_auth_token(os.environ["AWS_REGION"])
        return token, expires_at_ms / 1000


def connect_options(settings: BrokerSettings) -> dict[str, Any]:
    """Returns what a client of aiokafka needs to connect."""
    options: dict[str, Any] = {
        "bootstrap_servers": settings.bootstrap_servers.split(","),
        "request_timeout_ms": int(REQUEST_TIMEOUT_SECONDS * 1000),
    }
    if settings.security == "msk_iam":
        options.update(
            security_protocol="SASL_SSL",
            sasl_mechanism="OAUTHBEARER",
            ssl_context=ssl.create_default_context(),
            sasl_oauth_token_provider=MskToken(),
        )
    return options


_choose_partition = DefaultPartitioner()


@lru_cache(maxsize=1_024)
def _partition_of_key(key: bytes, partitions: tuple[int, ...]) -> int:
    # A loaded history is hundreds of events of one key, whose hash is made in plain Python.
    return int(_choose_partition(key, partitions, ()))


def partition_of(key: bytes | None, partitions: Sequence[int], available: Sequence[int]) -> int:
    """Returns a message's partition, as Kafka's own clients choose it."""
    if key is None:
        return int(_choose_partition(key, partitions, available))
    return _partition_of_key(key, tuple(partitions))


class Producer:
    """Idempotent, `acks=all`. It connects at the first message, and again as often as it must."""

    def __init__(self, settings: BrokerSettings) -> None:
        self._settings = settings
        self._lock = asyncio.Lock()
        self._client: AIOKafkaProducer | None = None

    async def publish(self, messages: Sequence[Message]) -> None:
        """Returns when the broker has them all; those of one key keep their order.

        Raises Unavailable where that is not known: some may have arrived, send all of them
        again. Raises ContentTooLarge for a message over MAX_MESSAGE_BYTES; those before it
        may have arrived.
        """
        try:
            async with asyncio.timeout(PUBLISH_TIMEOUT_SECONDS):
                client = await self._started()
                # Enqueued one after the other, for their order; awaited together, for their speed.
                sent = [
                    await client.send(
                        message.topic, message.value, message.key, headers=list(message.headers)
                    )
                    for message in messages
                ]
                await asyncio.gather(*sent)
        except MessageSizeTooLargeError as error:
            raise ContentTooLarge("message_too_large", str(error)) from None
        except (KafkaError, OSError, TimeoutError) as error:
            if isinstance(error, KafkaError) and not error.retriable:
                # A fenced or confused producer stays so: the next message gets a new one.
                await self.close()
            raise Unavailable("broker_unavailable", type(error).__name__) from error

    async def close(self) -> None:
        """Sends what waits, within STOP_TIMEOUT_SECONDS."""
        client, self._client = self._client, None
        if client is not None:
            await _stop(client)

    async def _started(self) -> AIOKafkaProducer:
        async with self._lock:
            if self._client is None:
                client = AIOKafkaProducer(
                    **connect_options(self._settings),
                    enable_idempotence=True,
                    acks="all",
                    max_request_size=MAX_MESSAGE_BYTES,
                    max_batch_size=MAX_BATCH_BYTES,
                    linger_ms=0,
                    partitioner=partition_of,
                )
                try:
                    await _start(client)
                except BaseException:
                    await _stop(client)
                    raise
                self._client = client
            return self._client


@asynccontextmanager
async def open_producer(settings: BrokerSettings) -> AsyncIterator[Producer]:
    """Opens a producer for the application's life; the broker may come later."""
    producer = Producer(settings)
    try:
        yield producer
    finally:
        await producer.close()


@asynccontextmanager
async def open_consumer(
    settings: BrokerSettings,
    topics: Sequence[str],
    group: str | None = None,
    listener: ConsumerRebalanceListener | None = None,
) -> AsyncIterator[AIOKafkaConsumer]:
    """Yields a started reader of `topics`: a member of `group` or, without one, of all partitions.

    It commits nothing by itself: where to go on is the listener's to say, from the store of what
    was made of them. Raises Unavailable where no broker answers.
    """
    consumer = AIOKafkaConsumer(
        **connect_options(settings),
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        fetch_max_bytes=MAX_FETCH_BYTES,
        metadata_max_age_ms=30_000,
        # The least that a broker takes by default: so long do a dead member's partitions
        # wait for another.
        session_timeout_ms=6_000,
        heartbeat_interval_ms=2_000,
        max_poll_interval_ms=120_000,
    )
    consumer.subscribe(list(topics), listener=listener)
    try:
        try:
            await _start(consumer)
        except (KafkaError, OSError, TimeoutError) as error:
            raise Unavailable("broker_unavailable", type(error).__name__) from error
        yield consumer
    finally:
        await _stop(consumer)


async def _start(client: AIOKafkaProducer | AIOKafkaConsumer) -> None:
    """Raises TimeoutError after START_TIMEOUT_SECONDS, and what the client raises."""
    starting = asyncio.create_task(client.start())
    try:
        async with asyncio.timeout(START_TIMEOUT_SECONDS):
            await asyncio.shield(starting)
    finally:
        # Cancelled midway, aiokafka forgets the connection that it asks for the cluster: nobody
        # would close it.
        try:
            await asyncio.wait([starting], timeout=STOP_TIMEOUT_SECONDS)
        finally:
            starting.cancel()


async def _stop(client: AIOKafkaProducer | AIOKafkaConsumer) -> None:
    try:
        async with asyncio.timeout(STOP_TIMEOUT_SECONDS):
            await client.stop()
    except (KafkaError, OSError, TimeoutError) as error:
        log.warning("kafka client did not stop cleanly", extra={"error": type(error).__name__})


def context_headers() -> tuple[tuple[str, bytes], ...]:
    """Returns the request's id and trace, for a message that it causes; nothing
    outside a request.
    """
    context = current_context()
    return (
        tuple((name, value.encode()) for name, value in context.headers().items())
        if context
        else ()
    )


def read_message_context(headers: Sequence[tuple[str, bytes]]) -> RequestContext:
    """Returns the context that a message came with, or a new one."""
    values: Mapping[str, str] = {name: value.decode("latin-1") for name, value in headers}
    return read_context(values.get("x-request-id"), values.get("traceparent"))
