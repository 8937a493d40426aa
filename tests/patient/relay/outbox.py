"""An outbox that tests fill, and a relay that empties it."""

import asyncio
from typing import Any

from apps.kit.context import new_id
from apps.kit.relay import Relay, connect_to
from protos.billing.v1 import billing_pb2
from tests.patient.patient_service import make_settings

WAIT_SECONDS = 15.0


async def put(connection: Any, destination: str, patient_id: str, size: int = 0) -> str:
    event_id = new_id()
    request = billing_pb2.CreateBillingAccountRequest(request_id=event_id, patient_id=patient_id)
    await connection.execute(
        """
        INSERT INTO outbox (destination, patient_id, event_id, payload, request_id, traceparent)
        VALUES ($1, $2, $3, $4, 'r', '')""",
        destination,
        patient_id,
        event_id,
        request.SerializeToString() + b"\x00" * size,
    )
    return event_id


async def until(condition: Any) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            value = condition()
            if asyncio.iscoroutine(value):
                value = await value
            if value:
                return
            await asyncio.sleep(0.01)


def relay_to(destination: Any, database: str) -> Relay:
    return Relay(destination, connect_to(make_settings(database).database))


async def is_empty(connection: Any) -> bool:
    return not await connection.fetchval("SELECT count(*) FROM outbox")
