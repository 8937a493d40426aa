"""What operators did with dead letters: read again with success, or discarded."""

from alembic import op

from apps.kit.migrations import runtime_role

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    # Without a default no row is written again; the previous release does not know the columns.
    op.execute("""
        ALTER TABLE dead_letter
            ADD COLUMN handled text CHECK (handled IN ('redriven', 'discarded')),
            ADD COLUMN handled_at timestamptz
    """)
    op.execute(f"GRANT UPDATE (handled, handled_at) ON dead_letter TO {runtime_role()}")
