"""gRPC as every service speaks it: methods with a policy each, problems carried whole, bounds,
health, graceful stop.

A call carries the calling service's token in `authorization` and, where a person or client stands
behind it, that one's token in `x-user-token`; both are verified here, whoever sent them.
"""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import grpc
from google.protobuf.message_factory import GetMessageClass

from apps.kit import errors
from apps.kit.context import current_context, read_context, use_context
from apps.kit.errors import Problem
from apps.kit.health import health_handler
from apps.kit.logs import log_failure, log_request
from apps.kit.rpc_errors import (
    PROBLEM_KEY,
    STATUS_KEY,
    code_of,
    encode_problem,
    encode_status,
    problem_of_rpc,
)
from apps.kit.scopes import Principal

if TYPE_CHECKING:
    from google.protobuf.descriptor import ServiceDescriptor

__all__ = [
    "Caller",
    "RpcGuard",
    "RpcMethod",
    "RpcPolicy",
    "TokenVerifier",
    "call_metadata",
    "create_rpc_server",
    "open_channel",
    "problem_of_rpc",
    "rpc_handler",
    "serve_rpc",
]

MAX_MESSAGE_BYTES = 1024 * 1024
# Two tokens of some kilobytes each, and room.
MAX_METADATA_BYTES = 32 * 1024
MAX_CONCURRENT_CALLS = 200
MAX_CALL_SECONDS = 30.0
GRACEFUL_STOP_SECONDS = 20

log = logging.getLogger(__name__)


class TokenVerifier(Protocol):
    @property
    def has_keys(self) -> bool: ...

    async def verify(self, token: str) -> Principal: ...

    async def verify_forwarded(self, token: str) -> Principal: ...


@dataclass(frozen=True, slots=True)
class Caller:
    """The service that calls and, where there is one, the person or client on whose
    behalf it does.
    """

    service: Principal
    user: Principal | None

    @property
    def actor(self) -> Principal:
        return self.user or self.service


@dataclass(frozen=True, slots=True)
class RpcPolicy:
    """Any one of these scopes: of the user where there is a user token, else of the service itself.

    `patient`: a resource type that a patient's own login may read as well. What the method then
    answers must be of that patient.
    """

    user: tuple[str, ...]
    service: tuple[str, ...] = ()
    patient: str = ""

    def allows(self, caller: Caller) -> bool:
        if caller.user and self.patient and caller.user.may_read_own(self.patient):
            return True
        return caller.actor.has_scope(*(self.service if caller.user is None else self.user))


@dataclass(frozen=True, slots=True)
class RpcMethod:
    """One method and who may call it. Without a `handler` it answers UNIMPLEMENTED to
    those who may.
    """

    name: str
    policy: RpcPolicy
    handler: Callable[[Any, Caller], Awaitable[Any]] | None = None


@dataclass(frozen=True, slots=True)
class RpcGuard:
    """What tells callers apart. `audience`: this service's name; `callers`: the client ids
    that may call it.
    """

    verifier: TokenVerifier
    audience: str
    user_audience: str
    callers: frozenset[str]

    async def caller(self, metadata: Mapping[str, Any]) -> Caller:
        scheme, _, token = str(metadata.get("authorization", "")).partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise errors.Unauthorized("missing_service_token")
        try:
            service = await self.verifier.verify(token)
        except errors.Unauthorized:
            raise errors.Unauthorized("invalid_service_token") from None
        if service.audience != self.audience:
            raise errors.Unauthorized("invalid_service_token", "the token is for another audience")
        if service.client_id not in self.callers:
            raise errors.Forbidden("caller_not_allowed")
        user_token = str(metadata.get("x-user-token", ""))
        if not user_token:
            return Caller(service, None)
        user = await self.verifier.verify_forwarded(user_token)
        if user.audience != self.user_audience:
            raise errors.Unauthorized("invalid_token", "the token is for another audience")
        return Caller(service, user)


def rpc_handler(
    service: "ServiceDescriptor", methods: tuple[RpcMethod, ...], guard: RpcGuard
) -> Any:
    """Returns the service's generic handler; raises TypeError where contract and `methods` do not
    name the same methods.
    """
    declared = {method.name: method for method in methods}
    contract = {method.name: method for method in service.methods}
    if declared.keys() != contract.keys():
        odd = ", ".join(sorted(declared.keys() ^ contract.keys()))
        raise TypeError(f"{service.full_name}: every method needs one policy: {odd}")
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(
            _guarded(f"/{service.full_name}/{name}", declared[name], guard),
            request_deserializer=GetMessageClass(contract[name].input_type).FromString,
            response_serializer=GetMessageClass(contract[name].output_type).SerializeToString,
        )
        for name in contract
    }
    return grpc.method_handlers_generic_handler(service.full_name, handlers)


