"""`/billing/v1/*`: JSON over HTTP to gRPC, message for message (ProtoJSON: camelCase, 64-bit
numbers as strings).
"""

import re
import uuid
from typing import Any, Protocol
from urllib.parse import urlencode

import grpc
from google.protobuf import json_format
from google.protobuf.message import Message
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message as StarletteMessage

from apps.gateway.billing_call import BASE, Call
from apps.gateway.billing_calls import CALLS
from apps.gateway.body import RequestBody
from apps.gateway.settings import RequestLimits
from apps.kit.context import new_id
from apps.kit.errors import BadRequest, Unprocessable
from apps.kit.rpc import call_metadata, problem_of_rpc
from apps.kit.web import (
    JSONResponse,
    Operation,
    PolicedRoute,
    bearer_token,
    principal_of,
    read_json,
)
from protos.billing.v1 import billing_pb2 as pb
from protos.billing.v1.billing_pb2_grpc import BillingStub

MAX_IDEMPOTENCY_KEY_CHARS = 255
# The space of the request ids that are made from idempotency keys.
_REQUEST_IDS = uuid.uuid5(uuid.NAMESPACE_URL, "urn:patient-management:gateway:request-id")
_ENTITY_TAG = re.compile(r'(?:W/)?"([0-9]{1,18})"')
_TEXT_TYPES = {"csv": "text/csv", "journal": "text/plain", "hledger": "text/plain"}


class Tokens(Protocol):
    async def token(self, audience: str, scope: str = "") -> str: ...


class Billing:
    """The billing service, called with the gateway's own token and the caller's beside it."""

    def __init__(self, channel: grpc.aio.Channel, tokens: Tokens, timeout_seconds: float) -> None:
        self._stub = BillingStub(channel)
        self._channel = channel
        self._tokens = tokens
        self._timeout_seconds = timeout_seconds

    @property
    def is_reachable(self) -> bool:
        return self._channel.get_state() is not grpc.ChannelConnectivity.TRANSIENT_FAILURE

    async def call(self, rpc: str, request: Message, user_token: str) -> Message:
        """Raises the Problem that billing answered, or Unavailable."""
        metadata = call_metadata(await self._tokens.token("billing"), user_token)
        try:
            answer: Message = await getattr(self._stub, rpc)(
                request, metadata=metadata, timeout=self._timeout_seconds
            )
        except grpc.aio.AioRpcError as error:
            raise problem_of_rpc(error) from None
        return answer


def billing_routes(max_body_bytes: int) -> list[PolicedRoute]:
    paths: dict[str, list[Operation]] = {}
    for call in CALLS:
        paths.setdefault(BASE + call.path, []).append(
            Operation(call.method, _endpoint(call), call.policy)
        )
    return [
        PolicedRoute(path, *operations, max_body_bytes=max_body_bytes)
        for path, operations in paths.items()
    ]


def _endpoint(call: Call) -> Any:
    async def endpoint(request: Request) -> Response:
        message = await _read_message(call, request)
        billing: Billing = request.state.billing
        answer = await billing.call(call.rpc, message, bearer_token(request))
        return _RENDERERS[call.answer](call, request, answer)

    return endpoint


async def _read_message(call: Call, request: Request) -> Message:
    """Reads the request's message, from body, query and path; the path has the last word."""
    message = call.request()
    fields = message.DESCRIPTOR.fields_by_name
    if call.method != "GET":
        await _read_body(call, request, message)
    for query in call.query:
        if query.name in request.query_params:
            text = request.query_params[query.name]
            if query.enum and text not in query.values:
                known = ", ".join(query.values)
                raise Unprocessable("invalid_field", f"one of {known}", pointer=query.name)
            if query.is_date and not text:
                # The contract's empty text is no date at all: another figure than was asked for.
                raise Unprocessable("invalid_field", "a date, as 2026-03-31", pointer=query.name)
            _parse({query.field: query.values.get(text, text)}, message, pointer=query.name)
        elif query.required:
            raise Unprocessable("required", f"{query.name} is required", pointer=query.name)
    for field, value in request.path_params.items():
        setattr(message, field, value)
    if "request_id" in fields:
        message.request_id = _request_id(request)  # type: ignore[attr-defined]
    if "expected_version" in fields and "if-match" in request.headers:
        message.expected_version = _expected_version(request)  # type: ignore[attr-defined]
    return message


