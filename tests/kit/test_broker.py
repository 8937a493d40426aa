import asyncio
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.partitioner import DefaultPartitioner

from apps.kit import broker as module
from apps.kit.broker import (
    BrokerSettings,
    Message,
    MskToken,
    Producer,
    connect_options,
    context_headers,
    open_consumer,
    open_producer,
    partition_of,
    read_broker_settings,
    read_message_context,
)
from apps.kit.context import new_id, read_context, use_context
from apps.kit.errors import ContentTooLarge, Unavailable
from apps.kit.settings import Environment, SettingsError

AWAY = BrokerSettings("127.0.0.1:1")
integration = pytest.mark.integration


@pytest.fixture
async def topic(kafka: str) -> AsyncIterator[str]:
    name = f"test-{new_id()}"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, 2, 1)])
        yield name
        await admin.delete_topics([name])
    finally:
        await admin.close()


async def read(kafka: str, topic: str, count: int) -> list[Any]:
    async with open_consumer(BrokerSettings(kafka), [topic]) as consumer, asyncio.timeout(20):
        found: list[Any] = []
        while len(found) < count:
            for records in (await consumer.getmany(timeout_ms=200)).values():
                found += records
        return found


@integration
async def test_messages_arrive_with_their_headers_those_of_a_key_in_order(
    kafka: str, topic: str
) -> None:
    sent = [
        Message(topic, b"key", str(number).encode(), (("reason", b"r"),)) for number in range(500)
    ]
    async with open_producer(BrokerSettings(kafka)) as producer:
        await producer.publish(sent[:300])
        await producer.publish(sent[300:])
    found = await read(kafka, topic, 500)
    assert [record.value for record in found] == [message.value for message in sent]
    assert {(record.key, record.headers) for record in found} == {(b"key", (("reason", b"r"),))}


@integration
async def test_what_waits_is_sent_before_the_end(kafka: str, topic: str) -> None:
    async with open_producer(BrokerSettings(kafka)) as producer:
        publishing = asyncio.create_task(producer.publish([Message(topic, None, b"last")]))
        await publishing
    assert [record.value for record in await read(kafka, topic, 1)] == [b"last"]


@integration
async def test_message_over_the_limit_is_refused_for_good(kafka: str, topic: str) -> None:
    async with open_producer(BrokerSettings(kafka)) as producer:
        with pytest.raises(ContentTooLarge):
            await producer.publish([Message(topic, None, b"x" * (module.MAX_MESSAGE_BYTES + 1))])
        await producer.publish([Message(topic, None, b"next")])
    assert [record.value for record in await read(kafka, topic, 1)] == [b"next"]


async def test_messages_at_once_share_one_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    class Client:
        async def send(self, *arguments: Any, **named: Any) -> Any:
            clients.add(self)
            return asyncio.sleep(0)

    async def start(client: Client) -> None:
        await asyncio.sleep(0)

    clients: set[Client] = set()
    monkeypatch.setattr(module, "AIOKafkaProducer", lambda **options: Client())
    monkeypatch.setattr(module, "_start", start)
    producer = Producer(AWAY)
    await asyncio.gather(*(producer.publish([Message("topic", None, b"x")]) for _ in range(2)))
    assert len(clients) == 1


async def test_absent_broker_is_unavailable_and_does_not_stop_the_start() -> None:
    async with open_producer(AWAY) as producer:
        with pytest.raises(Unavailable):
            await producer.publish([Message("topic", None, b"x")])


async def test_absent_broker_is_unavailable_to_a_reader() -> None:
    with pytest.raises(Unavailable):
        async with open_consumer(AWAY, ["topic"], "group"):
            pass


@asynccontextmanager
async def switch(target: str, port: int) -> AsyncIterator[None]:
    """A way to `target` through `port` that is there while the block runs."""
    host, _, target_port = target.rpartition(":")
    writers: set[asyncio.StreamWriter] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        try:
            while data := await reader.read(65536):
                writer.write(data)
        except OSError:
            pass
        finally:
            writer.close()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection(host, int(target_port))
        await asyncio.gather(pump(reader, there[1]), pump(there[0], writer))

    server = await asyncio.start_server(connect, "127.0.0.1", port)
    try:
        yield
    finally:
        server.close()
        for writer in writers:
            writer.close()


@integration
async def test_broker_that_comes_late_is_found(
    kafka: str, topic: str, unused_tcp_port: int
) -> None:
    producer = Producer(BrokerSettings(f"127.0.0.1:{unused_tcp_port}"))
    message = Message(topic, b"key", b"at last")
    with pytest.raises(Unavailable):
        await producer.publish([message])
    async with switch(kafka, unused_tcp_port):
        await producer.publish([message])
    await producer.close()
    assert [record.value for record in await read(kafka, topic, 1)] == [b"at last"]


