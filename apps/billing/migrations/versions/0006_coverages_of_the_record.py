"""Coverages that the record names, and the account that a merged patient's charge came from."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    # Coverage.order, 0 where the record has none; NULL for a coverage that was set by call.
    op.execute("ALTER TABLE coverage ADD COLUMN record_order integer CHECK (record_order >= 0)")
    op.execute(
        "CREATE INDEX coverage_recorded ON coverage (coverage_id) WHERE record_order IS NOT NULL"
    )
    # Where a charge goes back to when the merge of its patient is undone.
    op.execute("ALTER TABLE charge_item ADD COLUMN origin_account_id uuid")
