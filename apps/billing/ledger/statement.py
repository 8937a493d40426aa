"""An account's statement: what was owed at the beginning, what happened, and what is
owed at the end.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import accumulate
from uuid import UUID

from apps.billing.accounts.account import Account
from apps.billing.ledger.postings import PATIENT
from apps.billing.ledger.storage import select_balances, select_statement_lines
from apps.billing.money import render_money
from apps.kit.database import Connection
from apps.kit.errors import Unprocessable
from protos.billing.v1 import billing_pb2 as pb

MAX_LINES = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementLine:
    """`amount` above zero: the patient owes more. `number` of the invoice, credit
    note or receipt.
    """

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


async def load_statement(
    connection: Connection, account: Account, begin: date | None, end: date | None
) -> Statement:
    """Reads a statement, in a transaction of the caller's that sees one moment.

    Raises Unprocessable for one of more than MAX_LINES.
    """
    end = end or datetime.now(UTC).date()
    opening = 0
    if begin:
        balances = await select_balances(connection, account.account_id, begin)
        opening = patient_due(balances)
    rows = await select_statement_lines(
        connection, account.account_id, begin, end + timedelta(days=1), MAX_LINES + 1
    )
    if len(rows) > MAX_LINES:
        raise Unprocessable("statement_too_long", "choose a shorter time", pointer="from")
    running = accumulate((row["amount"] for row in rows), initial=opening)
    next(running)
    lines = [
        StatementLine(**row, balance=balance) for row, balance in zip(rows, running, strict=True)
    ]
    return Statement(
        account=account,
        begin=begin,
        end=end,
        opening=opening,
        closing=lines[-1].balance if lines else opening,
        lines=lines,
    )


def patient_due(balances: Mapping[tuple[str, str], int]) -> int:
    """Gives what the patient owes: invoices less credit."""
    return balances.get(("receivable", PATIENT), 0) + balances.get(("credit", PATIENT), 0)


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
