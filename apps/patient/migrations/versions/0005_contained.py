"""The index has contained resources and systems without a code too: a new database has nothing to
index anew.
"""

from alembic import op

from apps.kit.migrations import is_new_database

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # An empty one of the previous release may still be written to by it.
    if is_new_database():
        op.execute("UPDATE record_layout SET index_version = 4, target_version = 4")
