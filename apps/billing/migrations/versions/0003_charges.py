"""The price list, coverages, and what was charged."""

from alembic import op

from apps.kit.migrations import create_consumer_tables, runtime_role

revision = "0003"
down_revision = "0002"

TABLES = """
-- A table of its own: the release before this one takes whole rows of `account`.
CREATE TABLE account_merge (
    account_id uuid PRIMARY KEY REFERENCES account,
    merged_into uuid NOT NULL REFERENCES account CHECK (merged_into <> account_id),
    merged_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE account ADD CONSTRAINT account_currency UNIQUE (account_id, currency);
-- The first answer, given again to the same request.
ALTER TABLE request ADD COLUMN response bytea;
CREATE INDEX request_age ON request (created_at);
-- Prices and cash days belong to no account.
ALTER TABLE audit ALTER COLUMN account_id DROP NOT NULL;
ALTER TABLE audit ADD COLUMN document_id text NOT NULL DEFAULT '';

-- Versions are added and never changed; of those that are valid on a day the highest holds.
CREATE TABLE price (
    system text COLLATE "C" NOT NULL,
    code text COLLATE "C" NOT NULL CHECK (code <> ''),
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    version bigint NOT NULL CHECK (version > 0),
    description text NOT NULL,
    unit_price bigint NOT NULL CHECK (unit_price >= 0),
    tax_category text NOT NULL,
    revenue_group text NOT NULL,
    valid_from date NOT NULL,
    valid_to date CHECK (valid_to >= valid_from),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (code, system, currency, version)
);

CREATE TABLE coverage (
    account_id uuid NOT NULL REFERENCES account,
    position smallint NOT NULL CHECK (position > 0),
    payer_id text NOT NULL CHECK (payer_id <> ''),
    payer_name text NOT NULL,
    share text NOT NULL CHECK (share IN ('percent', 'fixed', 'copayment')),
    percent_basis_points integer NOT NULL CHECK (percent_basis_points BETWEEN 0 AND 10000),
    amount bigint NOT NULL CHECK (amount >= 0),
    coverage_id text NOT NULL,
    valid_from date,
    valid_to date CHECK (valid_to >= valid_from),
    PRIMARY KEY (account_id, position)
);

CREATE TABLE charge_item (
    charge_item_id uuid PRIMARY KEY,
    account_id uuid NOT NULL,
    currency text NOT NULL,
    status text NOT NULL CHECK (status IN ('billable', 'billed', 'voided', 'unpriced')),
    version bigint NOT NULL DEFAULT 1 CHECK (version > 0),
    system text NOT NULL,
    code text NOT NULL,
    description text NOT NULL,
    quantity numeric(12, 3) NOT NULL CHECK (quantity > 0),
    unit_price bigint CHECK (unit_price >= 0),
    discount_basis_points integer NOT NULL DEFAULT 0 CHECK (discount_basis_points BETWEEN 0 AND
        10000),
    discount_amount bigint NOT NULL DEFAULT 0 CHECK (discount_amount >= 0),
    discount_reason text NOT NULL DEFAULT '',
    tax_category text NOT NULL,
    revenue_group text NOT NULL,
    net bigint CHECK (net >= 0),
    encounter_id text NOT NULL DEFAULT '',
    occurred_at timestamptz NOT NULL,
    source_type text NOT NULL DEFAULT '',
    source_id text NOT NULL DEFAULT '',
    source_version bigint NOT NULL DEFAULT 0,
    needs_credit boolean NOT NULL DEFAULT false,
    void_reason text NOT NULL DEFAULT '',
    invoice_id uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (account_id, currency) REFERENCES account (account_id, currency),
    CHECK ((status = 'unpriced') <= (unit_price IS NULL)),
    CHECK ((unit_price IS NULL) = (net IS NULL))
);
CREATE INDEX charge_item_account ON charge_item (account_id, charge_item_id);
CREATE INDEX charge_item_open ON charge_item (account_id) WHERE status IN ('billable', 'unpriced');
CREATE INDEX charge_item_unpriced ON charge_item (code) WHERE status = 'unpriced';
CREATE INDEX charge_item_invoice ON charge_item (invoice_id) WHERE invoice_id IS NOT NULL;
-- A resource of the record is charged once, however often its events come.
CREATE UNIQUE INDEX charge_item_source ON charge_item (source_type, source_id)
    WHERE source_type <> '' AND status <> 'voided' AND NOT needs_credit;

-- The latest version of each resource that billing has seen: what comes again or late changes
-- nothing.
CREATE TABLE charge_source (
    source_type text COLLATE "C" NOT NULL,
    source_id text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    PRIMARY KEY (source_type, source_id)
);

-- As in the patient service: apps/kit/outbox.py.
CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    destination text NOT NULL CHECK (destination IN ('kafka')),
    patient_id text COLLATE "C" NOT NULL,
    event_id text NOT NULL,
    payload bytea NOT NULL,
    request_id text NOT NULL,
    traceparent text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    held_until timestamptz,
    parked boolean NOT NULL DEFAULT false,
    reason text,
    UNIQUE (destination, event_id),
    CHECK (NOT parked OR reason IS NOT NULL)
);
CREATE INDEX outbox_unsent ON outbox (destination, id);
CREATE INDEX outbox_held ON outbox (destination, patient_id) WHERE parked OR held_until IS NOT NULL;
"""


def upgrade() -> None:
    op.execute(TABLES)
    create_consumer_tables()
    op.execute("""
        CREATE TRIGGER price_append_only BEFORE UPDATE OR DELETE ON price
            FOR EACH ROW EXECUTE FUNCTION refuse_change();
    """)
    runtime = runtime_role()
    op.execute(f"GRANT SELECT, INSERT ON price TO {runtime}")
    op.execute(f"GRANT SELECT, INSERT, UPDATE ON charge_item, charge_source TO {runtime}")
    op.execute(f"GRANT SELECT, INSERT, DELETE ON coverage, account_merge TO {runtime}")
    op.execute(f"GRANT DELETE ON request TO {runtime}")
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON outbox TO {runtime}")
