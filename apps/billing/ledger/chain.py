"""Seals the ledger: each block's hash covers its transactions and the hash of the block before it.

Whoever changed an entry afterwards, past triggers and privileges, would have to change every later
block too; a hash that was noted elsewhere shows it.
"""

import asyncio
import hashlib
import logging
from collections.abc import Iterable, Sequence
from typing import Any

import asyncpg

from apps.kit.database import Connection, Database
from apps.kit.errors import Unavailable
from apps.kit.logs import log_failure

GENESIS = bytes(32)
MAX_BLOCK_TRANSACTIONS = 5_000
SEAL_PERIOD_SECONDS = 15.0
# A transaction commits within its call's deadline; later than this none can turn up behind
# the last block.
LATE_SECONDS = 3_600
LOCK = 0x7365616C  # "seal"

log = logging.getLogger(__name__)

# A row a transaction, its entries in order: what the hash is made of, the same for sealing and
# for verifying.
SEALED_ROWS = """
    SELECT t.transaction_id, t.transaction_no, t.kind, t.account_id, t.document_id, t.currency,
        t.posted_at,
           t.effective_at, t.subject, t.client_id, t.correlation_id,
           array_agg(concat_ws(' ', e.line, e.ledger_account_id, e.currency, e.side, e.amount,
               e.balance, e.version,
                               extract(epoch FROM e.posted_at), extract(epoch FROM e.effective_at))
                                   ORDER BY e.line)
               AS entries
    FROM ledger_transaction t JOIN ledger_entry e USING (transaction_id)
"""


def hash_block(previous_hash: bytes, rows: Iterable[Sequence[Any]]) -> bytes:
    """Hashes rows of SEALED_ROWS in the order of their numbers."""
    digest = hashlib.sha256(previous_hash)
    for row in rows:
        fields = [
            part.isoformat() if hasattr(part, "isoformat") else str(part) for part in tuple(row)
        ]
        digest.update("\x1f".join(fields).encode())
        digest.update(b"\x1e")
    return digest.digest()


async def seal_block(connection: Connection, *, everything: bool) -> int:
    """Seals the next transactions, in a transaction of the caller's; how many. 0 where another
    replica seals.

    `everything`: looks behind the last block as well, however long ago.
    """
    if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", LOCK):
        return 0
    last = await connection.fetchrow(
        "SELECT block_no, hash, sealed_at FROM ledger_block ORDER BY block_no DESC LIMIT 1"
    )
    since = None if everything or last is None else last["sealed_at"]
    ids = await connection.fetch(
        """
        SELECT transaction_id FROM ledger_transaction t
        WHERE ($1::timestamptz IS NULL OR posted_at > $1 - make_interval(secs => $2))
          AND NOT EXISTS (SELECT FROM ledger_seal s WHERE s.transaction_id = t.transaction_id)
        ORDER BY transaction_no LIMIT $3""",
        since,
        float(LATE_SECONDS),
        MAX_BLOCK_TRANSACTIONS,
    )
    if not ids:
        return 0
    transaction_ids = [row["transaction_id"] for row in ids]
    rows = await connection.fetch(
        f"{SEALED_ROWS} WHERE t.transaction_id = ANY($1::uuid[]) GROUP BY t.transaction_id"
        " ORDER BY t.transaction_no",
        transaction_ids,
    )
    previous_hash = last["hash"] if last else GENESIS
    block_no = last["block_no"] + 1 if last else 1
    await connection.execute(
        "INSERT INTO ledger_block (block_no, transactions, previous_hash, hash) VALUES ($1, $2, "
        "$3, $4)",
        block_no,
        len(rows),
        previous_hash,
        hash_block(previous_hash, rows),
    )
    await connection.execute(
        "INSERT INTO ledger_seal (transaction_id, block_no) SELECT *, $2 FROM unnest($1::uuid[])",
        transaction_ids,
        block_no,
    )
    return len(rows)


async def seal_forever(database: Database) -> None:
    """Seals what was posted, at most SEAL_PERIOD_SECONDS after it; until it is cancelled."""
    everything = True
    while True:
        try:
            while True:
                async with database.transaction() as connection:
                    if not await seal_block(connection, everything=everything):
                        break
            everything = False
        except (Unavailable, asyncpg.PostgresError) as error:
            log.warning("the ledger is not sealed", extra={"error": type(error).__name__})
        except Exception as error:
            log_failure(error, "sealing the ledger failed")
        await asyncio.sleep(SEAL_PERIOD_SECONDS)


async def verify_chain(connection: Connection) -> list[tuple[str, str, str]]:
    """Recomputes every block; for each that differs its number, the hash that it should have and
    the one it has.
    """
    differences = []
    previous_hash = GENESIS
    blocks = await connection.fetch("SELECT * FROM ledger_block ORDER BY block_no")
    for number, block in enumerate(blocks, start=1):
        rows = await connection.fetch(
            f"{SEALED_ROWS} JOIN ledger_seal s USING (transaction_id) WHERE s.block_no = $1"
            " GROUP BY t.transaction_id ORDER BY t.transaction_no",
            block["block_no"],
        )
        expected = hash_block(previous_hash, rows)
        sound = (
            block["block_no"] == number
            and block["previous_hash"] == previous_hash
            and block["hash"] == expected
            and block["transactions"] == len(rows)
        )
        if not sound:
            differences.append((str(block["block_no"]), expected.hex(), block["hash"].hex()))
        previous_hash = block["hash"]
    return differences
