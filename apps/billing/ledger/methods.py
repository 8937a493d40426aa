"""The methods that read the ledger: balances, entries, statements, exports, and the checker."""

import asyncio
from datetime import timedelta

from apps.billing.access import READ, READ_OWN, read_account
from apps.billing.books import Books
from apps.billing.ledger.export import (
    select_page,
    write_csv,
    write_hledger,
    write_journal,
)
from apps.billing.ledger.postings import PATIENT
from apps.billing.ledger.reconcile import reconcile
from apps.billing.ledger.statement import load_statement, render_statement
from apps.billing.ledger.storage import (
    LedgerRow,
    select_balances,
    select_entries,
)
from apps.billing.money import render_money
from apps.billing.pages import read_page_size, read_token, write_token
from apps.billing.parsing import Fields, parse_id
from apps.kit.database import Connection
from apps.kit.errors import BadRequest
from apps.kit.rpc import Caller, RpcMethod
from protos.billing.v1 import billing_pb2 as pb

MAX_EXPORT_TRANSACTIONS = 1_000


class LedgerMethods:
    def __init__(self, books: Books) -> None:
        self._books = books
        # The checker reads everything: more than one at a time would only slow the calls.
        self._checking = asyncio.Semaphore(1)

    def table(self) -> tuple[RpcMethod, ...]:
        return (
            RpcMethod("GetBalance", READ_OWN, self.get_balance),
            RpcMethod("ListLedgerEntries", READ, self.list_ledger_entries),
            RpcMethod("GetStatement", READ_OWN, self.get_statement),
            RpcMethod("ExportLedger", READ, self.export_ledger),
            RpcMethod("ReconcileLedger", READ, self.reconcile_ledger),
        )

    async def get_balance(self, message: pb.GetBalanceRequest, caller: Caller) -> pb.Balance:
        account_id = parse_id(message.account_id, "account_unknown")
        fields = Fields()
        as_of = fields.day("as_of", message.as_of)
        fields.check()
        before = as_of + timedelta(days=1) if as_of else None
        async with self._books.database.connection() as connection:
            account = await read_account(connection, account_id, caller)
            balances = await select_balances(connection, account_id, before)
        currency = account.currency
        owed = balances.get(("receivable", PATIENT), 0)
        kept = -balances.get(("credit", PATIENT), 0)
        payers_due = sum(
            balance
            for (kind, party), balance in balances.items()
            if kind == "receivable" and party != PATIENT
        )
        return pb.Balance(
            account_id=str(account_id),
            due=render_money(owed - kept, currency),
            receivable=render_money(owed, currency),
            credit=render_money(kept, currency),
            payers_due=render_money(payers_due, currency),
            as_of=as_of.isoformat() if as_of else "",
        )

    async def list_ledger_entries(
        self, message: pb.ListLedgerEntriesRequest, caller: Caller
    ) -> pb.ListLedgerEntriesResponse:
        account_id = parse_id(message.account_id, "account_unknown")
        size = read_page_size(message.page_size)
        key = read_token(message.page_token, (str, int))
        after = None
        if key is not None:
            if not 0 < int(key[1]) < 2**15:
                raise BadRequest("invalid_page_token", pointer="page_token")
            after = (parse_id(str(key[0]), "page_token_unknown"), int(key[1]))
        async with self._books.database.connection() as connection:
            await read_account(connection, account_id, caller)
            rows = await select_entries(connection, account_id, after, size + 1)
        token = ""
        if len(rows) > size:
            token = write_token(str(rows[size - 1].transaction_id), rows[size - 1].line)
        return pb.ListLedgerEntriesResponse(
            entries=[render_entry(row) for row in rows[:size]], next_page_token=token
        )

    async def get_statement(self, message: pb.GetStatementRequest, caller: Caller) -> pb.Statement:
        account_id = parse_id(message.account_id, "account_unknown")
        fields = Fields()
        begin = fields.day("from", getattr(message, "from"))
        end = fields.day("to", message.to)
        if begin and end and end < begin:
            fields.refuse("to", "ends_before_it_begins", "to is before from")
        fields.check()
        async with self._books.snapshot() as connection:
            account = await read_account(connection, account_id, caller)
            return render_statement(await load_statement(connection, account, begin, end))

    async def export_ledger(
        self, message: pb.ExportLedgerRequest, caller: Caller
    ) -> pb.ExportLedgerResponse:
        write = {
            pb.EXPORT_FORMAT_CSV: write_csv,
            pb.EXPORT_FORMAT_JOURNAL: write_journal,
            pb.EXPORT_FORMAT_HLEDGER: write_hledger,
        }.get(message.format)
        if write is None:
            raise BadRequest("invalid_format", "CSV, JOURNAL or HLEDGER", pointer="format")
        size = read_page_size(message.page_size, maximum=MAX_EXPORT_TRANSACTIONS)
        key = read_token(message.page_token, (int,))
        after = int(key[0]) if key else 0
        async with self._books.database.connection() as connection:
            page, last = await select_page(connection, after, size)
            more = await _has_more(connection, last)
        return pb.ExportLedgerResponse(
            content=write(page, header=key is None),
            next_page_token=write_token(last) if more else "",
        )

    async def reconcile_ledger(
        self, message: pb.ReconcileLedgerRequest, caller: Caller
    ) -> pb.ReconcileLedgerResponse:
        async with self._checking, self._books.snapshot() as connection:
            differences = await reconcile(connection)
            transactions = await connection.fetchval("SELECT count(*) FROM ledger_transaction")
            blocks = await connection.fetchval("SELECT count(*) FROM ledger_block")
        return pb.ReconcileLedgerResponse(
            differences=[
                pb.Difference(
                    code=one.code, subject=one.subject, expected=one.expected, found=one.found
                )
                for one in differences[:MAX_EXPORT_TRANSACTIONS]
            ],
            transactions=transactions,
            blocks=blocks,
        )


async def _has_more(connection: Connection, last: int) -> bool:
    return bool(
        await connection.fetchval(
            "SELECT EXISTS (SELECT FROM ledger_transaction WHERE transaction_no > $1)", last
        )
    )


def render_entry(row: LedgerRow) -> pb.LedgerEntry:
    code = "/".join(part for part in (row.account_kind, row.party, row.name) if part)
    message = pb.LedgerEntry(
        entry_id=f"{row.transaction_id}/{row.line}",
        transaction_id=str(row.transaction_id),
        account_code=code,
        amount=render_money(row.amount, row.currency),
        balance=render_money(row.balance, row.currency),
        version=row.version,
        kind=row.kind,
        document_id=str(row.document_id or ""),
    )
    message.recorded_at.FromDatetime(row.posted_at)
    message.effective_at.FromDatetime(row.effective_at)
    return message
