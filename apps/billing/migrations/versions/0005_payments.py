"""Payments, what they were allocated to, refunds, write-offs and cash days."""

from alembic import op

from apps.kit.migrations import runtime_role

revision = "0005"
down_revision = "0004"

TABLES = """
CREATE TABLE cash_day (
    cash_day_id uuid PRIMARY KEY,
    desk text NOT NULL CHECK (desk <> ''),
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    status text NOT NULL CHECK (status IN ('open', 'counted', 'closed')),
    version bigint NOT NULL DEFAULT 1 CHECK (version > 0),
    opening bigint NOT NULL CHECK (opening >= 0),
    -- What was paid less what was given back in cash since the opening.
    taken bigint NOT NULL DEFAULT 0,
    counted bigint CHECK (counted >= 0),
    opened_by text NOT NULL,
    closed_by text,
    opened_at timestamptz NOT NULL DEFAULT now(),
    closed_at timestamptz,
    CHECK ((status = 'open') = (counted IS NULL))
);
CREATE UNIQUE INDEX cash_day_one_open ON cash_day (currency) WHERE status <> 'closed';

CREATE TABLE payment (
    payment_id uuid PRIMARY KEY,
    account_id uuid NOT NULL,
    currency text NOT NULL,
    payer_id text NOT NULL DEFAULT '',
    method text NOT NULL CHECK (method IN ('cash', 'card', 'transfer')),
    amount bigint NOT NULL CHECK (amount > 0),
    refunded bigint NOT NULL DEFAULT 0 CHECK (refunded >= 0),
    allocated bigint NOT NULL DEFAULT 0 CHECK (allocated >= 0),
    version bigint NOT NULL DEFAULT 1 CHECK (version > 0),
    reference text NOT NULL DEFAULT '',
    receipt_number text NOT NULL UNIQUE,
    received_at timestamptz NOT NULL,
    cash_day_id uuid REFERENCES cash_day,
    created_at timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (account_id, currency) REFERENCES account (account_id, currency),
    CHECK (refunded + allocated <= amount)
);
CREATE INDEX payment_account ON payment (account_id, payment_id);

-- Below zero: taken back from the invoice.
CREATE TABLE allocation (
    allocation_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    payment_id uuid NOT NULL REFERENCES payment,
    invoice_id uuid NOT NULL REFERENCES invoice,
    amount bigint NOT NULL CHECK (amount <> 0),
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX allocation_payment ON allocation (payment_id);
CREATE INDEX allocation_invoice ON allocation (invoice_id);

CREATE TABLE refund (
    refund_id uuid PRIMARY KEY,
    payment_id uuid NOT NULL REFERENCES payment,
    amount bigint NOT NULL CHECK (amount > 0),
    reason text NOT NULL,
    cash_day_id uuid REFERENCES cash_day,
    refunded_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX refund_payment ON refund (payment_id);

CREATE TABLE write_off (
    write_off_id uuid PRIMARY KEY,
    invoice_id uuid NOT NULL REFERENCES invoice,
    amount bigint NOT NULL CHECK (amount > 0),
    reason text NOT NULL CHECK (reason <> ''),
    status text NOT NULL CHECK (status IN ('pending', 'posted')),
    requested_by text NOT NULL,
    approved_by text,
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK (approved_by IS NULL OR approved_by <> requested_by)
);
CREATE INDEX write_off_invoice ON write_off (invoice_id);
"""


def upgrade() -> None:
    op.execute(TABLES)
    for table in ("allocation", "refund"):
        op.execute(f"""
            CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table}
                FOR EACH ROW EXECUTE FUNCTION refuse_change();
        """)
    runtime = runtime_role()
    op.execute(f"GRANT SELECT, INSERT ON allocation, refund TO {runtime}")
    op.execute(f"GRANT SELECT, INSERT, UPDATE ON payment, write_off, cash_day TO {runtime}")
