import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from apps.kit import errors, rpc
from apps.kit.context import current_context, read_context, use_context
from apps.kit.errors import FieldError, Problem, Unauthorized
from apps.kit.probe import probe
from apps.kit.rpc import (
    MAX_MESSAGE_BYTES,
    Caller,
    RpcGuard,
    RpcMethod,
    RpcPolicy,
    call_metadata,
    create_rpc_server,
    open_channel,
    problem_of_rpc,
    rpc_handler,
    serve_rpc,
)
from apps.kit.rpc_errors import SERVICE_TOKEN_CODES
from apps.kit.scopes import Principal
from protos.billing.v1 import billing_pb2 as pb
from protos.billing.v1.billing_pb2_grpc import BillingStub

CONTRACT = pb.DESCRIPTOR.services_by_name["Billing"]
POLICY = RpcPolicy(user=("things.read",), service=("things.system",))
SECRET_TEXT = "Jane Doe"
PROBLEMS = sorted(
    {
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, Problem)
    },
    key=lambda kind: (kind.status, kind.__name__),
)


class FakeVerifier:
    has_keys = True

    async def verify(self, token: str) -> Principal:
        client_id, _, scope = token.partition(":")
        if not scope:
            raise Unauthorized
        audience = "public" if client_id == "web" else "things"
        return Principal(client_id, client_id, audience, frozenset({scope}), (), "jti", 0, 2**40)

    async def verify_forwarded(self, token: str) -> Principal:
        return await self.verify(token)


@dataclass
class Things:
    """A service whose one method does what the test says."""

    answer: Any = None
    calls: int = 0
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    finish: asyncio.Event = field(default_factory=asyncio.Event)
    ready: bool = True
    address: str = ""

    async def get(self, request: pb.GetAccountRequest, caller: Caller) -> pb.Account:
        self.calls += 1
        self.begun.set()
        if self.answer == "wait":
            await self.finish.wait()
        if isinstance(self.answer, BaseException):
            raise self.answer
        context = current_context()
        assert context is not None
        return pb.Account(
            account_id=caller.actor.subject,
            patient_id=context.request_id,
            currency=context.traceparent,
        )

    async def is_ready(self) -> bool:
        return self.ready

    def server(self) -> grpc.aio.Server:
        methods = tuple(
            RpcMethod(method.name, POLICY, self.get if method.name == "GetAccount" else None)
            for method in CONTRACT.methods
        )
        guard = RpcGuard(FakeVerifier(), "things", "public", frozenset({"service-gateway"}))
        return create_rpc_server(rpc_handler(CONTRACT, methods, guard), self.is_ready)


@pytest.fixture
async def things() -> AsyncIterator[Things]:
    service = Things()
    server = service.server()
    service.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    yield service
    await server.stop(None)


@pytest.fixture
async def stub(things: Things) -> AsyncIterator[Any]:
    async with open_channel(things.address, repeatable=("billing.v1.Billing",)) as channel:
        yield BillingStub(channel)


async def call(
    stub: Any, timeout: float | None = 5.0, metadata: Any = None, request: Any = None
) -> pb.Account:
    if metadata is None:
        metadata = call_metadata("service-gateway:things.system")
    account: pb.Account = await stub.GetAccount(
        request or pb.GetAccountRequest(), timeout=timeout, metadata=metadata
    )
    return account


