"""Billing from its start to its end, with an auth service that knows it."""

import asyncio

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from apps.billing.__main__ import serve
from apps.billing.settings import Settings
from apps.kit.context import new_id
from apps.kit.rpc import open_channel
from tests.billing.conftest import ENVIRONMENT
from tests.conftest import MakeDatabase
from tests.fake_auth import open_fake_auth
from tests.ports import free_port

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("unhurried_pool")]


async def test_it_is_ready_once_it_has_the_keys_and_ends_when_it_is_told(
    make_database: MakeDatabase, kafka: str
) -> None:
    port = free_port()
    topic = f"test-{new_id()}"
    with make_database("billing") as (url, _):
        async with open_fake_auth() as auth:
            environment = {
                **ENVIRONMENT,
                "PORT": str(port),
                "AUTH_URL": auth.url,
                "BILLING_DATABASE_URL": url,
                "KAFKA_BOOTSTRAP_SERVERS": kafka,
                "KAFKA_CONSUMER_GROUP": topic,
                "TOPIC_PATIENT": topic,
                "TOPIC_PATIENT_DLQ": f"{topic}.dlq",
                "TOPIC_BILLING": f"{topic}.billing",
            }
            stop = asyncio.Event()
            task = asyncio.create_task(serve(Settings.from_environment(environment), stop))
            try:
                async with asyncio.timeout(20), open_channel(f"127.0.0.1:{port}") as channel:
                    await until_ready(channel, task)
            finally:
                stop.set()
                await task
            assert auth.asked == {"service-billing:secret"}


async def until_ready(channel: grpc.aio.Channel, task: asyncio.Task[None]) -> None:
    health = health_pb2_grpc.HealthStub(channel)
    while not task.done():
        answer = await health.Check(health_pb2.HealthCheckRequest(), wait_for_ready=True)
        if answer.status == health_pb2.HealthCheckResponse.SERVING:
            return
        await asyncio.sleep(0.05)
    task.result()
