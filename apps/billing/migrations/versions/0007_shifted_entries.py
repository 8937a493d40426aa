"""Entries that count at another time than they were written down, found by the time
that lies between.
"""

from alembic import op

revision = "0007"
down_revision = "0006"

# The seconds since 1970 do not depend on the session's time zone, as PostgreSQL must
# assume of `extract`.
FUNCTION = """
    CREATE FUNCTION shift_of(account uuid, posted timestamptz, effective timestamptz) RETURNS box
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
        SELECT box(point(uuid_hash(account), extract(epoch FROM posted)::float8),
                   point(uuid_hash(account), extract(epoch FROM effective)::float8))
    $$
"""


def upgrade() -> None:
    # A box of no width at the account's hash, from one time to the other: GiST finds those over a
    # moment, of one account, without an extension. The account and the times are compared once
    # more by who asks.
    op.execute(FUNCTION)
    with op.get_context().autocommit_block():
        op.execute(
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS ledger_entry_shift ON ledger_entry"
            " USING gist (shift_of(ledger_account_id, posted_at, effective_at))"
            # All that a balance needs: no visit to the table for each of them.
            " INCLUDE (ledger_account_id, posted_at, effective_at, side, amount)"
            " WHERE effective_at <> posted_at"
        )
