import asyncio

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import UnknownTopicOrPartitionError

from apps.catalogue import TOPICS

pytestmark = pytest.mark.integration


async def test_topics_are_those_of_the_catalogue(kafka: str) -> None:
    client = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await client.start()
    try:
        described = {
            topic["topic"]: len(topic["partitions"])
            for topic in await client.describe_topics(list(TOPICS))
        }
    finally:
        await client.close()
    assert described == {topic.name: topic.partitions for topic in TOPICS.values()}


async def test_group_consumes_what_an_idempotent_producer_sent(kafka: str) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=kafka, enable_idempotence=True, acks="all")
    consumer = AIOKafkaConsumer(
        "patient.dlq", bootstrap_servers=kafka, group_id="test-group", auto_offset_reset="earliest"
    )
    async with producer, consumer:
        sent = await producer.send_and_wait("patient.dlq", b"value", key=b"key")
        async with asyncio.timeout(20):
            async for record in consumer:
                if record.offset == sent.offset:
                    assert (record.key, record.value) == (b"key", b"value")
                    break


async def test_unknown_topic_is_not_made(kafka: str) -> None:
    client = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await client.start()
    try:
        await client.describe_topics(["nobody.made.this"])
        assert "nobody.made.this" not in await client.list_topics()
    except UnknownTopicOrPartitionError:
        pass
    finally:
        await client.close()
