"""Write-offs that were refused, and the order in which those that wait are listed."""

from alembic import op

revision = "0009"
down_revision = "0008"

COLUMNS = """
ALTER TABLE write_off ADD COLUMN refused_by text,
    ADD COLUMN refusal_reason text NOT NULL DEFAULT '',
    DROP CONSTRAINT write_off_status_check,
    ADD CONSTRAINT write_off_status_check
        CHECK (status IN ('pending', 'posted', 'refused')),
    ADD CONSTRAINT write_off_refused_check
        CHECK ((status = 'refused') = (refused_by IS NOT NULL AND refusal_reason <> ''));
CREATE INDEX write_off_status ON write_off (status, write_off_id);
"""


def upgrade() -> None:
    # Of few rows: checked and indexed at once.
    op.execute(COLUMNS)