def _guarded(path: str, method: RpcMethod, guard: RpcGuard) -> Callable[[Any, Any], Awaitable[Any]]:
    async def answer(request: Any, metadata: Mapping[str, Any]) -> Any:
        caller = await guard.caller(metadata)
        if not method.policy.allows(caller):
            needed = method.policy.user or method.policy.service
            raise errors.Forbidden("insufficient_scope", f"this needs {' or '.join(needed)}")
        if method.handler is None:
            raise errors.NotImplementedYet("not_implemented")
        return await method.handler(request, caller)

    async def call(request: Any, context: Any) -> Any:
        metadata = dict(context.invocation_metadata() or ())
        started_at = time.perf_counter()
        with use_context(read_context(metadata.get("x-request-id"), metadata.get("traceparent"))):
            seconds = context.time_remaining()
            try:
                if seconds is None:
                    raise errors.BadRequest(
                        "deadline_required", "a call without a deadline is refused"
                    )
                async with asyncio.timeout(min(seconds, MAX_CALL_SECONDS)):
                    answered = await answer(request, metadata)
                log_request("gRPC", path, "OK", started_at)
                return answered
            except Problem as error:
                problem = error
                if problem.status >= 500:
                    log.warning(
                        "answered %s", problem.status, extra={"code": problem.code, "path": path}
                    )
            except TimeoutError:
                return await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "deadline_exceeded")
            except Exception as error:
                log_failure(error, "call failed", path=path)
                problem = Problem("internal_error")
            log_request("gRPC", path, code_of(problem).name, started_at)
            trailers = (
                (PROBLEM_KEY, encode_problem(problem)),
                (STATUS_KEY, encode_status(problem)),
            )
            return await context.abort(code_of(problem), problem.code, trailers)

    return call


def call_metadata(service_token: str, user_token: str = "") -> tuple[tuple[str, str], ...]:
    """Returns the metadata of a call: the tokens, and the request's id and trace."""
    context = current_context()
    metadata = {
        "authorization": f"Bearer {service_token}",
        **(context.headers() if context else {}),
    }
    if user_token:
        metadata["x-user-token"] = user_token
    return tuple(metadata.items())


def open_channel(target: str, *, repeatable: tuple[str, ...] = ()) -> grpc.aio.Channel:
    """Opens a channel to `host:port` that spreads its calls over every address of the name and
    finds its way back.

    `repeatable`: `package.Service` or `package.Service/Method` whose calls may be sent again when
    they answer UNAVAILABLE (at most twice, within the call's deadline). Close it at the end; every
    call gives its `timeout`.
    """
    names = [dict(zip(("service", "method"), name.split("/"), strict=False)) for name in repeatable]
    retry = {
        "maxAttempts": 3,
        "initialBackoff": "0.05s",
        "maxBackoff": "0.5s",
        "backoffMultiplier": 3,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    config: dict[str, Any] = {"loadBalancingConfig": [{"round_robin": {}}]}
    if names:
        config["methodConfig"] = [{"name": names, "retryPolicy": retry}]
    options = (
        ("grpc.service_config", json.dumps(config)),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_metadata_size", MAX_METADATA_BYTES),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 5_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 500),
        ("grpc.max_reconnect_backoff_ms", 2_000),
        ("grpc.dns_min_time_between_resolutions_ms", 5_000),
        # A call to a neighbour never goes through the machine's proxy.
        ("grpc.enable_http_proxy", 0),
    )
    return grpc.aio.insecure_channel(f"dns:///{target}", options=options)


def create_rpc_server(
    handler: Any, is_ready: Callable[[], Awaitable[bool]], *, reflected: tuple[str, ...] = ()
) -> grpc.aio.Server:
    """Makes a server with bounds; it answers `grpc.health.v1` from `is_ready`,
    `livez` with SERVING.

    `reflected`: the full names of services that anybody who can connect may read the contracts of.
    """
    server = grpc.aio.server(
        handlers=(handler, health_handler(is_ready)),
        maximum_concurrent_rpcs=MAX_CONCURRENT_CALLS,
        options=(
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_metadata_size", MAX_METADATA_BYTES),
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            ("grpc.keepalive_permit_without_calls", 1),
            # Clients look the name up again at times, and so find replicas that were added.
            ("grpc.max_connection_age_ms", 300_000),
            ("grpc.max_connection_age_grace_ms", 30_000),
            # Otherwise a second process would silently share the port.
            ("grpc.so_reuseport", 0),
        ),
    )
    if reflected:
        from grpc_reflection.v1alpha import reflection  # only where it is wanted

        reflection.enable_server_reflection((*reflected, reflection.SERVICE_NAME), server)
    return server


async def serve_rpc(server: grpc.aio.Server, host: str, port: int, stop: asyncio.Event) -> None:
    """Serves until `stop` is set, then finishes what runs; raises OSError where the
    port is taken.
    """
    try:
        server.add_insecure_port(f"{host}:{port}")
    except RuntimeError as error:
        raise OSError(f"cannot listen on {host}:{port}: is it taken?") from error
    await server.start()
    await stop.wait()
    await server.stop(GRACEFUL_STOP_SECONDS)
