"""The checker: recomputes all that follows from something else, and names each difference.

Each check is one query that answers the rows that differ; sound books answer none.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from apps.billing.ledger.chain import verify_chain
from apps.kit.database import Connection

MAX_DIFFERENCES = 100
SEAL_WITHIN_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Difference:
    code: str
    # The row that differs: an id, or what else names it.
    subject: str
    expected: str
    found: str


SIGNED = "CASE side WHEN 'D' THEN amount ELSE -amount END"

# code: a query that gives subject, expected and found of each row that differs.
CHECKS: dict[str, str] = {
    "transaction_unbalanced": f"""
        SELECT t.transaction_id, 0, sum({SIGNED})
        FROM ledger_transaction t LEFT JOIN ledger_entry e USING (transaction_id)
        GROUP BY t.transaction_id HAVING count(e.line) < 2 OR sum({SIGNED}) <> 0""",
    "balance_mismatch": f"""
        SELECT a.ledger_account_id, coalesce(sum({SIGNED}), 0), a.balance
        FROM ledger_account a LEFT JOIN ledger_entry e USING (ledger_account_id)
        GROUP BY a.ledger_account_id HAVING a.balance <> coalesce(sum({SIGNED}), 0)""",
    "account_version_mismatch": """
        SELECT a.ledger_account_id, count(e.line), a.version
        FROM ledger_account a LEFT JOIN ledger_entry e USING (ledger_account_id)
        GROUP BY a.ledger_account_id HAVING a.version <> count(e.line) OR a.version <>
            coalesce(max(e.version), 0)""",
    "running_balance_mismatch": f"""
        SELECT transaction_id || '/' || line, expected, balance FROM (
            SELECT transaction_id, line, balance,
                   sum({SIGNED}) OVER (PARTITION BY ledger_account_id ORDER BY version) AS expected
            FROM ledger_entry) AS running WHERE balance <> expected""",
    "shift_mismatch": f"""
        SELECT ledger_account_id || ' ' || day, coalesce(shifted, 0), coalesce(amount, 0) FROM (
            SELECT ledger_account_id, day, sum(sign * {SIGNED}) AS shifted
            FROM ledger_entry, LATERAL (VALUES ((effective_at AT TIME ZONE 'UTC')::date, 1),
                                               ((posted_at AT TIME ZONE 'UTC')::date, -1)) AS shift
                                                   (day, sign)
            WHERE effective_at <> posted_at GROUP BY ledger_account_id, day) AS entries
        FULL JOIN ledger_shift USING (ledger_account_id, day)
        WHERE coalesce(shifted, 0) <> coalesce(amount, 0)""",
    "entry_time_mismatch": """
        SELECT e.transaction_id || '/' || e.line, t.posted_at || ' ' || t.effective_at,
               e.posted_at || ' ' || e.effective_at
        FROM ledger_entry e JOIN ledger_transaction t USING (transaction_id)
        WHERE (e.posted_at, e.effective_at) <> (t.posted_at, t.effective_at)""",
    "invoice_total_mismatch": """
        SELECT i.invoice_id, coalesce(sum(l.net), 0) || ' + ' || coalesce(sum(l.tax), 0), i.net ||
            ' + ' || i.tax
        FROM invoice i LEFT JOIN invoice_line l USING (invoice_id) WHERE i.number IS NOT NULL
        GROUP BY i.invoice_id HAVING (i.net, i.tax) <> (coalesce(sum(l.net), 0),
            coalesce(sum(l.tax), 0))""",
    "shared_charge_mismatch": """
        SELECT l.charge_item_id, c.net, sum(l.net)
        FROM invoice_line l JOIN invoice i USING (invoice_id) JOIN charge_item c USING
            (charge_item_id)
        GROUP BY l.charge_item_id, c.net, i.group_id HAVING sum(l.net) <> c.net""",
    "charge_net_mismatch": """
        SELECT charge_item_id, expected, net FROM (
            SELECT charge_item_id, net,
                   gross - least(gross, floor(gross * discount_basis_points / 10000.0 + 0.5) +
                       discount_amount)
                       AS expected
            FROM (SELECT *, floor(quantity * unit_price + 0.5) AS gross FROM charge_item) AS charge
        ) AS charge WHERE net <> expected""",
    "invoice_paid_mismatch": """
        SELECT i.invoice_id, coalesce(sum(a.amount), 0), i.paid
        FROM invoice i LEFT JOIN allocation a USING (invoice_id)
        GROUP BY i.invoice_id HAVING i.paid <> coalesce(sum(a.amount), 0)""",
    "invoice_credited_mismatch": """
        SELECT i.invoice_id, coalesce(sum(n.total), 0), i.credited
        FROM invoice i LEFT JOIN credit_note n USING (invoice_id)
        GROUP BY i.invoice_id HAVING i.credited <> coalesce(sum(n.total), 0)""",
    "invoice_written_off_mismatch": """
        SELECT i.invoice_id, coalesce(sum(w.amount), 0), i.written_off
        FROM invoice i LEFT JOIN write_off w ON w.invoice_id = i.invoice_id AND w.status = 'posted'
        GROUP BY i.invoice_id HAVING i.written_off <> coalesce(sum(w.amount), 0)""",
    "invoice_status_mismatch": """
        SELECT invoice_id, CASE WHEN total = paid + credited + written_off THEN 'balanced' ELSE
            'issued' END, status
        FROM invoice WHERE status IN ('issued', 'balanced')
          AND (status = 'balanced') <> (total = paid + credited + written_off)""",
    "credit_note_total_mismatch": """
        SELECT n.credit_note_id, coalesce(sum(l.net + l.tax), 0), n.total
        FROM credit_note n LEFT JOIN credit_note_line l USING (credit_note_id)
        GROUP BY n.credit_note_id HAVING n.total <> coalesce(sum(l.net + l.tax), 0)""",
    "payment_allocated_mismatch": """
        SELECT p.payment_id, coalesce(sum(a.amount), 0), p.allocated
        FROM payment p LEFT JOIN allocation a USING (payment_id)
        GROUP BY p.payment_id HAVING p.allocated <> coalesce(sum(a.amount), 0)""",
    "payment_refunded_mismatch": """
        SELECT p.payment_id, coalesce(sum(r.amount), 0), p.refunded
        FROM payment p LEFT JOIN refund r USING (payment_id)
        GROUP BY p.payment_id HAVING p.refunded <> coalesce(sum(r.amount), 0)""",
    "receivable_mismatch": """
        SELECT account_id || ' ' || party, coalesce(open, 0), coalesce(balance, 0) FROM (
            SELECT account_id, payer_id AS party, sum(total - paid - credited - written_off) AS open
            FROM invoice WHERE number IS NOT NULL GROUP BY 1, 2) AS invoices
        FULL JOIN (SELECT account_id, party, balance FROM ledger_account WHERE kind = 'receivable')
            AS ledger
            USING (account_id, party)
        WHERE coalesce(open, 0) <> coalesce(balance, 0)""",
    "credit_mismatch": """
        SELECT account_id || ' ' || party, coalesce(kept, 0), -coalesce(balance, 0) FROM (
            SELECT account_id, payer_id AS party, sum(amount - refunded - allocated) AS kept
            FROM payment GROUP BY 1, 2) AS payments
        FULL JOIN (SELECT account_id, party, balance FROM ledger_account WHERE kind = 'credit') AS
            ledger
            USING (account_id, party)
        WHERE coalesce(kept, 0) <> -coalesce(balance, 0)""",
    "money_mismatch": """
        SELECT method || ' ' || currency, coalesce(kept, 0), coalesce(balance, 0) FROM (
            SELECT method, currency, sum(amount - refunded)::bigint
                   + coalesce((SELECT sum(counted - opening - taken) FROM cash_day d
                               WHERE d.status = 'closed' AND d.currency = p.currency AND p.method =
                                   'cash'), 0) AS kept
            FROM payment p GROUP BY method, currency) AS payments
        JOIN (SELECT CASE kind WHEN 'bank' THEN 'transfer' ELSE kind END AS method, currency,
            balance
              FROM ledger_account WHERE kind IN ('cash', 'card', 'bank')) AS ledger USING (method,
                  currency)
        WHERE coalesce(kept, 0) <> coalesce(balance, 0)""",
    "document_not_posted": """
        SELECT id, expected, coalesce(found, 0) FROM (
            SELECT invoice_id AS id, total AS expected FROM invoice WHERE number IS NOT NULL
            UNION ALL SELECT credit_note_id, total FROM credit_note
            UNION ALL SELECT payment_id, amount FROM payment
            UNION ALL SELECT refund_id, amount FROM refund
            UNION ALL SELECT write_off_id, amount FROM write_off WHERE status = 'posted') AS
                documents
        LEFT JOIN (SELECT document_id AS id, sum(amount) AS found FROM ledger_transaction
                   JOIN ledger_entry USING (transaction_id) WHERE side = 'D' GROUP BY 1) AS posted
                       USING (id)
        WHERE expected <> coalesce(found, 0)""",
    "number_missing": """
        SELECT series || ' ' || year, last_number, count FROM number_series JOIN (
            SELECT 'invoice' AS series, split_part(number, '-', 1)::integer AS year, count(*),
                   max(split_part(number, '-', 2)::bigint) FROM invoice WHERE number IS NOT NULL
                       GROUP BY 2
            UNION ALL SELECT 'credit_note', split_part(number, '-', 1)::integer, count(*),
                   max(split_part(number, '-', 2)::bigint) FROM credit_note GROUP BY 2
            UNION ALL SELECT 'receipt', split_part(receipt_number, '-', 1)::integer, count(*),
                   max(split_part(receipt_number, '-', 2)::bigint) FROM payment GROUP BY 2
        ) AS drawn USING (series, year) WHERE last_number <> count OR last_number <> max""",
    "account_twice": """
        SELECT patient_id, 1, count(*) FROM account GROUP BY patient_id HAVING count(*) > 1""",
    "charge_twice": """
        SELECT source_type || '/' || source_id, 1, count(*) FROM charge_item
        WHERE source_type <> '' AND status <> 'voided' AND NOT needs_credit
        GROUP BY source_type, source_id HAVING count(*) > 1""",
    "charge_status_mismatch": """
        SELECT c.charge_item_id, CASE i.status WHEN 'draft' THEN 'billable' ELSE 'billed' END,
            c.status
        FROM charge_item c JOIN invoice i USING (invoice_id)
        WHERE c.status <> 'voided' AND (c.status = 'billed') <> (i.status <> 'draft')""",
    "transaction_not_sealed": f"""
        SELECT transaction_id, 'sealed', posted_at FROM ledger_transaction t
        WHERE posted_at < now() - make_interval(secs => {SEAL_WITHIN_SECONDS})
          AND NOT EXISTS (SELECT FROM ledger_seal s WHERE s.transaction_id = t.transaction_id)""",
}


async def reconcile(connection: Connection, leave_out: Sequence[str] = ()) -> list[Difference]:
    """Runs every check, in a transaction of the caller's that sees one moment; at most
    MAX_DIFFERENCES of each.

    `leave_out`: codes of checks that cannot hold yet, as `transaction_not_sealed` where
    nothing seals.
    """
    differences = []
    for code, query in CHECKS.items():
        if code in leave_out:
            continue
        rows = await connection.fetch(f"{query} LIMIT {MAX_DIFFERENCES}", timeout=120)
        differences += [Difference(code, *map(str, row)) for row in rows]
    for block, expected, found in await verify_chain(connection):
        differences.append(Difference("block_hash_mismatch", block, expected, found))
    return differences
