"""An account's statement: what was owed at the beginning, what happened, and what is owed at the end."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID

from apps.billing.accounts.account import Account
from apps.billing.ledger.postings import credit, receivable
from apps.billing.ledger.storage import LedgerRow, select_balance, select_entries_between
from apps.billing.money import render_money
from apps.kit.database import Connection
from apps.kit.errors import Unprocessable
from protos.billing.v1 import billing_pb2 as pb

MAX_LINES = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementLine:
    """`amount` above zero: the patient owes more. `number` of the invoice, credit note or receipt."""

    transaction_id: UUID
    effective_at: datetime
    kind: str
    document_id: UUID | None
    number: str
    amount: int
    balance: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    account: Account
    begin: date | None
    end: date
    opening: int
    closing: int
    lines: Sequence[StatementLine] = field(default=())


def end_of(day: date) -> datetime:
    """Gives the first moment after a day (UTC)."""
    return datetime.combine(day + timedelta(days=1), time(), UTC)


async def select_due(connection: Connection, account: Account, before: datetime | None) -> int:
    """Gives what the patient owes: invoices less credit."""
    owed = receivable(account.currency, account.account_id)
    kept = credit(account.currency, account.account_id)
    return await select_balance(connection, owed.id, before) + await select_balance(
        connection, kept.id, before
    )


async def load_statement(
    connection: Connection, account: Account, begin: date | None, end: date | None
) -> Statement:
    """Reads a statement, in a transaction of the caller's that sees one moment.

    Raises Unprocessable for one of more than MAX_LINES.
    """
    end = end or datetime.now(UTC).date()
    start = datetime.combine(begin, time(), UTC) if begin else None
    accounts = [
        receivable(account.currency, account.account_id).id,
        credit(account.currency, account.account_id).id,
    ]
    opening = await select_due(connection, account, start) if start else 0
    rows = await select_entries_between(connection, accounts, start, end_of(end), 2 * MAX_LINES + 1)
    if len(rows) > 2 * MAX_LINES:
        raise Unprocessable("statement_too_long", "choose a shorter time", pointer="from")
    numbers = await _select_numbers(connection, [row.document_id for row in rows])
    lines = lines_of(rows, opening, numbers)
    return Statement(
        account=account,
        begin=begin,
        end=end,
        opening=opening,
        closing=lines[-1].balance if lines else opening,
        lines=lines,
    )


def lines_of(
    rows: Sequence[LedgerRow], opening: int, numbers: dict[UUID, str]
) -> list[StatementLine]:
    """Joins a transaction's entries into one line, with the balance after it. Pure."""
    amounts: dict[UUID, int] = {}
    firsts: dict[UUID, LedgerRow] = {}
    for row in rows:
        amounts[row.transaction_id] = amounts.get(row.transaction_id, 0) + row.amount
        firsts.setdefault(row.transaction_id, row)
    lines = []
    balance = opening
    for transaction_id, row in firsts.items():
        balance += amounts[transaction_id]
        number = numbers.get(row.document_id, "") if row.document_id else ""
        lines.append(
            StatementLine(
                transaction_id=transaction_id,
                effective_at=row.effective_at,
                kind=row.kind,
                document_id=row.document_id,
                number=number,
                amount=amounts[transaction_id],
                balance=balance,
            )
        )
    return lines


async def _select_numbers(
    connection: Connection, document_ids: Sequence[UUID | None]
) -> dict[UUID, str]:
    rows = await connection.fetch(
        """
        SELECT invoice_id AS id, number FROM invoice WHERE invoice_id = ANY($1::uuid[])
        UNION ALL SELECT credit_note_id, number FROM credit_note WHERE credit_note_id = ANY($1)
        UNION ALL SELECT payment_id, receipt_number FROM payment WHERE payment_id = ANY($1)""",
        [id for id in document_ids if id],
    )
    return {row["id"]: row["number"] for row in rows}


def render_statement(statement: Statement) -> pb.Statement:
    currency = statement.account.currency
    message = pb.Statement(
        account_id=str(statement.account.account_id),
        to=statement.end.isoformat(),
        opening=render_money(statement.opening, currency),
        closing=render_money(statement.closing, currency),
    )
    # `from` is a keyword of Python.
    setattr(message, "from", statement.begin.isoformat() if statement.begin else "")
    for line in statement.lines:
        added = message.lines.add(
            transaction_id=str(line.transaction_id),
            kind=line.kind,
            document_id=str(line.document_id or ""),
            number=line.number,
            amount=render_money(line.amount, currency),
            balance=render_money(line.balance, currency),
        )
        added.effective_at.FromDatetime(line.effective_at)
    return message
