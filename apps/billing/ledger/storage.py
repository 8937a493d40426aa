"""The ledger's SQL: postings in batches, balances and entries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any
from uuid import UUID

from apps.billing.ledger.postings import LedgerAccount, Posting
from apps.kit.context import current_request_id, new_id
from apps.kit.database import Connection
from apps.kit.rpc import Caller

# Before all that can count.
EARLIEST = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """An entry with its transaction and its account, for lists and exports."""

    transaction_id: UUID
    line: int
    ledger_account_id: UUID
    currency: str
    # Debits above zero, credits below.
    amount: int
    balance: int
    version: int
    posted_at: datetime
    effective_at: datetime
    kind: str
    document_id: UUID | None
    account_kind: str
    party: str
    name: str


ENTRY_COLUMNS = """
    e.transaction_id, e.line, e.ledger_account_id, e.currency,
    CASE e.side WHEN 'D' THEN e.amount ELSE -e.amount END AS amount,
    e.balance, e.version, e.posted_at, e.effective_at, t.kind, t.document_id, a.kind AS
        account_kind, a.party, a.name
"""
# What people call the transaction's document by; of a refund and a write-off, what they belong to.
DOCUMENT_NUMBER = """
    coalesce(CASE t.kind
        WHEN 'invoice' THEN (SELECT number FROM invoice WHERE invoice_id = t.document_id)
        WHEN 'credit_note' THEN (SELECT number FROM credit_note WHERE credit_note_id =
            t.document_id)
        WHEN 'payment' THEN (SELECT receipt_number FROM payment WHERE payment_id = t.document_id)
        WHEN 'refund' THEN
            (SELECT receipt_number FROM refund JOIN payment USING (payment_id) WHERE refund_id =
                t.document_id)
        WHEN 'write_off' THEN
            (SELECT number FROM write_off JOIN invoice USING (invoice_id) WHERE write_off_id =
                t.document_id)
    END, '') AS number
"""
ENTRY_TABLES = """
    ledger_entry e JOIN ledger_transaction t USING (transaction_id) JOIN ledger_account a USING
        (ledger_account_id)
"""


async def post(
    connection: Connection, caller: Caller, postings: Sequence[Posting | None]
) -> list[UUID]:
    """Posts them in their order, in one statement; gives the ids of the transactions.

    Call it once in a database transaction and last: it locks the ledger accounts, in sorted order,
    until the commit.
    """
    todo = [posting for posting in postings if posting is not None]
    if not todo:
        return []
    accounts = {account.id: account for posting in todo for account, _ in posting.entries}
    balances, posted_at = await _lock_accounts(connection, accounts)

    transaction_ids = [UUID(new_id()) for _ in todo]
    entries: list[tuple[object, ...]] = []
    for transaction_id, posting in zip(transaction_ids, todo, strict=True):
        effective_at = posting.effective_at or posted_at
        for line, (account, amount) in enumerate(posting.entries, start=1):
            balance, version = balances[account.id]
            balances[account.id] = (balance + amount, version + 1)
            side = b"D" if amount > 0 else b"C"
            entries.append(
                (
                    *(transaction_id, line, account.id, posting.currency, side, abs(amount)),
                    *(*balances[account.id], effective_at),
                )
            )
    await connection.execute(
        """
        WITH transactions AS (
            INSERT INTO ledger_transaction (transaction_id, kind, account_id, document_id, currency,
                effective_at,
                                            posted_at, subject, client_id, correlation_id)
            SELECT *, $7::timestamptz, $8::text, $9::text, $10::text
            FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::uuid[], $5::text[],
                $6::timestamptz[])
        ), entries AS (
            INSERT INTO ledger_entry (transaction_id, line, ledger_account_id, currency, side,
                amount, balance,
                                      version, effective_at, posted_at)
            SELECT *, $7 FROM unnest($11::uuid[], $12::smallint[], $13::uuid[], $14::text[],
                $15::"char"[],
                                     $16::bigint[], $17::bigint[], $18::bigint[],
                                         $19::timestamptz[])
        )
        UPDATE ledger_account SET balance = new.balance, version = new.version, last_posted_at = $7
        FROM unnest($20::uuid[], $21::bigint[], $22::bigint[]) AS new (id, balance, version)
        WHERE ledger_account_id = new.id""",
        transaction_ids,
        [posting.kind for posting in todo],
        [posting.account_id for posting in todo],
        [posting.document_id for posting in todo],
        [posting.currency for posting in todo],
        [posting.effective_at or posted_at for posting in todo],
        posted_at,
        caller.actor.subject,
        caller.actor.client_id,
        current_request_id(),
        *(list(column) for column in zip(*entries, strict=True)),
        list(balances),
        [balance for balance, _ in balances.values()],
        [version for _, version in balances.values()],
    )
    return transaction_ids


async def _lock_accounts(
    connection: Connection, accounts: dict[UUID, LedgerAccount]
) -> tuple[dict[UUID, tuple[int, int]], datetime]:
    """Locks the accounts in sorted order, made where they are missing; their balances, and the
    time to post at.
    """
    ids = sorted(accounts)
    rows = await _select_locked(connection, ids)
    known = {row["ledger_account_id"] for row in rows}
    missing = [accounts[id] for id in ids if id not in known]
    if missing:
        await connection.execute(
            """
            INSERT INTO ledger_account (ledger_account_id, kind, account_id, party, name, currency)
            SELECT * FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::text[],
                $6::text[])
            ON CONFLICT DO NOTHING""",
            [account.id for account in missing],
            [account.kind for account in missing],
            [account.account_id for account in missing],
            [account.party for account in missing],
            [account.name for account in missing],
            [account.currency for account in missing],
        )
        rows = await _select_locked(connection, ids)
    # Never before an entry that an account has: the balance at a moment is that of the last
    # entry before it.
    posted_at = max(row["posted_at"] for row in rows)
    return {row["ledger_account_id"]: (row["balance"], row["version"]) for row in rows}, posted_at


async def _select_locked(
    connection: Connection, ids: Sequence[UUID]
) -> Sequence[Mapping[str, Any]]:
    rows: Sequence[Mapping[str, Any]] = await connection.fetch(
        """
        SELECT ledger_account_id, balance, version, greatest(clock_timestamp(), last_posted_at) AS
            posted_at
        FROM ledger_account WHERE ledger_account_id = ANY($1::uuid[])
        ORDER BY ledger_account_id FOR NO KEY UPDATE""",
        ids,
    )
    return rows


async def select_balances(
    connection: Connection, account_id: UUID, before: date | None = None
) -> dict[tuple[str, str], int]:
    """Gives an account's balances by (kind, party), now or of all that counts before
    a day (of UTC).

    A balance before a day is the one that the last entry written down before it left, corrected by
    what counts on another day than it was written down: its cost follows the number of such days,
    not of entries.
    """
    rows = await connection.fetch(
        """
        SELECT kind, party, balance FROM ledger_account WHERE account_id = $1"""
        if before is None
        else """
        SELECT kind, party, coalesce((
            SELECT balance FROM ledger_entry e
            WHERE e.ledger_account_id = a.ledger_account_id AND e.posted_at < $3
            ORDER BY posted_at DESC, version DESC LIMIT 1
        ), 0) + coalesce((
            SELECT sum(amount) FROM ledger_shift s WHERE s.ledger_account_id = a.ledger_account_id
                AND s.day < $2
        ), 0)::bigint AS balance
        FROM ledger_account a WHERE account_id = $1""",
        account_id,
        *([before, start_of(before)] if before else ()),
    )
    return {(row["kind"], row["party"]): row["balance"] for row in rows}


def start_of(day: date) -> datetime:
    """Gives a day's first moment (UTC)."""
    return datetime.combine(day, time(), UTC)


