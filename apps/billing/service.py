"""The contract's methods: who may call each, and what it does. One change is one transaction."""

import hashlib
from uuid import UUID

from google.protobuf.message import Message

from apps.billing.accounts import (
    Account,
    AccountRequest,
    parse_account_id,
    parse_account_request,
    parse_patient_id,
    render_account,
)
from apps.billing.storage import (
    Answered,
    insert_account,
    insert_audit,
    insert_opened,
    insert_request,
    select_account,
    select_account_by_patient,
    select_request,
)
from apps.kit.database import Connection, Database
from apps.kit.errors import NotFound, Unprocessable
from apps.kit.rpc import Caller, RpcMethod, RpcPolicy
from protos.billing.v1 import billing_pb2 as pb

READ = RpcPolicy(user=("billing.read",))
WRITE = RpcPolicy(user=("billing.write",))
# The relay of the patient service has nobody behind it.
OPEN = RpcPolicy(user=("billing.write",), service=("billing.system",))
OPENING = "CreateBillingAccount"


class Billing:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def create_billing_account(self, message: pb.CreateBillingAccountRequest, caller: Caller) -> pb.Account:
        request, request_hash = parse_account_request(message), hash_of(message)
        async with self._database.connection() as connection:
            # Nearly always the first time: one statement, where the general case takes five and a transaction.
            account = await insert_opened(
                connection, caller, request.patient_id, request.request_id, OPENING, request_hash
            )
            if account is None:
                async with connection.transaction():
                    account = await open_account(connection, caller, request, request_hash)
        return render_account(account)

    async def get_account(self, message: pb.GetAccountRequest, caller: Caller) -> pb.Account:
        account_id = parse_account_id(message.account_id)
        async with self._database.connection() as connection:
            return render_account(_found(await select_account(connection, account_id)))

    async def get_account_by_patient(self, message: pb.GetAccountByPatientRequest, caller: Caller) -> pb.Account:
        patient_id = parse_patient_id(message.patient_id)
        async with self._database.connection() as connection:
            return render_account(_found(await select_account_by_patient(connection, patient_id)))


async def open_account(connection: Connection, caller: Caller, request: AccountRequest, request_hash: bytes) -> Account:
    """The patient's one account, opened where there is none; raises Unprocessable for a request id of another use."""
    answered = await select_request(connection, caller, request.request_id)
    if answered is None:
        account = await insert_account(connection, request.patient_id)
        if account is not None:
            await insert_audit(connection, caller, "account.opened", account.account_id)
        else:
            account = _found(await select_account_by_patient(connection, request.patient_id))
        new = Answered(OPENING, request_hash, account.account_id)
        if await insert_request(connection, caller, request.request_id, new):
            return account
        answered = await select_request(connection, caller, request.request_id)
    return _found(await select_account(connection, _answer_of(answered, OPENING, request_hash)))


def _answer_of(answered: Answered | None, method: str, request_hash: bytes) -> UUID:
    if answered is None or (answered.method, answered.request_hash) != (method, request_hash):
        raise Unprocessable("request_id_reused", "the request id was used for another request", pointer="request_id")
    return answered.resource_id


def hash_of(message: Message) -> bytes:
    """What two requests have in common that are the same: their fields, in the order of their numbers."""
    return hashlib.sha256(message.SerializeToString(deterministic=True)).digest()


def _found(account: Account | None) -> Account:
    if account is None:
        raise NotFound("account_unknown")
    return account


def billing_methods(database: Database) -> tuple[RpcMethod, ...]:
    billing = Billing(database)
    return (
        RpcMethod("CreateBillingAccount", OPEN, billing.create_billing_account),
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
