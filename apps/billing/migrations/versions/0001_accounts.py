"""Accounts, the requests that were answered, and the audit trail."""

from alembic import op

from apps.kit.migrations import runtime_role

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE account (
            account_id uuid PRIMARY KEY,
            patient_id text NOT NULL UNIQUE CHECK (patient_id ~ '^[A-Za-z0-9.-]{1,64}$'),
            status text NOT NULL CHECK (status IN ('active', 'on-hold', 'inactive')),
            currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
            version bigint NOT NULL CHECK (version > 0),
            created_at timestamptz NOT NULL DEFAULT now(),
            updated_at timestamptz NOT NULL DEFAULT now()
        )
    """)
    # A request id is its caller's own: another's neither collides with it nor learns what it made.
    op.execute("""
        CREATE TABLE request (
            client_id text NOT NULL,
            subject text NOT NULL,
            request_id text NOT NULL,
            method text NOT NULL,
            request_hash bytea NOT NULL,
            resource_id uuid NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (client_id, subject, request_id)
        )
    """)
    op.execute("""
        CREATE TABLE audit (
            audit_id uuid PRIMARY KEY,
            occurred_at timestamptz NOT NULL DEFAULT now(),
            action text NOT NULL,
            account_id uuid NOT NULL REFERENCES account,
            subject text NOT NULL,
            client_id text NOT NULL,
            service_id text NOT NULL,
            correlation_id text NOT NULL
        )
    """)
    op.execute("CREATE INDEX audit_account ON audit (account_id, occurred_at)")
    runtime = runtime_role()
    op.execute(f"GRANT SELECT, INSERT, UPDATE ON account TO {runtime}")
    op.execute(f"GRANT SELECT, INSERT ON request, audit TO {runtime}")
