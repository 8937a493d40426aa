"""Lets the relays clear the outbox of the rows that were sent."""

from alembic import op

from apps.kit.migrations import runtime_role

revision = "0004"
down_revision = "0003a"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(f"GRANT MAINTAIN ON outbox TO {runtime_role()}")
