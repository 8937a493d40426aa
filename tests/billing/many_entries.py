"""Writes many ledger entries at once, past the code: for plans and for figures."""

from datetime import date, timedelta
from typing import Any
from uuid import UUID, uuid4

from apps.billing.ledger.postings import LedgerAccount, receivable

OTHER = LedgerAccount("bank", "JPY")
# From here on one each three minutes.
BEGIN = date(2020, 1, 1)


async def write_entries(
    owner: Any, entries: int, *, shift: timedelta, every: int = 1, accounts: int = 1
) -> list[UUID]:
    """Gives new accounts that have `entries` of 1 yen among them, in turn.

    Every `every`th counts `shift` before it was written down. `owner`: a connection as the
    tables' owner.
    """
    ids = [uuid4() for _ in range(accounts)]
    ledger_ids = [receivable("JPY", id).id for id in ids]
    async with owner.transaction():
        for table in ("ledger_transaction", "ledger_entry"):
            # Each entry is looked at once more when it is committed: not here. What counts on
            # another day stays the database's own work.
            await owner.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        await owner.execute("ALTER TABLE ledger_entry ENABLE TRIGGER ledger_entry_shifts")
        await owner.execute(
            """
            INSERT INTO account (account_id, patient_id, status, currency, version)
            SELECT id, id::text, 'active', 'JPY', 1 FROM unnest($1::uuid[]) AS id""",
            ids,
        )
        await owner.execute(
            """
            INSERT INTO ledger_account (ledger_account_id, kind, account_id, party, name, currency)
            SELECT ledger_id, 'receivable', id, '', '', 'JPY' FROM unnest($1::uuid[], $2::uuid[]) AS
                new (id, ledger_id)
            UNION ALL SELECT $3, 'bank', NULL, '', '', 'JPY' ON CONFLICT DO NOTHING""",
            ids,
            ledger_ids,
            OTHER.id,
        )
        await owner.execute(
            f"""
            CREATE TEMPORARY TABLE made ON COMMIT DROP AS
            SELECT number, uuidv7(posted_at - now()) AS id, posted_at,
                   CASE WHEN number % $2 = 0 THEN posted_at - $3::interval ELSE posted_at END AS
                       effective_at
            FROM (SELECT number, timestamptz '{BEGIN} UTC' + number * interval '3 minutes' AS
                posted_at
                  FROM generate_series(1, $1::integer) AS number) AS numbers""",  # noqa: S608
            entries,
            every,
            shift,
            timeout=300,
        )
        await owner.execute(
            """
            INSERT INTO ledger_transaction (transaction_id, kind, currency, posted_at, effective_at,
                subject,
                                            client_id, correlation_id)
            SELECT id, 'adjustment', 'JPY', posted_at, effective_at, 's', 'c', '' FROM made""",
            timeout=300,
        )
        first = await owner.fetchval(
            "SELECT version FROM ledger_account WHERE ledger_account_id = $1", OTHER.id
        )
        for line, side, account, nth in (
            (1, "D", "($4::uuid[])[1 + number % $5]", "(number + $5 - 1) / $5"),
            (2, "C", "($4::uuid[])[1]", "(number + $5)"),
        ):
            await owner.execute(
                f"""
                INSERT INTO ledger_entry (transaction_id, line, ledger_account_id, currency, side,
                    amount, balance,
                                          version, posted_at, effective_at)
                SELECT id, $1, {account}, 'JPY', $2::text::"char", 1, $3 * {nth}, {nth}, posted_at,
                    effective_at
                FROM made""",  # noqa: S608
                line,
                side,
                1 if line == 1 else -1,
                ledger_ids if line == 1 else [OTHER.id],
                accounts if line == 1 else first,
                timeout=600,
            )
        await owner.execute(
            """
            UPDATE ledger_account a SET balance = new.balance, version = new.version, last_posted_at
                = new.posted_at
            FROM (SELECT DISTINCT ON (ledger_account_id) * FROM ledger_entry
                  ORDER BY ledger_account_id, version DESC) AS new
            WHERE a.ledger_account_id = new.ledger_account_id AND a.currency = 'JPY'""",
            timeout=300,
        )
        for table in ("ledger_transaction", "ledger_entry"):
            await owner.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
    # As autovacuum does in its time.
    await owner.execute("VACUUM ANALYZE ledger_entry, ledger_transaction", timeout=600)
    return ids
