"""The methods of accounts and their coverages."""

from dataclasses import replace
from typing import Any
from uuid import UUID

from apps.billing.access import (
    OPEN,
    OPEN_MANY,
    READ_OWN,
    WRITE,
    lock_account,
    may_see,
    read_account,
)
from apps.billing.accounts.account import (
    MAX_OPENINGS,
    Account,
    AccountRequest,
    parse_account_request,
    parse_patient_id,
    parse_status,
    render_account,
    render_outcome,
)
from apps.billing.accounts.coverage import parse_coverages, replace_coverages, select_coverages
from apps.billing.accounts.opening import found_account, open_accounts
from apps.billing.accounts.storage import (
    select_account_by_patient,
    select_merged_into,
    update_account,
)
from apps.billing.books import Books, Change, expect_version
from apps.billing.parsing import parse_id
from apps.kit.context import current_context, read_context
from apps.kit.database import Connection
from apps.kit.errors import BadRequest, NotFound, Problem, Unprocessable
from apps.kit.rpc import Caller, RpcMethod
from protos.billing.v1 import billing_pb2 as pb


class AccountMethods:
    def __init__(self, books: Books) -> None:
        self._books = books

    def table(self) -> tuple[RpcMethod, ...]:
        return (
            RpcMethod("CreateBillingAccount", OPEN, self.create_billing_account),
            RpcMethod("BatchCreateBillingAccounts", OPEN_MANY, self.batch_create_billing_accounts),
            RpcMethod("GetAccount", READ_OWN, self.get_account),
            RpcMethod("GetAccountByPatient", READ_OWN, self.get_account_by_patient),
            RpcMethod("UpdateAccountStatus", WRITE, self.update_account_status),
            RpcMethod("SetCoverage", WRITE, self.set_coverage),
        )

    async def create_billing_account(
        self, message: pb.CreateBillingAccountRequest, caller: Caller
    ) -> pb.Account:
        request = parse_account_request(
            message, current_context() or read_context(None, None), self._books.settings.currency
        )
        async with self._books.database.connection() as connection:
            (outcome,) = await open_accounts(connection, [request], caller)
            if isinstance(outcome, Problem):
                raise outcome
            return await render(connection, outcome)

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
                        opening.request,
                        read_context(opening.x_request_id, opening.traceparent),
                        self._books.settings.currency,
                    )
                )
                outcomes.append(None)
            except Problem as problem:
                outcomes.append(problem)

        async with self._books.database.connection() as connection:
            opened = iter(await open_accounts(connection, requests, caller))
        return pb.BatchCreateBillingAccountsResponse(
            outcomes=(
                render_outcome(next(opened) if outcome is None else outcome) for outcome in outcomes
            )
        )

    async def get_account(self, message: pb.GetAccountRequest, caller: Caller) -> pb.Account:
        account_id = parse_id(message.account_id, "account_unknown")
        async with self._books.database.connection() as connection:
            return await render(connection, await read_account(connection, account_id, caller))

    async def get_account_by_patient(
        self, message: pb.GetAccountByPatientRequest, caller: Caller
    ) -> pb.Account:
        patient_id = parse_patient_id(message.patient_id)
        if not may_see(caller, patient_id):
            raise NotFound("account_unknown")
        async with self._books.database.connection() as connection:
            account = found_account(await select_account_by_patient(connection, patient_id))
            return await render(connection, account)

    async def update_account_status(
        self, message: pb.UpdateAccountStatusRequest, caller: Caller
    ) -> pb.Account:
        account_id = parse_id(message.account_id, "account_unknown")
        status = parse_status(message.status)

        async def update(change: Change) -> pb.Account:
            account = await lock_account(change.connection, account_id)
            expect_version(account.version, message.expected_version)
            if status == "inactive" and await is_unsettled(change.connection, account_id):
                raise Unprocessable(
                    "account_not_settled", "there are charges to bill or invoices to pay"
                )
            account = await update_account(change.connection, account_id, status)
            change.audit(f"account.{status}", account_id)
            return await render(change.connection, account)

        return await self._books.change(message, caller, pb.Account, update)

    async def set_coverage(self, message: pb.SetCoverageRequest, caller: Caller) -> pb.Account:
        account_id = parse_id(message.account_id, "account_unknown")

        async def set_coverage(change: Change) -> pb.Account:
            account = await lock_account(change.connection, account_id)
            expect_version(account.version, message.expected_version)
            # What came from the record stays in its keeping: it may yet take it away.
            orders = {
                each.coverage_id: each.record_order
                for each in await select_coverages(change.connection, account_id)
            }
            coverages = [
                replace(each, record_order=orders.get(each.coverage_id))
                for each in parse_coverages(message.coverages, account.currency)
            ]
            await replace_coverages(change.connection, account_id, coverages)
            account = await update_account(change.connection, account_id, account.status)
            change.audit("coverage.set", account_id)
            return render_account(account, coverages)

        return await self._books.change(message, caller, pb.Account, set_coverage)


async def is_unsettled(connection: Connection, account_id: UUID) -> bool:
    unsettled: Any = await connection.fetchval(
        """
        SELECT EXISTS (SELECT FROM charge_item WHERE account_id = $1 AND status IN ('billable',
            'unpriced'))
            OR EXISTS (SELECT FROM invoice WHERE account_id = $1 AND status IN ('draft',
                'issued'))""",
        account_id,
    )
    return bool(unsettled)


async def render(connection: Connection, account: Account) -> pb.Account:
    coverages = await select_coverages(connection, account.account_id)
    merged_into = await select_merged_into(connection, account.account_id)
    return render_account(account, coverages, merged_into)
