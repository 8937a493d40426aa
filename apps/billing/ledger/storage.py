"""The ledger's SQL: postings in batches, balances and entries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from apps.billing.ledger.postings import LedgerAccount, Posting
from apps.kit.context import current_request_id, new_id
from apps.kit.database import Connection
from apps.kit.rpc import Caller


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """An entry with its transaction and its account, for lists, statements and exports."""

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
    e.balance, e.version, e.posted_at, e.effective_at, t.kind, t.document_id, a.kind AS account_kind, a.party, a.name
"""
ENTRY_TABLES = """
    ledger_entry e JOIN ledger_transaction t USING (transaction_id) JOIN ledger_account a USING (ledger_account_id)
"""


async def post(
    connection: Connection, caller: Caller, postings: Sequence[Posting | None]
) -> list[UUID]:
    """Posts them in their order, in one statement; gives the ids of the transactions.

    Call it once in a database transaction and last: it locks the ledger accounts, in sorted order, until the commit.
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
            INSERT INTO ledger_transaction (transaction_id, kind, account_id, document_id, currency, effective_at,
                                            posted_at, subject, client_id, correlation_id)
            SELECT *, $7::timestamptz, $8::text, $9::text, $10::text
            FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::uuid[], $5::text[], $6::timestamptz[])
        ), entries AS (
            INSERT INTO ledger_entry (transaction_id, line, ledger_account_id, currency, side, amount, balance,
                                      version, effective_at, posted_at)
            SELECT *, $7 FROM unnest($11::uuid[], $12::smallint[], $13::uuid[], $14::text[], $15::"char"[],
                                     $16::bigint[], $17::bigint[], $18::bigint[], $19::timestamptz[])
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
    """Locks the accounts in sorted order, made where they are missing; their balances, and the time to post at."""
    ids = sorted(accounts)
    rows = await _select_locked(connection, ids)
    if len(rows) < len(ids):
        known = {row["ledger_account_id"] for row in rows}
        missing = [accounts[id] for id in ids if id not in known]
        await connection.execute(
            """
            INSERT INTO ledger_account (ledger_account_id, kind, account_id, party, name, currency)
            SELECT * FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::text[], $6::text[])
            ON CONFLICT DO NOTHING""",
            [account.id for account in missing],
            [account.kind for account in missing],
            [account.account_id for account in missing],
            [account.party for account in missing],
            [account.name for account in missing],
            [account.currency for account in missing],
        )
        rows = await _select_locked(connection, ids)
    # Never before an entry that an account has: the balance at a moment is that of the last entry before it.
    posted_at = max(row["posted_at"] for row in rows)
    return {row["ledger_account_id"]: (row["balance"], row["version"]) for row in rows}, posted_at


async def _select_locked(
    connection: Connection, ids: Sequence[UUID]
) -> Sequence[Mapping[str, Any]]:
    rows: Sequence[Mapping[str, Any]] = await connection.fetch(
        """
        SELECT ledger_account_id, balance, version, greatest(clock_timestamp(), last_posted_at) AS posted_at
        FROM ledger_account WHERE ledger_account_id = ANY($1::uuid[])
        ORDER BY ledger_account_id FOR NO KEY UPDATE""",
        ids,
    )
    return rows


async def select_balance(
    connection: Connection, ledger_account_id: UUID, before: datetime | None = None
) -> int:
    """Gives an account's balance, of all that counts before a moment; 0 for an account that was never used.

    It is the balance that the last entry written down before the moment left, less the entries among those that
    count only later, and with those that were written down later and count before.
    """
    if before is None:
        now: int | None = await connection.fetchval(
            "SELECT balance FROM ledger_account WHERE ledger_account_id = $1", ledger_account_id
        )
        return now or 0
    then: int = await connection.fetchval(
        """
        SELECT coalesce((
            SELECT balance FROM ledger_entry WHERE ledger_account_id = $1 AND posted_at < $2
            ORDER BY posted_at DESC, version DESC LIMIT 1
        ), 0) + coalesce((
            SELECT sum(CASE WHEN (side = 'D') = (effective_at < posted_at) THEN amount ELSE -amount END)
            FROM ledger_entry
            WHERE ledger_account_id = $1 AND effective_at <> posted_at
              AND (effective_at < $2) <> (posted_at < $2)
              AND shift_of(ledger_account_id, posted_at, effective_at) && shift_of($1, $2, $2)
        ), 0)::bigint""",
        ledger_account_id,
        before,
    )
    return int(then)


async def select_party_balances(
    connection: Connection, account_id: UUID, kind: str
) -> dict[str, int]:
    """Gives the balances of an account's receivables or credits by party."""
    rows = await connection.fetch(
        "SELECT party, balance FROM ledger_account WHERE account_id = $1 AND kind = $2",
        account_id,
        kind,
    )
    return {row["party"]: row["balance"] for row in rows}


async def select_entries(
    connection: Connection, account_id: UUID, after: tuple[UUID, int] | None, limit: int
) -> list[LedgerRow]:
    """Gives the entries of an account's receivables and credits, in the order of their transactions."""
    rows = await connection.fetch(
        f"""
        SELECT {ENTRY_COLUMNS} FROM {ENTRY_TABLES}
        WHERE e.ledger_account_id IN (SELECT ledger_account_id FROM ledger_account WHERE account_id = $1)
          AND ($2::uuid IS NULL OR (e.transaction_id, e.line) > ($2, $3::smallint))
        ORDER BY e.transaction_id, e.line LIMIT $4""",  # noqa: S608 - columns of ours
        account_id,
        after[0] if after else None,
        after[1] if after else 0,
        limit,
    )
    return [LedgerRow(**row) for row in rows]


async def select_entries_between(
    connection: Connection,
    ledger_account_ids: Sequence[UUID],
    begin: datetime | None,
    end: datetime,
    limit: int,
) -> list[LedgerRow]:
    """Gives the entries of these accounts that count from `begin` and before `end`, in that order."""
    # Nearly all count when they were written down, and are found by that index; the others by theirs.
    rows = await connection.fetch(
        f"""
        WITH counted AS (
            (SELECT * FROM ledger_entry
             WHERE ledger_account_id = ANY($1::uuid[]) AND effective_at = posted_at AND posted_at < $3
               AND ($2::timestamptz IS NULL OR posted_at >= $2)
             ORDER BY posted_at, transaction_id, line LIMIT $4)
            UNION ALL
            (SELECT * FROM ledger_entry
             WHERE ledger_account_id = ANY($1::uuid[]) AND effective_at <> posted_at AND effective_at < $3
               AND ($2::timestamptz IS NULL OR effective_at >= $2)
             ORDER BY effective_at, transaction_id, line LIMIT $4))
        SELECT {ENTRY_COLUMNS}
        FROM counted e JOIN ledger_transaction t USING (transaction_id) JOIN ledger_account a USING (ledger_account_id)
        ORDER BY e.effective_at, e.transaction_id, e.line LIMIT $4""",  # noqa: S608 - columns of ours
        ledger_account_ids,
        begin,
        end,
        limit,
    )
    return [LedgerRow(**row) for row in rows]
