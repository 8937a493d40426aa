"""The index has contained resources too: a new database has nothing to index anew."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "UPDATE record_layout SET index_version = 3, target_version = 3"
        " WHERE index_version = 2 AND NOT EXISTS (SELECT FROM resource)"
    )
