"""Opens accounts, one or many: each patient has one, however often and from how many sides
it is asked for.
"""

from collections.abc import Sequence
from uuid import UUID

from apps.billing.accounts.account import Account, AccountRequest
from apps.billing.accounts.storage import (
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
from apps.kit.context import use_context
from apps.kit.database import Connection
from apps.kit.errors import NotFound, Problem, Unprocessable
from apps.kit.rpc import Caller

OPENING = "CreateBillingAccount"


async def open_accounts(
    connection: Connection, requests: Sequence[AccountRequest], caller: Caller
) -> list[Account | Problem]:
    """Gives for each its account, or why it is refused; raises where that cannot be known."""
    outcomes: list[Account | Problem] = []
    # Nearly always the first time: one statement for all, where the general case takes five and a
    # transaction for each.
    opened = await insert_opened(connection, caller, OPENING, once_a_patient(requests))
    answered: dict[str, tuple[Answered, Account]] = {}
    if opened is None or len(opened) < len(requests):
        # Some were asked for before, as all are whose answer was lost: one statement
        # for those, too.
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


def once_a_patient(requests: Sequence[AccountRequest]) -> list[AccountRequest]:
    """Keeps the first request of each patient."""
    return list({request.patient_id: request for request in reversed(requests)}.values())


async def open_account(connection: Connection, caller: Caller, request: AccountRequest) -> Account:
    """Opens the patient's one account where there is none; raises Unprocessable for a request id
    of another use.
    """
    answered = await select_request(connection, caller, request.request_id)
    if answered is None:
        account = await insert_account(connection, request.patient_id, request.currency)
        if account is not None:
            await insert_audit(connection, caller, "account.opened", account.account_id)
        else:
            account = found_account(await select_account_by_patient(connection, request.patient_id))
        new = Answered(OPENING, request.request_hash, account.account_id)
        if await insert_request(connection, caller, request.request_id, new):
            return account
        answered = await select_request(connection, caller, request.request_id)
    return found_account(
        await select_account(connection, _answer_of(answered, OPENING, request.request_hash))
    )


def _answer_of(answered: Answered | None, method: str, request_hash: bytes) -> UUID:
    if answered is None or (answered.method, answered.request_hash) != (method, request_hash):
        raise Unprocessable(
            "request_id_reused", "the request id was used for another request", pointer="request_id"
        )
    return answered.resource_id


def found_account(account: Account | None) -> Account:
    if account is None:
        raise NotFound("account_unknown")
    return account
