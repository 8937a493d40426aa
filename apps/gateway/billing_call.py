"""What a row of the table of `/billing/v1/*` is: an operation, its method of the contract, and
who may call it.
"""

from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from starlette.requests import Request

from apps.kit.scopes import Principal
from apps.kit.web import Policy, scopes
from protos.billing.v1 import billing_pb2 as pb

BASE = "/billing/v1"
SERVICE = pb.DESCRIPTOR.services_by_name["Billing"]


def _may_read(principal: Principal, request: Request) -> bool:
    return principal.has_scope("billing.read") or principal.may_read_own("Account")


READ = scopes("billing.read")
# A patient's own login reads that patient's account; billing itself sees to it that it
# is no other's.
READ_OWN = Policy("billing.read or *.rs", _may_read)
WRITE = scopes("billing.write")
APPROVE = scopes("billing.approve")
ADMIN = scopes("admin")


@dataclass(frozen=True, slots=True)
class Query:
    """A query parameter and its field of the request. `values`: short names of an
    enumeration's values.
    """

    name: str
    field: str
    enum: str = ""
    required: bool = False

    @property
    def is_date(self) -> bool:
        return self.name in ("from", "to", "asOf", "validOn")

    @property
    def values(self) -> dict[str, str]:
        if not self.enum:
            return {}
        prefix, names = self.enum, pb.DESCRIPTOR.enum_types_by_name[_enum_name(self.enum)]
        return {
            name.removeprefix(prefix).lower(): name
            for name in names.values_by_name
            if not name.endswith("_UNSPECIFIED")
        }


def _enum_name(prefix: str) -> str:
    return "".join(part.capitalize() for part in prefix.strip("_").split("_"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """An operation. The path's parameters are named as the request's fields."""

    method: str
    path: str
    rpc: str
    summary: str
    policy: Policy
    query: tuple[Query, ...] = ()
    # Where to find what was made, in the answer's fields; with one the answer is 201.
    location: str = ""
    # json | document | text: what the answer's body is.
    answer: str = "json"
    # A body of another media type than JSON, and the field that takes it.
    text_body: tuple[str, str] = ("", "")
    # An example of the body.
    example: Any = None

    @property
    def request(self) -> type[Message]:
        request: type[Message] = GetMessageClass(SERVICE.methods_by_name[self.rpc].input_type)
        return request

    @property
    def response(self) -> str:
        return str(SERVICE.methods_by_name[self.rpc].output_type.name)


PAGE = (Query("pageSize", "page_size"), Query("pageToken", "page_token"))
PERIOD = (Query("from", "from"), Query("to", "to"))
DOCUMENT = (
    Query("format", "format", "DOCUMENT_FORMAT_", required=True),
    Query("recipientName", "recipient_name"),
)
USD = {"minorUnits": "12500", "currency": "USD"}


def read(path: str, rpc: str, summary: str, *query: Query, **options: Any) -> Call:
    policy = options.pop("policy", READ_OWN)
    return Call(
        method="GET", path=path, rpc=rpc, summary=summary, policy=policy, query=query, **options
    )


def change(
    method: str, path: str, rpc: str, summary: str, example: Any = None, **options: Any
) -> Call:
    policy = options.pop("policy", WRITE)
    return Call(
        method=method,
        path=path,
        rpc=rpc,
        summary=summary,
        policy=policy,
        example=example,
        **options,
    )