async def refusal(stub: Any, **options: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call(stub, **options)
    return refused.value


def make(kind: type[Problem]) -> Problem:
    return kind("the_code", 7) if kind is errors.TooManyRequests else kind("the_code", "why")


@pytest.mark.parametrize("kind", PROBLEMS)
async def test_problem_arrives_as_it_was_raised(
    things: Things, stub: Any, kind: type[Problem]
) -> None:
    things.answer = make(kind)
    problem = problem_of_rpc(await refusal(stub))
    assert type(problem) is kind
    assert (problem.code, problem.detail, problem.headers) == (
        "the_code",
        things.answer.detail,
        things.answer.headers,
    )


async def test_faults_arrive_too_and_too_many_are_cut(things: Things, stub: Any) -> None:
    faults = tuple(FieldError("code", "m" * 100, f"/{number}") for number in range(100))
    things.answer = errors.Unprocessable("invalid", "d" * 5000, faults=faults)
    problem = problem_of_rpc(await refusal(stub))
    assert problem.faults == faults[:16]
    assert len(problem.detail) == 500


async def test_unforeseen_error_tells_nothing(
    things: Things, stub: Any, caplog: pytest.LogCaptureFixture
) -> None:
    things.answer = RuntimeError(SECRET_TEXT)
    error = await refusal(stub)
    assert (error.code(), error.details()) == (grpc.StatusCode.INTERNAL, "internal_error")
    assert SECRET_TEXT not in str(error)
    assert SECRET_TEXT not in caplog.text
    assert (
        "test_rpc.py"
        in vars(next(record for record in caplog.records if record.message == "call failed"))["at"]
    )


@pytest.mark.parametrize(
    ("service", "user", "status"),
    [
        ("", "", 401),
        ("forged", "", 401),
        # Another service's audience: a person's token is none of a service.
        ("web:things.system", "", 401),
        ("service-stranger:things.system", "", 403),
        ("service-gateway:things.read", "", 403),
        ("service-gateway:things.system", "forged", 401),
        ("service-gateway:things.system", "web:things.system", 403),
        ("service-gateway:things.system", "service-gateway:things.read", 401),
        ("service-gateway:things.system", "", 200),
        ("service-gateway:nothing", "web:things.read", 200),
    ],
)
async def test_user_decides_where_there_is_one_else_the_service(
    things: Things, stub: Any, service: str, user: str, status: int
) -> None:
    metadata = call_metadata(service, user) if service else ()
    if status == 200:
        assert (await call(stub, metadata=metadata)).account_id == (user or service).partition(":")[
            0
        ]
        return
    expected = {401: grpc.StatusCode.UNAUTHENTICATED, 403: grpc.StatusCode.PERMISSION_DENIED}[
        status
    ]
    assert (await refusal(stub, metadata=metadata)).code() == expected
    assert things.calls == 0


async def test_refused_service_is_not_its_users_fault(stub: Any) -> None:
    problem = problem_of_rpc(
        await refusal(stub, metadata=call_metadata("forged", "web:things.read"))
    )
    assert (problem.status, problem.code) == (502, "service_refused")
    assert problem.detail in SERVICE_TOKEN_CODES
    problem = problem_of_rpc(
        await refusal(stub, metadata=call_metadata("service-gateway:x", "forged"))
    )
    assert problem.status == 401


async def test_method_without_a_handler_is_unimplemented_to_those_who_may_call_it(
    stub: Any,
) -> None:
    for token, code in (("things.system", "UNIMPLEMENTED"), ("other", "PERMISSION_DENIED")):
        metadata = call_metadata(f"service-gateway:{token}")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.GetBalance(pb.GetBalanceRequest(), timeout=5, metadata=metadata)
        assert refused.value.code().name == code


def test_method_without_a_policy_fails_at_start() -> None:
    guard = RpcGuard(FakeVerifier(), "things", "public", frozenset())
    with pytest.raises(TypeError, match="UpdateAccountStatus"):
        rpc_handler(
            CONTRACT, tuple(RpcMethod(name, POLICY) for name in ("GetAccount", "GetBalance")), guard
        )


async def test_request_id_and_trace_are_passed_on(stub: Any) -> None:
    trace = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    with use_context(read_context("request-1", trace)):
        answer = await call(stub)
    assert (answer.patient_id, answer.currency) == ("request-1", trace)
    assert len((await call(stub)).patient_id) == 36


async def test_call_without_a_deadline_is_refused(stub: Any) -> None:
    problem = problem_of_rpc(await refusal(stub, timeout=None))
    assert (problem.status, problem.code) == (400, "deadline_required")


async def test_call_ends_at_its_deadline(things: Things, stub: Any) -> None:
    things.answer = "wait"
    error = await refusal(stub, timeout=0.2)
    assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    problem = problem_of_rpc(error)
    assert (problem.status, problem.code) == (503, "service_timeout")


async def test_call_takes_no_longer_than_any_call_may(
    things: Things, stub: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rpc, "MAX_CALL_SECONDS", 0.05)
    things.answer = "wait"
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stub.GetAccount(
            pb.GetAccountRequest(),
            timeout=10,
            metadata=call_metadata("service-gateway:things.system"),
        )
    # Of the service, not of the caller's own clock.
    assert raised.value.details() == "deadline_exceeded"


async def test_message_over_the_limit_is_refused(things: Things) -> None:
    async with grpc.aio.insecure_channel(things.address) as channel:
        request = pb.GetAccountRequest(account_id="x" * (MAX_MESSAGE_BYTES + 1))
        assert (
            await refusal(BillingStub(channel), request=request)
        ).code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert things.calls == 0


async def test_unavailable_is_tried_again_where_a_call_may_be_repeated(
    things: Things, stub: Any
) -> None:
    things.answer = errors.Unavailable("database_unavailable")
    assert (await refusal(stub)).code() == grpc.StatusCode.UNAVAILABLE
    assert things.calls == 3
    async with open_channel(things.address) as channel:
        await refusal(BillingStub(channel))
    assert things.calls == 4


async def test_what_is_not_unavailable_is_not_tried_again(things: Things, stub: Any) -> None:
    things.answer = errors.Conflict("taken")
    await refusal(stub)
    assert things.calls == 1


async def test_absent_service_is_unavailable_at_once(unused_tcp_port: int) -> None:
    async with open_channel(f"127.0.0.1:{unused_tcp_port}") as channel:
        problem = problem_of_rpc(await refusal(BillingStub(channel)))
    assert (problem.status, problem.code, problem.headers["Retry-After"]) == (
        503,
        "service_unavailable",
        "1",
    )


async def test_channel_finds_a_service_that_comes_back(
    things: Things, unused_tcp_port: int
) -> None:
    async with open_channel(f"127.0.0.1:{unused_tcp_port}") as channel:
        stub = BillingStub(channel)
        await refusal(stub)
        server = things.server()
        server.add_insecure_port(f"127.0.0.1:{unused_tcp_port}")
        await server.start()
        async with asyncio.timeout(10):
            await channel.channel_ready()
        assert (await call(stub)).account_id == "service-gateway"
        await server.stop(None)


async def test_health_tells_ready_from_alive(things: Things) -> None:
    things.ready = False
    assert not await asyncio.to_thread(probe, f"grpc://{things.address}")
    assert not await asyncio.to_thread(probe, f"grpc://{things.address}/billing.v1.Billing")
    assert await asyncio.to_thread(probe, f"grpc://{things.address}/livez")


async def test_health_can_be_watched(things: Things) -> None:
    async with grpc.aio.insecure_channel(things.address) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(
            health_pb2.HealthCheckRequest(), timeout=5
        )
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        watch.cancel()


async def test_stop_lets_what_runs_finish(things: Things, unused_tcp_port: int) -> None:
    things.answer, stop = "wait", asyncio.Event()
    serving = asyncio.create_task(serve_rpc(things.server(), "127.0.0.1", unused_tcp_port, stop))
    async with open_channel(f"127.0.0.1:{unused_tcp_port}") as channel, asyncio.timeout(10):
        await channel.channel_ready()
        running = asyncio.create_task(call(BillingStub(channel)))
        await things.begun.wait()
        stop.set()
        await asyncio.sleep(0)
        things.finish.set()
        assert (await running).account_id == "service-gateway"
        await serving


async def test_taken_port_is_told(things: Things) -> None:
    port = int(things.address.rpartition(":")[2])
    with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{port}"):
        await serve_rpc(things.server(), "127.0.0.1", port, asyncio.Event())
