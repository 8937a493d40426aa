"""The gateway's client of billing, over gRPC: what it sends, and what becomes of failures."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from apps.gateway.billing import Billing
from apps.kit.errors import Problem
from apps.kit.rpc import open_channel
from protos.billing.v1 import billing_pb2 as pb
from tests.gateway.running import Tokens
from tests.ports import free_port

REQUEST = pb.GetAccountRequest(account_id="a-1")


class Service:
    """Keeps the metadata of each call and answers the account, unless it is told otherwise."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self.status: grpc.StatusCode | None = None
        self.hangs = False

    async def get_account(self, request: Any, context: Any) -> pb.Account:
        self.seen.append(dict(context.invocation_metadata()))
        if self.hangs:
            await asyncio.Event().wait()
        if self.status is not None:
            await context.abort(self.status, "odd")
        return pb.Account(account_id=request.account_id)


@pytest.fixture
async def service() -> Service:
    return Service()


@pytest.fixture
async def billing(service: Service) -> AsyncIterator[Billing]:
    handler = grpc.unary_unary_rpc_method_handler(
        service.get_account, pb.GetAccountRequest.FromString, pb.Account.SerializeToString
    )
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("billing.v1.Billing", {"GetAccount": handler})]
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with open_channel(f"127.0.0.1:{port}") as channel:
        yield Billing(channel, Tokens(), 5.0)
    await server.stop(None)


async def test_call_carries_both_tokens(billing: Billing, service: Service) -> None:
    answer: Any = await billing.call("GetAccount", REQUEST, "of-the-user")
    assert answer.account_id == "a-1"
    assert billing.is_reachable
    (seen,) = service.seen
    assert seen["authorization"] == "Bearer token-for-billing"
    assert seen["x-user-token"] == "of-the-user"


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (grpc.StatusCode.UNAVAILABLE, 503),
        # Without the details that billing sends it is no refusal of billing's.
        (grpc.StatusCode.NOT_FOUND, 502),
        (grpc.StatusCode.INTERNAL, 502),
    ],
)
async def test_failure_of_billing_is_a_problem(
    billing: Billing, service: Service, code: grpc.StatusCode, status: int
) -> None:
    service.status = code
    with pytest.raises(Problem) as refused:
        await billing.call("GetAccount", REQUEST, "of-the-user")
    assert refused.value.status == status


async def test_call_ends_after_its_time(billing: Billing, service: Service) -> None:
    service.hangs = True
    slow = Billing(billing._channel, Tokens(), 0.1)
    async with asyncio.timeout(5):
        with pytest.raises(Problem) as late:
            await slow.call("GetAccount", REQUEST, "")
    assert late.value.status in (503, 504)


async def test_billing_that_is_away_is_not_reachable() -> None:
    async with open_channel(f"127.0.0.1:{free_port()}") as channel:
        away = Billing(channel, Tokens(), 5.0)
        with pytest.raises(Problem) as refused:
            await away.call("GetAccount", REQUEST, "")
        assert refused.value.status == 503
        assert not away.is_reachable
