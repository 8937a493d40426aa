"""The ledger for accountants: CSV, and plain-text journals that beancount and hledger read."""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from itertools import groupby

from apps.billing.ledger.storage import (
    DOCUMENT_NUMBER,
    ENTRY_COLUMNS,
    ENTRY_TABLES,
    LedgerRow,
)
from apps.billing.money import format_plain
from apps.kit.database import Connection

CSV_COLUMNS = (
    "transaction_id",
    "line",
    "posted_at",
    "effective_at",
    "kind",
    "document_id",
    "account",
    "debit",
    "credit",
    "currency",
    "number",
)
# beancount's five kinds of account.
ROOTS = {
    "receivable": "Assets:Receivable",
    "credit": "Liabilities:Credit",
    "revenue": "Income:Revenue",
    "tax": "Liabilities:Tax",
    "cash": "Assets:Cash",
    "card": "Assets:Card",
    "bank": "Assets:Bank",
    "write_off": "Expenses:WriteOff",
    "cash_difference": "Expenses:CashDifference",
}
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9-]+")


def account_name(kind: str, owner: str, party: str, name: str) -> str:
    """Spells a ledger account as beancount wants it: parts that begin with a capital or a digit."""
    parts = [owner and f"A{owner}", party and f"P{party}", name and name[:1].upper() + name[1:]]
    cleaned = [_NOT_IN_A_NAME.sub("-", part) for part in parts if part]
    return ":".join([ROOTS[kind], *cleaned])


@dataclass(frozen=True, slots=True)
class Exported:
    """An entry with the account of the patient whose it is, and its document's number;
    both may be empty.
    """

    row: LedgerRow
    owner: str
    number: str

    @property
    def account(self) -> str:
        return account_name(self.row.account_kind, self.owner, self.row.party, self.row.name)


async def select_page(connection: Connection, after: int, limit: int) -> tuple[list[Exported], int]:
    """Gives the entries of the next transactions, and the last one's number."""
    rows = await connection.fetch(
        f"""
        SELECT {ENTRY_COLUMNS}, coalesce(a.account_id::text, '') AS owner, {DOCUMENT_NUMBER},
            t.transaction_no
        FROM {ENTRY_TABLES}
        WHERE t.transaction_no IN (
            SELECT transaction_no FROM ledger_transaction WHERE transaction_no > $1 ORDER BY
                transaction_no LIMIT $2)
        ORDER BY t.transaction_no, e.line""",  # noqa: S608 - columns of ours
        after,
        limit,
    )
    page = []
    for row in rows:
        values = dict(row)
        owner, number = values.pop("owner"), values.pop("number")
        after = values.pop("transaction_no")
        page.append(Exported(LedgerRow(**values), owner, number))
    return page, after


def write_csv(page: Sequence[Exported], *, header: bool) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if header:
        writer.writerow(CSV_COLUMNS)
    for entry in page:
        row = entry.row
        amount = format_plain(abs(row.amount), row.currency)
        writer.writerow(
            (
                row.transaction_id,
                row.line,
                row.posted_at.isoformat(),
                row.effective_at.isoformat(),
                row.kind,
                row.document_id or "",
                entry.account,
                amount if row.amount > 0 else "",
                amount if row.amount < 0 else "",
                row.currency,
                entry.number,
            )
        )
    return text.getvalue()


def write_journal(page: Sequence[Exported], *, header: bool) -> str:
    """Writes transactions for beancount; accounts open by themselves (its plugin auto_accounts)."""
    first = 'plugin "beancount.plugins.auto_accounts"' if header else ""
    return _write_transactions(page, first, title='* "{number}" "{kind}"', tag='  {}: "{}"')


def write_hledger(page: Sequence[Exported], *, header: bool) -> str:
    """Writes transactions for hledger; what beancount calls metadata are its tags."""
    first = "decimal-mark ." if header else ""
    return _write_transactions(page, first, title="* ({number}) {kind}", tag="  ; {}:{}")


def _write_transactions(page: Sequence[Exported], header: str, *, title: str, tag: str) -> str:
    lines = [header, ""] if header else []
    for transaction_id, entries in groupby(page, key=lambda entry: entry.row.transaction_id):
        exported = list(entries)
        first, number = exported[0].row, exported[0].number
        day = first.effective_at.astimezone(UTC).date()
        lines.append(f"{day} {title.format(number=number, kind=first.kind)}")
        lines.append(tag.format("transaction", transaction_id))
        lines.append(tag.format("posted", first.posted_at.isoformat()))
        if first.document_id:
            lines.append(tag.format("document", first.document_id))
        for entry in exported:
            amount = format_plain(entry.row.amount, entry.row.currency)
            lines.append(f"  {entry.account}  {amount} {entry.row.currency}")
        lines.append("")
    return "\n".join(lines) + "\n" if lines else ""
