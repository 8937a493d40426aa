"""What counts on another day than it was written down, added up by account and day."""

from alembic import op

from apps.kit.migrations import runtime_role

revision = "0008"
down_revision = "0007a"

# The balance before a day is what the last entry written down before it left, plus the shifts of
# earlier days: as many rows as there are such days, however many entries were shifted.
TABLE = """
CREATE TABLE ledger_shift (
    ledger_account_id uuid NOT NULL REFERENCES ledger_account,
    -- Of UTC.
    day date NOT NULL,
    amount bigint NOT NULL,
    PRIMARY KEY (ledger_account_id, day)
);
"""

# Each entry is added where it counts and taken off where it was written down.
ADD_UP = """
    INSERT INTO ledger_shift (ledger_account_id, day, amount)
    SELECT ledger_account_id, day, sum(amount) FROM (
        SELECT ledger_account_id, shift.day, CASE side WHEN 'D' THEN shift.sign ELSE -shift.sign END
            * amount AS amount
        FROM {entries}, LATERAL (
            VALUES ((effective_at AT TIME ZONE 'UTC')::date, 1), ((posted_at AT TIME ZONE
                'UTC')::date, -1)
        ) AS shift (day, sign)
        WHERE effective_at <> posted_at
          AND (effective_at AT TIME ZONE 'UTC')::date <> (posted_at AT TIME ZONE 'UTC')::date) AS
              shifted
    GROUP BY ledger_account_id, day HAVING sum(amount) <> 0 ORDER BY ledger_account_id, day
    ON CONFLICT (ledger_account_id, day) DO UPDATE SET amount = ledger_shift.amount +
        EXCLUDED.amount
"""

# By the database itself, as the owner: the service's role may only read it, and the previous
# release fills it too.
TRIGGER = f"""
CREATE FUNCTION add_up_shifts() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    {ADD_UP.format(entries="added")};
    RETURN NULL;
END $$;
CREATE TRIGGER ledger_entry_shifts AFTER INSERT ON ledger_entry
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION add_up_shifts();
"""


def upgrade() -> None:
    # First, as it commits: where the rest fails, all of it is tried again. Its function stays,
    # since a replica of the previous release still names it.
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS ledger_entry_shift")
    op.execute(TABLE)
    # Holds back postings until the commit, so that each entry is added up once.
    op.execute(TRIGGER)
    op.execute(ADD_UP.format(entries="ledger_entry"))
    op.execute(f"GRANT SELECT ON ledger_shift TO {runtime_role()}")
