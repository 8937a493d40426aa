"""The contract's methods: who may call each, and what it does. One change is one transaction."""

from collections.abc import Sequence
from uuid import UUID

from apps.billing.accounts import (
    MAX_OPENINGS,
    Account,
    AccountRequest,
    parse_account_id,
    parse_account_request,
    parse_patient_id,
    render_account,
    render_outcome,
)
from apps.billing.storage import (
    Answered,
    insert_account,
    insert_audit,
    insert_opened,
    insert_request,
    select_account,
    select_account_by_patient,
    select_answered,
    select_request,
)
from apps.kit.context import current_context, read_context, use_context
from apps.kit.database import Connection, Database
from apps.kit.errors import BadRequest, NotFound, Problem, Unprocessable
from apps.kit.rpc import Caller, RpcMethod, RpcPolicy
from protos.billing.v1 import billing_pb2 as pb

READ = RpcPolicy(user=("billing.read",))
WRITE = RpcPolicy(user=("billing.write",))
# The relay of the patient service has nobody behind it.
OPEN = RpcPolicy(user=("billing.write",), service=("billing.system",))
OPEN_MANY = RpcPolicy(user=(), service=("billing.system",))
OPENING = "CreateBillingAccount"


class Billing:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def create_billing_account(
        self, message: pb.CreateBillingAccountRequest, caller: Caller
    ) -> pb.Account:
        request = parse_account_request(message, current_context() or read_context(None, None))
        (outcome,) = await self._open_accounts([request], caller)
        if isinstance(outcome, Problem):
            raise outcome
        return render_account(outcome)

    async def batch_create_billing_accounts(
        self, message: pb.BatchCreateBillingAccountsRequest, caller: Caller
    ) -> pb.BatchCreateBillingAccountsResponse:
        if len(message.openings) > MAX_OPENINGS:
            raise BadRequest(
                "too_many_openings", f"at most {MAX_OPENINGS} at once", pointer="openings"
            )
        outcomes: list[Account | Problem | None] = []
        requests: list[AccountRequest] = []
        for opening in message.openings:
            try:
                requests.append(
                    parse_account_request(
                        opening.request, read_context(opening.x_request_id, opening.traceparent)
                    )
                )
                outcomes.append(None)
            except Problem as problem:
                outcomes.append(problem)
        opened = iter(await self._open_accounts(requests, caller))
        return pb.BatchCreateBillingAccountsResponse(
            outcomes=(
                render_outcome(next(opened) if outcome is None else outcome) for outcome in outcomes
            )
        )

    async def _open_accounts(
        self, requests: Sequence[AccountRequest], caller: Caller
    ) -> list[Account | Problem]:
        """For each its account, or why it is refused; raises where that cannot be known."""
        outcomes: list[Account | Problem] = []
        async with self._database.connection() as connection:
            # Nearly always the first time: one statement for all, where the general case takes five and a
            # transaction for each.
            opened = await insert_opened(connection, caller, OPENING, once_a_patient(requests))
            answered: dict[str, tuple[Answered, Account]] = {}
            if opened is None or len(opened) < len(requests):
                # Some were asked for before, as all are whose answer was lost: one statement for those, too.
                answered = await select_answered(
                    connection, caller, [request.request_id for request in requests]
                )
            if opened is None:
                new = [request for request in requests if request.request_id not in answered]
                opened = await insert_opened(connection, caller, OPENING, once_a_patient(new)) or {}
            for request in requests:
                account = opened.pop(request.patient_id, None)
                try:
                    if account is None and request.request_id in answered:
                        first, account = answered[request.request_id]
                        _answer_of(first, OPENING, request.request_hash)
                    elif account is None:
                        with use_context(request.context):
                            async with connection.transaction():
                                account = await open_account(connection, caller, request)
                except Unprocessable as problem:
                    outcomes.append(problem)
                else:
                    outcomes.append(account)
        return outcomes

    async def get_account(self, message: pb.GetAccountRequest, caller: Caller) -> pb.Account:
        account_id = parse_account_id(message.account_id)
        async with self._database.connection() as connection:
            return render_account(_found(await select_account(connection, account_id)))

    async def get_account_by_patient(
        self, message: pb.GetAccountByPatientRequest, caller: Caller
    ) -> pb.Account:
        patient_id = parse_patient_id(message.patient_id)
        async with self._database.connection() as connection:
            return render_account(_found(await select_account_by_patient(connection, patient_id)))


def once_a_patient(requests: Sequence[AccountRequest]) -> list[AccountRequest]:
    """The first of each patient."""
    return list({request.patient_id: request for request in reversed(requests)}.values())


async def open_account(connection: Connection, caller: Caller, request: AccountRequest) -> Account:
    """The patient's one account, opened where there is none; raises Unprocessable for a request id of another use."""
    answered = await select_request(connection, caller, request.request_id)
    if answered is None:
        account = await insert_account(connection, request.patient_id)
        if account is not None:
            await insert_audit(connection, caller, "account.opened", account.account_id)
        else:
            account = _found(await select_account_by_patient(connection, request.patient_id))
        new = Answered(OPENING, request.request_hash, account.account_id)
        if await insert_request(connection, caller, request.request_id, new):
            return account
        answered = await select_request(connection, caller, request.request_id)
    return _found(
        await select_account(connection, _answer_of(answered, OPENING, request.request_hash))
    )


def _answer_of(answered: Answered | None, method: str, request_hash: bytes) -> UUID:
    if answered is None or (answered.method, answered.request_hash) != (method, request_hash):
        raise Unprocessable(
            "request_id_reused", "the request id was used for another request", pointer="request_id"
        )
    return answered.resource_id


def _found(account: Account | None) -> Account:
    if account is None:
        raise NotFound("account_unknown")
    return account


def billing_methods(database: Database) -> tuple[RpcMethod, ...]:
    billing = Billing(database)
    return (
        RpcMethod("CreateBillingAccount", OPEN, billing.create_billing_account),
        RpcMethod("BatchCreateBillingAccounts", OPEN_MANY, billing.batch_create_billing_accounts),
        RpcMethod("GetAccount", READ, billing.get_account),
        RpcMethod("GetAccountByPatient", READ, billing.get_account_by_patient),
        RpcMethod("UpdateAccountStatus", WRITE),
        RpcMethod("AddChargeItem", WRITE),
        RpcMethod("VoidChargeItem", WRITE),
        RpcMethod("ListChargeItems", READ),
        RpcMethod("CreateInvoice", WRITE),
        RpcMethod("IssueInvoice", WRITE),
        RpcMethod("CancelInvoice", WRITE),
        RpcMethod("GetInvoice", READ),
        RpcMethod("ListInvoices", READ),
        RpcMethod("RecordPayment", WRITE),
        RpcMethod("RefundPayment", WRITE),
        RpcMethod("GetBalance", READ),
        RpcMethod("ListLedgerEntries", READ),
    )
