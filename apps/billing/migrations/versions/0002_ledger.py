"""The ledger: accounts, transactions and entries, which only ever grow, and the hash
chain over them.
"""

from alembic import op

from apps.kit.migrations import runtime_role

revision = "0002"
down_revision = "0001"

TABLES = """
-- `balance`: debits less credits, in minor units; `version`: the number of its entries.
CREATE TABLE ledger_account (
    ledger_account_id uuid PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('receivable', 'credit', 'revenue', 'tax', 'cash', 'card',
        'bank',
                                       'write_off', 'cash_difference')),
    account_id uuid REFERENCES account,
    -- The payer's id; empty for the patient and for the clinic's own accounts.
    party text NOT NULL,
    -- The revenue group or the tax category; empty for all others.
    name text NOT NULL,
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    balance bigint NOT NULL DEFAULT 0,
    version bigint NOT NULL DEFAULT 0 CHECK (version >= 0),
    last_posted_at timestamptz NOT NULL DEFAULT '-infinity',
    CHECK ((kind IN ('receivable', 'credit')) = (account_id IS NOT NULL)),
    UNIQUE (ledger_account_id, currency),
    UNIQUE NULLS NOT DISTINCT (kind, account_id, party, name, currency)
);
CREATE INDEX ledger_account_owner ON ledger_account (account_id) WHERE account_id IS NOT NULL;

-- `posted_at`: when it was written down; `effective_at`: when it counts.
CREATE TABLE ledger_transaction (
    transaction_id uuid PRIMARY KEY,
    transaction_no bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    kind text NOT NULL CHECK (kind IN ('invoice', 'credit_note', 'payment', 'refund',
        'credit_applied', 'write_off',
                                       'cash_difference', 'adjustment')),
    account_id uuid REFERENCES account,
    document_id uuid,
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    posted_at timestamptz NOT NULL,
    effective_at timestamptz NOT NULL,
    subject text NOT NULL,
    client_id text NOT NULL,
    correlation_id text NOT NULL,
    UNIQUE (transaction_id, currency)
);
CREATE INDEX ledger_transaction_document ON ledger_transaction (document_id);

CREATE TABLE ledger_entry (
    transaction_id uuid NOT NULL,
    line smallint NOT NULL CHECK (line > 0),
    ledger_account_id uuid NOT NULL,
    currency text NOT NULL,
    side "char" NOT NULL CHECK (side IN ('D', 'C')),
    amount bigint NOT NULL CHECK (amount > 0),
    -- The account's balance and version with this entry.
    balance bigint NOT NULL,
    version bigint NOT NULL CHECK (version > 0),
    posted_at timestamptz NOT NULL,
    effective_at timestamptz NOT NULL,
    PRIMARY KEY (transaction_id, line),
    UNIQUE (ledger_account_id, version),
    -- One currency a transaction, and the account's own.
    FOREIGN KEY (transaction_id, currency) REFERENCES ledger_transaction (transaction_id, currency),
    FOREIGN KEY (ledger_account_id, currency) REFERENCES ledger_account (ledger_account_id,
        currency)
);
-- The balance at a moment is that of the last entry before it ...
CREATE INDEX ledger_entry_posted ON ledger_entry (ledger_account_id, posted_at, version);
-- ... corrected by the few that count at another time than they were written down.
CREATE INDEX ledger_entry_shifted ON ledger_entry (ledger_account_id, effective_at, posted_at)
    WHERE effective_at <> posted_at;

CREATE TABLE ledger_block (
    block_no bigint PRIMARY KEY CHECK (block_no > 0),
    transactions integer NOT NULL CHECK (transactions > 0),
    previous_hash bytea NOT NULL CHECK (length(previous_hash) = 32),
    hash bytea NOT NULL UNIQUE CHECK (length(hash) = 32),
    sealed_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE ledger_seal (
    transaction_id uuid PRIMARY KEY REFERENCES ledger_transaction,
    block_no bigint NOT NULL REFERENCES ledger_block
);
CREATE INDEX ledger_seal_block ON ledger_seal (block_no);
"""

# Every insert is looked at when its database transaction commits, whoever makes it.
BALANCED = """
CREATE FUNCTION check_transaction_balances() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    difference numeric;
    entries bigint;
BEGIN
    SELECT count(*), sum(CASE side WHEN 'D' THEN amount ELSE -amount END) INTO entries, difference
    FROM ledger_entry WHERE transaction_id = NEW.transaction_id;
    IF entries < 2 OR difference <> 0 THEN
        RAISE EXCEPTION 'ledger transaction % does not balance', NEW.transaction_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_transaction_balances';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER ledger_transaction_balances AFTER INSERT ON ledger_transaction
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_transaction_balances();
CREATE CONSTRAINT TRIGGER ledger_entry_balances AFTER INSERT ON ledger_entry
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_transaction_balances();
"""

APPEND_ONLY = """
-- A migration that must change rows says so: SET LOCAL billing.migrating = 'on', as the tables'
-- owner.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('billing.migrating', true) = 'on' AND pg_has_role(
        current_user, (SELECT relowner FROM pg_class WHERE oid = TG_RELID), 'USAGE') THEN
        RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
    END IF;
    RAISE EXCEPTION '% only ever grows', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$;
"""


def append_only(table: str) -> str:
    return f"""
    CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table}
        FOR EACH ROW EXECUTE FUNCTION refuse_change();
    CREATE TRIGGER {table}_never_emptied BEFORE TRUNCATE ON {table}
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
    """


def upgrade() -> None:
    op.execute(TABLES)
    op.execute(BALANCED)
    op.execute(APPEND_ONLY)
    grown = ("ledger_transaction", "ledger_entry", "ledger_block", "ledger_seal", "audit")
    for table in grown:
        op.execute(append_only(table))
    runtime = runtime_role()
    op.execute(f"GRANT SELECT, INSERT ON {', '.join(grown)}, ledger_account TO {runtime}")
    op.execute(f"GRANT UPDATE (balance, version, last_posted_at) ON ledger_account TO {runtime}")