async def _read_body(call: Call, request: Request, message: Message) -> None:
    media_type, field = call.text_body
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type and content_type == media_type:
        try:
            setattr(message, field, (await _read_bytes(request)).decode("utf-8"))
        except UnicodeDecodeError:
            raise BadRequest("invalid_encoding", "the body is UTF-8") from None
        return
    _parse(await _read_object(request), message)


def _expected_version(request: Request) -> int:
    """Returns the version of `If-Match: W/"7"`; `*` is any."""
    text = request.headers["if-match"].strip()
    if text == "*":
        return 0
    match = _ENTITY_TAG.fullmatch(text)
    if match is None or int(match[1]) == 0:
        raise BadRequest("invalid_if_match", 'a version, as W/"7"', pointer="If-Match")
    return int(match[1])


async def _read_bytes(request: Request) -> bytes:
    limits: RequestLimits = request.state.settings.limits
    body = RequestBody(request.scope, request.receive, max_bytes=limits.body_bytes, limits=limits)
    return bytes(await body.read())


async def _read_object(request: Request) -> dict[str, Any]:
    content = await _read_bytes(request)
    if not content:
        return {}

    async def receive() -> StarletteMessage:
        return {"type": "http.request", "body": content, "more_body": False}

    values = await read_json(Request(request.scope, receive))
    if not isinstance(values, dict):
        raise Unprocessable("object_expected", "the body is a JSON object")
    return values


def _parse(values: dict[str, Any], message: Message, pointer: str = "/") -> None:
    try:
        json_format.ParseDict(values, message)
    except (json_format.ParseError, RecursionError) as error:
        raise Unprocessable("invalid_field", str(error), pointer=pointer) from None


def _request_id(request: Request) -> str:
    """Returns the same id for the same client, person, operation and `Idempotency-Key`; without a
    key a new one.
    """
    key = request.headers.get("idempotency-key")
    if key is None:
        return new_id()
    if not 1 <= len(key) <= MAX_IDEMPOTENCY_KEY_CHARS:
        raise BadRequest("invalid_idempotency_key", f"1 to {MAX_IDEMPOTENCY_KEY_CHARS} characters")
    principal = principal_of(request)
    parts = (principal.client_id, principal.subject, request.method, request.url.path, key)
    return str(uuid.uuid5(_REQUEST_IDS, "\n".join(parts)))


def _render(call: Call, request: Request, answer: Message) -> Response:
    body = json_format.MessageToDict(answer, always_print_fields_with_no_presence=True)
    fields = answer.DESCRIPTOR.fields_by_name
    headers = {"Cache-Control": "no-store"}
    if "version" in fields:
        headers["ETag"] = f'W/"{answer.version}"'  # type: ignore[attr-defined]
    if call.location:
        headers["Location"] = BASE + call.location.format_map(
            {name: getattr(answer, name, "") for name in fields}
        )
    return JSONResponse(body, 201 if call.location else 200, headers=headers)


def _render_document(call: Call, request: Request, answer: Message) -> Response:
    document: pb.Document = answer  # type: ignore[assignment]
    headers = {
        "Cache-Control": "no-store",
        "Content-Disposition": f'inline; filename="{document.file_name}"',
        # It is shown, and runs nothing.
        "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
        "X-Content-Type-Options": "nosniff",
    }
    return Response(document.content, media_type=document.media_type, headers=headers)


def _render_text(call: Call, request: Request, answer: Message) -> Response:
    """Renders a page as it is; the next one's address in `Link`."""
    page: pb.ExportLedgerResponse = answer  # type: ignore[assignment]
    headers = {"Cache-Control": "no-store"}
    if page.next_page_token:
        query = {**request.query_params, "pageToken": page.next_page_token}
        headers["Link"] = f'<{request.url.path}?{urlencode(query)}>; rel="next"'
    media_type = _TEXT_TYPES[request.query_params["format"]]
    return Response(page.content, media_type=f"{media_type}; charset=utf-8", headers=headers)


_RENDERERS = {"json": _render, "document": _render_document, "text": _render_text}
