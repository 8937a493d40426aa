"""Invoices, credit notes and their gapless numbers."""

from alembic import op

from apps.kit.migrations import runtime_role

revision = "0004"
down_revision = "0003"

TABLES = """
-- The last number drawn, by series and year: a number is drawn in the transaction that uses it, so
-- none is lost.
CREATE TABLE number_series (
    series text NOT NULL CHECK (series IN ('invoice', 'credit_note', 'receipt')),
    year integer NOT NULL,
    last_number bigint NOT NULL CHECK (last_number > 0),
    PRIMARY KEY (series, year)
);

CREATE TABLE invoice (
    invoice_id uuid PRIMARY KEY,
    account_id uuid NOT NULL,
    currency text NOT NULL,
    -- The patient's invoice and the payers' for the same charges have the first one's id.
    group_id uuid NOT NULL,
    status text NOT NULL CHECK (status IN ('draft', 'issued', 'balanced', 'cancelled')),
    version bigint NOT NULL DEFAULT 1 CHECK (version > 0),
    payer_id text NOT NULL DEFAULT '',
    payer_name text NOT NULL DEFAULT '',
    number text UNIQUE,
    net bigint NOT NULL DEFAULT 0 CHECK (net >= 0),
    tax bigint NOT NULL DEFAULT 0 CHECK (tax >= 0),
    total bigint NOT NULL DEFAULT 0,
    paid bigint NOT NULL DEFAULT 0 CHECK (paid >= 0),
    credited bigint NOT NULL DEFAULT 0 CHECK (credited >= 0),
    written_off bigint NOT NULL DEFAULT 0 CHECK (written_off >= 0),
    payment_days integer NOT NULL CHECK (payment_days BETWEEN 0 AND 365),
    terms text NOT NULL DEFAULT '',
    issued_on date,
    due_on date,
    cancel_reason text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    issued_at timestamptz,
    FOREIGN KEY (account_id, currency) REFERENCES account (account_id, currency),
    CHECK (total = net + tax),
    CHECK (paid + credited + written_off <= total),
    CHECK ((number IS NULL) = (issued_on IS NULL)),
    CHECK (status NOT IN ('issued', 'balanced') OR number IS NOT NULL)
);
CREATE INDEX invoice_account ON invoice (account_id, invoice_id);
CREATE INDEX invoice_group ON invoice (group_id);
CREATE INDEX invoice_due ON invoice (due_on, invoice_id) WHERE status = 'issued';

CREATE TABLE invoice_line (
    invoice_id uuid NOT NULL REFERENCES invoice,
    line integer NOT NULL CHECK (line > 0),
    charge_item_id uuid NOT NULL REFERENCES charge_item,
    system text NOT NULL,
    code text NOT NULL,
    description text NOT NULL,
    quantity numeric(12, 3) NOT NULL,
    unit_price bigint NOT NULL,
    discount bigint NOT NULL CHECK (discount >= 0),
    discount_reason text NOT NULL,
    -- Shared with another invoice: net, tax and total are this one's part of it.
    is_share boolean NOT NULL,
    net bigint NOT NULL CHECK (net >= 0),
    tax bigint NOT NULL CHECK (tax >= 0),
    total bigint NOT NULL,
    tax_category text NOT NULL,
    tax_basis_points integer NOT NULL CHECK (tax_basis_points BETWEEN 0 AND 10000),
    revenue_group text NOT NULL,
    service_on date NOT NULL,
    PRIMARY KEY (invoice_id, line),
    CHECK (total = net + tax)
);

CREATE TABLE credit_note (
    credit_note_id uuid PRIMARY KEY,
    invoice_id uuid NOT NULL REFERENCES invoice,
    number text NOT NULL UNIQUE,
    net bigint NOT NULL CHECK (net >= 0),
    tax bigint NOT NULL CHECK (tax >= 0),
    total bigint NOT NULL,
    issued_on date NOT NULL,
    reason text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK (total = net + tax)
);
CREATE INDEX credit_note_invoice ON credit_note (invoice_id);

CREATE TABLE credit_note_line (
    credit_note_id uuid NOT NULL REFERENCES credit_note,
    invoice_id uuid NOT NULL,
    line integer NOT NULL,
    net bigint NOT NULL CHECK (net >= 0),
    tax bigint NOT NULL CHECK (tax >= 0),
    PRIMARY KEY (credit_note_id, line),
    FOREIGN KEY (invoice_id, line) REFERENCES invoice_line (invoice_id, line)
);
"""

# What may change once an invoice has its number: what came of it, never what it says.
FROZEN = """
CREATE FUNCTION refuse_change_of_issued() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.number IS NOT NULL AND (
        NEW.number, NEW.account_id, NEW.currency, NEW.group_id, NEW.payer_id, NEW.payer_name,
            NEW.net, NEW.tax,
        NEW.total, NEW.payment_days, NEW.terms, NEW.issued_on, NEW.due_on, NEW.issued_at
    ) IS DISTINCT FROM (
        OLD.number, OLD.account_id, OLD.currency, OLD.group_id, OLD.payer_id, OLD.payer_name,
            OLD.net, OLD.tax,
        OLD.total, OLD.payment_days, OLD.terms, OLD.issued_on, OLD.due_on, OLD.issued_at
    ) THEN
        RAISE EXCEPTION 'an issued invoice never changes' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER invoice_frozen BEFORE UPDATE ON invoice FOR EACH ROW EXECUTE FUNCTION
    refuse_change_of_issued();
"""


def upgrade() -> None:
    op.execute(TABLES)
    op.execute(FROZEN)
    grown = ("invoice_line", "credit_note", "credit_note_line")
    for table in grown:
        op.execute(f"""
            CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table}
                FOR EACH ROW EXECUTE FUNCTION refuse_change();
        """)
    runtime = runtime_role()
    op.execute(f"GRANT SELECT, INSERT ON {', '.join(grown)} TO {runtime}")
    op.execute(f"GRANT SELECT, INSERT, UPDATE ON invoice, number_series TO {runtime}")