@integration
async def test_start_that_is_cancelled_leaves_no_connection_open(kafka: str) -> None:
    asked, released, closed = asyncio.Event(), asyncio.Event(), asyncio.Event()
    host, _, port = kafka.rpartition(":")

    async def message(reader: asyncio.StreamReader) -> bytes:
        size = await reader.readexactly(4)
        return size + await reader.readexactly(int.from_bytes(size, "big"))

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        broker_reader, broker_writer = await asyncio.open_connection(host, int(port))
        # The versions pass; what the cluster is, waits.
        for question in range(2):
            broker_writer.write(await message(reader))
            answer = await message(broker_reader)
            if question == 1:
                asked.set()
                await released.wait()
            writer.write(answer)
        await reader.read()
        for each in (broker_writer, writer):
            each.close()
        closed.set()

    async def consume(at: int) -> None:
        async with open_consumer(BrokerSettings(f"127.0.0.1:{at}"), ["patient"]):
            pass

    async with await asyncio.start_server(connect, "127.0.0.1", 0) as server, asyncio.timeout(20):
        starting = asyncio.create_task(consume(server.sockets[0].getsockname()[1]))
        await asked.wait()
        starting.cancel()
        await asyncio.sleep(0)
        released.set()
        with pytest.raises(asyncio.CancelledError):
            await starting
        async with asyncio.timeout(2):
            await closed.wait()


@integration
async def test_reader_commits_nothing(kafka: str, topic: str) -> None:
    settings = BrokerSettings(kafka)
    async with open_producer(settings) as producer:
        await producer.publish([Message(topic, None, b"x")])
    for _ in range(2):
        async with (
            open_consumer(settings, [topic], f"group-{topic}") as consumer,
            asyncio.timeout(20),
        ):
            assert (await consumer.getone()).value == b"x"


@integration
async def test_unacknowledged_message_is_unavailable_in_time(
    kafka: str, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PUBLISH_TIMEOUT_SECONDS", 0.000001)
    async with open_producer(BrokerSettings(kafka)) as producer:
        with pytest.raises(Unavailable):
            await producer.publish([Message(topic, None, b"x")])


def test_msk_is_reached_over_verified_tls_with_a_token() -> None:
    options = connect_options(BrokerSettings("b-1:9098,b-2:9098", "msk_iam"))
    assert options["bootstrap_servers"] == ["b-1:9098", "b-2:9098"]
    assert (options["security_protocol"], options["sasl_mechanism"]) == ("SASL_SSL", "OAUTHBEARER")
    assert options["ssl_context"].verify_mode == ssl.CERT_REQUIRED
    assert options["ssl_context"].check_hostname
    assert isinstance(options["sasl_oauth_token_provider"], MskToken)


async def test_msk_token_is_kept_until_shortly_before_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, signed = 1_000_000.0, 0
    provider = MskToken()

    def sign() -> tuple[str, float]:
        nonlocal signed
        signed += 1
        return f"token-{signed}", now + 900

    monkeypatch.setattr(provider, "_sign", sign)
    monkeypatch.setattr("time.time", lambda: now)
    assert [await provider.token(), await provider.token()] == ["token-1", "token-1"]
    now += 841
    assert await provider.token() == "token-2"


def test_settings_are_read() -> None:
    environment = Environment({"KAFKA_BOOTSTRAP_SERVERS": "a:1", "KAFKA_SECURITY": "plaintext"})
    assert read_broker_settings(environment) == BrokerSettings("a:1", "plaintext")
    environment = Environment({"KAFKA_SECURITY": "tls"})
    read_broker_settings(environment)
    with pytest.raises(SettingsError, match=r"KAFKA_BOOTSTRAP_SERVERS(.|\n)*KAFKA_SECURITY"):
        environment.check()


def test_context_travels_in_headers() -> None:
    assert context_headers() == ()
    context = read_context("request-1", "00-" + "a" * 32 + "-" + "b" * 16 + "-01")
    with use_context(context):
        headers = context_headers()
    assert read_message_context(headers) == context
    assert read_message_context((("x-request-id", b"\xff"),)).request_id != "\xff"


def test_boto3_is_left_out_where_msk_is_not() -> None:
    code = (
        "import sys, apps.kit.broker; sys.exit('boto3' in sys.modules or 'aws_msk_iam_sasl_signer' "
        "in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_key_goes_to_the_partition_that_kafkas_clients_choose() -> None:
    partitions = list(range(12))
    keys = [new_id().encode() for _ in range(100)]
    chosen = [partition_of(key, partitions, partitions) for key in keys * 2]
    assert chosen == [DefaultPartitioner()(key, partitions, partitions) for key in keys * 2]
    assert partition_of(None, partitions, [7]) == 7
    assert partition_of(None, [3], []) == 3
