"""What was asked for under an `Idempotency-Key`, for a day."""

from alembic import op

from apps.kit.migrations import runtime_role

revision = "0002"
down_revision = "0001"

TABLE = """
CREATE TABLE idempotency_key (
    client_id text NOT NULL,
    subject text NOT NULL,
    method text NOT NULL,
    path text NOT NULL,
    key text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    body_sha256 text NOT NULL CHECK (length(body_sha256) = 64),
    -- The id of the user or client that it was about.
    reference text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (client_id, subject, method, path, key)
);
CREATE INDEX idempotency_key_age ON idempotency_key (created_at);
"""


def upgrade() -> None:
    op.execute(TABLE)
    op.execute(f"GRANT SELECT, INSERT, DELETE ON idempotency_key TO {runtime_role()}")
