"""Billing over gRPC, as JSON: the call's name and fields of the contract in, a dictionary out.

The gateway offers the same calls as `/billing/v1/*`; the table tells integrators which.
"""

from collections.abc import Mapping
from typing import Any

import grpc
from google.protobuf import json_format
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2

from apps.kit.credentials import ServiceCredentials
from apps.kit.errors import BadRequest, NotImplementedYet
from apps.kit.rpc import call_metadata, problem_of_rpc
from protos.billing.v1 import billing_pb2 as pb

SERVICE = pb.DESCRIPTOR.services_by_name["Billing"]
MAX_DETAIL_CHARS = 200
METHODS = {method.name: method for method in SERVICE.methods}


class Billing:
    """The billing service, called with the console's own token and the person's beside it."""

    def __init__(self, channel: grpc.aio.Channel, credentials: ServiceCredentials) -> None:
        self._channel = channel
        self._credentials = credentials

    @property
    def is_reachable(self) -> bool:
        """Tells whether the last attempt to connect succeeded, or none was made."""
        return self._channel.get_state() is not grpc.ChannelConnectivity.TRANSIENT_FAILURE

    async def is_serving(self, timeout_seconds: float) -> bool:
        """Asks billing whether it can take calls (`grpc.health.v1`)."""
        check = self._channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        try:
            answer = await check(health_pb2.HealthCheckRequest(), timeout=timeout_seconds)
        except grpc.aio.AioRpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    async def call(
        self, name: str, fields: Mapping[str, Any], user_token: str, timeout_seconds: float
    ) -> dict[str, Any]:
        """Makes one call; raises the Problem that billing answered, or Unavailable."""
        method = METHODS.get(name)
        if method is None:
            raise NotImplementedYet("not_implemented")
        try:
            request = json_format.ParseDict(
                dict(fields), GetMessageClass(method.input_type)(), ignore_unknown_fields=False
            )
        except json_format.ParseError as error:
            # A field of a form that no message can hold, as a number of too many digits.
            raise BadRequest("invalid_message", str(error)[:MAX_DETAIL_CHARS]) from None
        invoke = self._channel.unary_unary(
            f"/{SERVICE.full_name}/{name}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )
        metadata = call_metadata(await self._credentials.token("billing"), user_token)
        try:
            answer = await invoke(request, metadata=metadata, timeout=timeout_seconds)
        except grpc.aio.AioRpcError as error:
            raise problem_of_rpc(error) from None
        return json_format.MessageToDict(answer, always_print_fields_with_no_presence=True)
