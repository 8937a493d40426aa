"""A patient's billing account: what it is, and what a request for one must say."""

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from google.protobuf.message import Message

from apps.kit.context import RequestContext
from apps.kit.errors import BadRequest, FieldError, NotFound, Problem
from protos.billing.v1 import billing_pb2 as pb

# Every account is kept in one currency; charges in another are refused.
CURRENCY = "USD"
MAX_REQUEST_ID_CHARACTERS = 255
MAX_OPENINGS = 100

# A FHIR id: https://hl7.org/fhir/R4/datatypes.html#id
_FHIR_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")
_REQUEST_ID = re.compile(rf"[!-~]{{1,{MAX_REQUEST_ID_CHARACTERS}}}")

_STATUSES = {
    "active": pb.ACCOUNT_STATUS_ACTIVE,
    "on-hold": pb.ACCOUNT_STATUS_ON_HOLD,
    "inactive": pb.ACCOUNT_STATUS_INACTIVE,
}


@dataclass(frozen=True, slots=True)
class Account:
    account_id: UUID
    patient_id: str
    # FHIR account-status: active | on-hold | inactive.
    status: str
    currency: str
    version: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class AccountRequest:
    """Opens the account of `patient_id`; `request_id` is the caller's own name for the request.

    `request_hash`: what two requests have in common that are the same. `context`: of what led to it.
    """

    request_id: str
    patient_id: str
    request_hash: bytes
    context: RequestContext


def parse_account_request(
    message: pb.CreateBillingAccountRequest, context: RequestContext
) -> AccountRequest:
    """Raises BadRequest, which names every field that is wrong."""
    faults: list[FieldError] = []
    if not _REQUEST_ID.fullmatch(message.request_id):
        limit = f"1 to {MAX_REQUEST_ID_CHARACTERS} printable ASCII characters without a space"
        faults.append(FieldError("invalid_request_id", limit, "request_id"))
    if not _FHIR_ID.fullmatch(message.patient_id):
        faults.append(
            FieldError(
                "invalid_patient_id", "1 to 64 letters, digits, dots or hyphens", "patient_id"
            )
        )
    if faults:
        raise BadRequest("invalid_request", faults=tuple(faults))
    return AccountRequest(message.request_id, message.patient_id, hash_of(message), context)


def hash_of(message: Message) -> bytes:
    """Of a message's fields, in the order of their numbers."""
    return hashlib.sha256(message.SerializeToString(deterministic=True)).digest()


def parse_account_id(text: str) -> UUID:
    """Raises NotFound for what cannot be an account's id: there is no such account."""
    try:
        return UUID(text)
    except ValueError:
        raise NotFound("account_unknown") from None


def parse_patient_id(text: str) -> str:
    if not _FHIR_ID.fullmatch(text):
        raise BadRequest(
            "invalid_patient_id", "1 to 64 letters, digits, dots or hyphens", pointer="patient_id"
        )
    return text


def render_account(account: Account) -> pb.Account:
    message = pb.Account(
        account_id=str(account.account_id),
        patient_id=account.patient_id,
        status=_STATUSES[account.status],
        currency=account.currency,
        version=account.version,
    )
    message.created_at.FromDatetime(account.created_at)
    message.updated_at.FromDatetime(account.updated_at)
    return message


def render_outcome(outcome: Account | Problem) -> pb.BillingAccountOutcome:
    if isinstance(outcome, Problem):
        return pb.BillingAccountOutcome(
            refusal=pb.Refusal(status=outcome.status, code=outcome.code)
        )
    return pb.BillingAccountOutcome(account=render_account(outcome))