async def select_entries(
    connection: Connection, account_id: UUID, after: tuple[UUID, int] | None, limit: int
) -> list[LedgerRow]:
    """Gives the entries of an account's receivables and credits, in the order of
    their transactions.
    """
    rows = await connection.fetch(
        f"""
        SELECT {ENTRY_COLUMNS} FROM {ENTRY_TABLES}
        WHERE e.ledger_account_id IN (SELECT ledger_account_id FROM ledger_account WHERE account_id
            = $1)
          AND ($2::uuid IS NULL OR (e.transaction_id, e.line) > ($2, $3::smallint))
        ORDER BY e.transaction_id, e.line LIMIT $4""",  # noqa: S608 - columns of ours
        account_id,
        after[0] if after else None,
        after[1] if after else 0,
        limit,
    )
    return [LedgerRow(**row) for row in rows]


async def select_statement_lines(
    connection: Connection, account_id: UUID, begin: date | None, end: date, limit: int
) -> Sequence[Mapping[str, Any]]:
    """Gives what changed the patient's receivable and credit from `begin` and before `end`, a row
    a transaction.

    In the order of time; `limit` rows or more where there are more.
    """
    # Each branch is one range of one index, read in its order: nearly all entries count when they
    # were written down, the others are found by when they count. A LATERAL with a LIMIT is always a
    # lookup for each row: whatever the tables hold, there is no other plan to choose.
    rows: Sequence[Mapping[str, Any]] = await connection.fetch(
        f"""
        WITH counted AS (
            SELECT e.transaction_id, e.effective_at, sum(CASE e.side WHEN 'D' THEN e.amount ELSE
                -e.amount END)::bigint
                       AS amount
            FROM ledger_account a CROSS JOIN LATERAL (
                (SELECT transaction_id, effective_at, side, amount FROM ledger_entry
                 WHERE ledger_account_id = a.ledger_account_id AND effective_at = posted_at
                   AND posted_at >= $2 AND posted_at < $3
                 ORDER BY posted_at LIMIT {limit:d})
                UNION ALL
                (SELECT transaction_id, effective_at, side, amount FROM ledger_entry
                 WHERE ledger_account_id = a.ledger_account_id AND effective_at <> posted_at
                   AND effective_at >= $2 AND effective_at < $3
                 ORDER BY effective_at LIMIT {limit:d})) AS e
            WHERE a.account_id = $1 AND a.kind IN ('receivable', 'credit') AND a.party = ''
            GROUP BY e.transaction_id, e.effective_at ORDER BY e.effective_at, e.transaction_id
                LIMIT {limit:d})
        SELECT c.transaction_id, c.effective_at, t.kind, t.document_id, c.amount, {DOCUMENT_NUMBER}
        FROM counted c CROSS JOIN LATERAL (
            SELECT kind, document_id FROM ledger_transaction WHERE transaction_id = c.transaction_id
                LIMIT 1) AS t
        ORDER BY c.effective_at, c.transaction_id""",  # noqa: S608 - a number of ours
        account_id,
        start_of(begin) if begin else EARLIEST,
        start_of(end),
    )
    return rows
