"""How many mails with a link somebody was sent within the hour. The previous release does not
know the table.
"""

from alembic import op

from apps.kit.migrations import runtime_role

revision = "0005"
down_revision = "0004"

TABLE = """
CREATE TABLE mail_counts (
    key bytea PRIMARY KEY,
    mails integer NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX mail_counts_expiry ON mail_counts (expires_at);
"""


def upgrade() -> None:
    op.execute(TABLE)
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON mail_counts TO {runtime_role()}")
