"""What the destination billing makes of a service that is away."""

import grpc
import pytest

from apps.kit.context import new_id
from apps.kit.errors import Unavailable
from apps.kit.outbox import Entry
from apps.patient.relay.destinations import RpcBilling
from protos.billing.v1 import billing_pb2
from tests.ports import free_port


class Tokens:
    async def token(self, audience: str, scope: str = "") -> str:
        return "relay"


async def test_billing_that_nobody_serves_is_unavailable() -> None:
    request = billing_pb2.CreateBillingAccountRequest(request_id=new_id(), patient_id=new_id())
    entry = Entry(1, request.patient_id, new_id(), request.SerializeToString(), "r", "", 0)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{free_port()}") as channel:
        with pytest.raises(Unavailable):
            await RpcBilling(channel, Tokens()).create_accounts([entry])
