"""Throws away what has had its time, in small batches that wait for nobody: every replica may
do it at once.
"""

import asyncio
import logging

import asyncpg

from apps.kit.database import Connection, Database
from apps.kit.errors import Problem
from apps.kit.idempotency import delete_old_keys

PERIOD_SECONDS = 300.0
BATCH_ROWS = 500

# A used code is kept for a while, so that it is known when it comes again; a family's last
# token likewise.
EXPIRED = {
    "sessions": "expires_at < now()",
    "authorization_codes": "expires_at < now() - interval '1 hour'",
    "refresh_tokens": "expires_at < now() - interval '1 day'",
    "revocations": "expires_at < now()",
    "attempts": "expires_at < now() AND locked_until < now()",
    "password_resets": "expires_at < now()",
    "client_assertions": "expires_at < now()",
    "session_clients": "expires_at < now()",
    "logout_notices": "expires_at < now()",
    "launches": "expires_at < now()",
    "pushed_requests": "expires_at < now()",
    "device_codes": "expires_at < now() - interval '1 hour'",
    "known_devices": "expires_at < now()",
    "mails": "expires_at < now()",
    "mail_counts": "expires_at < now()",
    "address_links": "expires_at < now()",
    "passkey_challenges": "expires_at < now()",
    "external_sign_ins": "expires_at < now()",
}

log = logging.getLogger(__name__)


async def delete_expired(connection: Connection, table: str) -> int:
    """Returns how many rows went; fewer than BATCH_ROWS means that none is left, but those that
    somebody else holds.
    """
    # Table and condition are from the list above, never from outside.
    outcome: str = await connection.execute(
        f"DELETE FROM {table} WHERE ctid = ANY(ARRAY("  # noqa: S608
        f"SELECT ctid FROM {table} WHERE {EXPIRED[table]} LIMIT $1 FOR UPDATE SKIP LOCKED))",
        BATCH_ROWS,
    )
    return int(outcome.rpartition(" ")[2])


async def clean_up(database: Database) -> None:
    for table in EXPIRED:
        deleted = BATCH_ROWS
        while deleted == BATCH_ROWS:
            # A connection a batch: requests come in between.
            async with database.connection() as connection:
                deleted = await delete_expired(connection, table)
    async with database.connection() as connection:
        await delete_old_keys(connection)
    await delete_old_audit(database)


async def delete_old_audit(database: Database) -> None:
    """Deletes entries of the audit that are past their time. What that is, the database function
    alone decides.
    """
    deleted = BATCH_ROWS
    while deleted == BATCH_ROWS:
        async with database.connection() as connection:
            deleted = await connection.fetchval("SELECT delete_old_audit($1)", BATCH_ROWS)


async def keep_clean(database: Database) -> None:
    while True:
        await asyncio.sleep(PERIOD_SECONDS)
        try:
            await clean_up(database)
        except (Problem, asyncpg.PostgresError) as error:
            log.warning("clean-up failed", extra={"error": type(error).__name__})
