"""`/billing/v1/*`: JSON over HTTP to gRPC, message for message (ProtoJSON: camelCase, 64-bit numbers as strings)."""

import uuid
from dataclasses import dataclass
from typing import Any, Protocol

import grpc
from google.protobuf import json_format
from google.protobuf.message import Message
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message as StarletteMessage

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
    scopes,
)
from protos.billing.v1 import billing_pb2 as pb
from protos.billing.v1.billing_pb2_grpc import BillingStub

READ = scopes("billing.read")
WRITE = scopes("billing.write")
BASE = "/billing/v1"
MAX_IDEMPOTENCY_KEY_CHARS = 255
# The space of the request ids that are made from idempotency keys.
_REQUEST_IDS = uuid.uuid5(uuid.NAMESPACE_URL, "urn:patient-management:gateway:request-id")
PAGE = (("pageSize", "page_size"), ("pageToken", "page_token"))


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


@dataclass(frozen=True, slots=True)
class Call:
    """An operation and its method of the contract. The path's parameters are named as the request's fields."""

    method: str
    path: str
    rpc: str
    request: type[Message]
    # Query parameter -> field of the request.
    query: tuple[tuple[str, str], ...] = ()
    required: tuple[str, ...] = ()
    # Where to find what was made, in the answer's fields; with one the answer is 201.
    location: str = ""


CALLS = (
    Call(
        "GET",
        "/accounts",
        "GetAccountByPatient",
        pb.GetAccountByPatientRequest,
        (("patient", "patient_id"),),
        ("patient",),
    ),
    Call(
        "POST",
        "/accounts",
        "CreateBillingAccount",
        pb.CreateBillingAccountRequest,
        location="/accounts/{account_id}",
    ),
    Call("GET", "/accounts/{account_id}", "GetAccount", pb.GetAccountRequest),
    Call("PATCH", "/accounts/{account_id}", "UpdateAccountStatus", pb.UpdateAccountStatusRequest),
    Call("GET", "/accounts/{account_id}/balance", "GetBalance", pb.GetBalanceRequest),
    Call(
        "GET",
        "/accounts/{account_id}/ledger-entries",
        "ListLedgerEntries",
        pb.ListLedgerEntriesRequest,
        PAGE,
    ),
    Call(
        "GET",
        "/accounts/{account_id}/charge-items",
        "ListChargeItems",
        pb.ListChargeItemsRequest,
        PAGE,
    ),
    Call("POST", "/accounts/{account_id}/charge-items", "AddChargeItem", pb.AddChargeItemRequest),
    Call("POST", "/charge-items/{charge_item_id}/void", "VoidChargeItem", pb.VoidChargeItemRequest),
    Call("GET", "/accounts/{account_id}/invoices", "ListInvoices", pb.ListInvoicesRequest, PAGE),
    Call(
        "POST",
        "/accounts/{account_id}/invoices",
        "CreateInvoice",
        pb.CreateInvoiceRequest,
        location="/invoices/{invoice_id}",
    ),
    Call("GET", "/invoices/{invoice_id}", "GetInvoice", pb.GetInvoiceRequest),
    Call("POST", "/invoices/{invoice_id}/issue", "IssueInvoice", pb.IssueInvoiceRequest),
    Call("POST", "/invoices/{invoice_id}/cancel", "CancelInvoice", pb.CancelInvoiceRequest),
    Call("POST", "/invoices/{invoice_id}/payments", "RecordPayment", pb.RecordPaymentRequest),
    Call("POST", "/payments/{payment_id}/refund", "RefundPayment", pb.RefundPaymentRequest),
)


def billing_routes(max_body_bytes: int) -> list[PolicedRoute]:
    paths: dict[str, list[Operation]] = {}
    for call in CALLS:
        policy = READ if call.method == "GET" else WRITE
        paths.setdefault(BASE + call.path, []).append(
            Operation(call.method, _endpoint(call), policy)
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
        return _render(call, answer)

    return endpoint


async def _read_message(call: Call, request: Request) -> Message:
    """The request's message, from body, query and path; the path has the last word."""
    message = call.request()
    fields = call.request.DESCRIPTOR.fields_by_name
    if call.method != "GET":
        _parse(await _read_object(request), message)
    for name, field in call.query:
        if name in request.query_params:
            _parse({field: request.query_params[name]}, message, pointer=name)
        elif name in call.required:
            raise Unprocessable("required", f"{name} is required", pointer=name)
    for field, value in request.path_params.items():
        setattr(message, field, value)
    if "request_id" in fields:
        message.request_id = _request_id(request)  # type: ignore[attr-defined]
    return message


async def _read_object(request: Request) -> dict[str, Any]:
    limits: RequestLimits = request.state.settings.limits
    body = RequestBody(request.scope, request.receive, max_bytes=limits.body_bytes, limits=limits)
    content = await body.read()
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
    """The same for the same client, person, operation and `Idempotency-Key`; without a key a new one."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return new_id()
    if not 1 <= len(key) <= MAX_IDEMPOTENCY_KEY_CHARS:
        raise BadRequest("invalid_idempotency_key", f"1 to {MAX_IDEMPOTENCY_KEY_CHARS} characters")
    principal = principal_of(request)
    parts = (principal.client_id, principal.subject, request.method, request.url.path, key)
    return str(uuid.uuid5(_REQUEST_IDS, "\n".join(parts)))


def _render(call: Call, answer: Message) -> Response:
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
