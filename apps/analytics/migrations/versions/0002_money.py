"""What figures of money and of care are made of, and how a dead letter was settled."""

from alembic import op

from apps.kit.migrations import let_dead_letters_be_resolved, runtime_role

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    # Defaults, so that the previous release goes on writing while this one rolls out.
    op.execute("""
        ALTER TABLE fact
            ADD COLUMN status text NOT NULL DEFAULT '',
            ADD COLUMN ended_at timestamptz,
            ADD COLUMN reason_system text NOT NULL DEFAULT '',
            ADD COLUMN reason_code text NOT NULL DEFAULT ''
    """)
    op.execute("""
        CREATE INDEX fact_patient ON fact (resource_type, patient_id, effective_at)
        WHERE NOT deleted
    """)
    # A charge is added and may be voided, whichever event comes first.
    op.execute("""
        CREATE TABLE charge (
            charge_item_id text PRIMARY KEY,
            patient_id text NOT NULL,
            effective_at timestamptz NOT NULL,
            currency text NOT NULL,
            system text NOT NULL,
            code text NOT NULL,
            revenue_group text NOT NULL,
            net bigint NOT NULL,
            voided boolean NOT NULL
        )
    """)
    op.execute("CREATE INDEX charge_effective_at ON charge (effective_at) WHERE NOT voided")
    # Every version, so that what was open can be told for any day.
    op.execute("""
        CREATE TABLE invoice_version (
            invoice_id text NOT NULL,
            version bigint NOT NULL,
            event_type text NOT NULL,
            patient_id text NOT NULL,
            payer_id text NOT NULL,
            effective_at timestamptz NOT NULL,
            currency text NOT NULL,
            total bigint NOT NULL,
            open bigint NOT NULL,
            issued_on date NOT NULL,
            due_on date,
            PRIMARY KEY (invoice_id, version)
        )
    """)
    # What each invoice and each credit note brought or took, by revenue group; `document` is empty
    # for the invoice and the credit note's number otherwise, whose amounts are negative.
    op.execute("""
        CREATE TABLE revenue (
            invoice_id text NOT NULL,
            document text NOT NULL,
            revenue_group text NOT NULL,
            payer_id text NOT NULL,
            effective_at timestamptz NOT NULL,
            currency text NOT NULL,
            net bigint NOT NULL,
            tax bigint NOT NULL,
            PRIMARY KEY (invoice_id, document, revenue_group)
        )
    """)
    op.execute("CREATE INDEX revenue_effective_at ON revenue (effective_at)")
    # `refund_id` is empty for the payment itself; a refund's amount is negative.
    op.execute("""
        CREATE TABLE payment (
            payment_id text NOT NULL,
            refund_id text NOT NULL,
            patient_id text NOT NULL,
            payer_id text NOT NULL,
            effective_at timestamptz NOT NULL,
            currency text NOT NULL,
            method text NOT NULL,
            amount bigint NOT NULL,
            PRIMARY KEY (payment_id, refund_id)
        )
    """)
    op.execute("CREATE INDEX payment_effective_at ON payment (effective_at)")
    op.execute(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON charge, invoice_version, revenue, payment"
        f" TO {runtime_role()}"
    )
    let_dead_letters_be_resolved()
