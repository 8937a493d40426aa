"""What a preview's consumer group leaves behind when its topics are deleted, on a real broker."""

import asyncio
import secrets

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

pytestmark = pytest.mark.integration

LIMIT_SECONDS = 30


async def read_one(bootstrap_servers: str, topic: str, group: str) -> None:
    """Publishes an event; the group reads it and tells the broker so."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers)
    await producer.start()
    try:
        await producer.send_and_wait(topic, b"event")
    finally:
        await producer.stop()
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap_servers,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        await consumer.getone()
        await consumer.commit()
    finally:
        await consumer.stop()


async def test_offsets_of_a_group_go_with_its_topics(kafka: str) -> None:
    """So no `down` has to delete them.

    The empty name goes with the broker's next round (10 minutes).
    """
    topic, group = f"pr-7.{secrets.token_hex(4)}", f"pr-7.{secrets.token_hex(4)}"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        async with asyncio.timeout(LIMIT_SECONDS):
            await admin.create_topics([NewTopic(topic, 1, 1)])
            await read_one(kafka, topic, group)
            assert [
                at.offset for at in (await admin.list_consumer_group_offsets(group)).values()
            ] == [1]
            await admin.delete_topics([topic])
            while await admin.list_consumer_group_offsets(group):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
    finally:
        await admin.close()
