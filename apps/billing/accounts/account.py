"""A patient's billing account: what it is, and what a request for one must say."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from apps.billing.accounts.coverage import Coverage, render_coverage
from apps.billing.books import hash_of
from apps.billing.money import is_supported
from apps.billing.parsing import FHIR_ID, Fields
from apps.kit.context import RequestContext
from apps.kit.errors import BadRequest, Problem
from protos.billing.v1 import billing_pb2 as pb

MAX_OPENINGS = 100

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


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRequest:
    """Opens the account of `patient_id`; `request_id` is the caller's own name for the request.

    `request_hash`: what two requests have in common that are the same. `context`: of
    what led to it.
    """

    request_id: str
    patient_id: str
    currency: str
    request_hash: bytes
    context: RequestContext


def parse_account_request(
    message: pb.CreateBillingAccountRequest, context: RequestContext, currency: str
) -> AccountRequest:
    """Reads an opening; an account without a currency is kept in `currency`.

    Raises BadRequest, which names every field that is wrong.
    """
    fields = Fields()
    fields.request_id(message.request_id)
    fields.fhir_id("patient_id", message.patient_id, required=True)
    if message.currency and not is_supported(message.currency):
        fields.refuse("currency", "unknown_currency", "an ISO 4217 code, as USD")
    fields.check()
    return AccountRequest(
        request_id=message.request_id,
        patient_id=message.patient_id,
        currency=message.currency or currency,
        request_hash=hash_of(message),
        context=context,
    )


def parse_status(status: "pb.AccountStatus.ValueType") -> str:
    for name, value in _STATUSES.items():
        if value == status:
            return name
    raise BadRequest("invalid_status", "active, on hold or inactive", pointer="status")


def parse_patient_id(text: str) -> str:
    if not FHIR_ID.fullmatch(text):
        raise BadRequest(
            "invalid_patient_id", "1 to 64 letters, digits, dots or hyphens", pointer="patient_id"
        )
    return text


def render_account(
    account: Account, coverages: Sequence[Coverage] = (), merged_into: UUID | None = None
) -> pb.Account:
    message = pb.Account(
        account_id=str(account.account_id),
        patient_id=account.patient_id,
        status=_STATUSES[account.status],
        currency=account.currency,
        version=account.version,
        coverages=[render_coverage(coverage, account.currency) for coverage in coverages],
        merged_into=str(merged_into or ""),
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
