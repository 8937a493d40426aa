"""The text of mails with a link is encrypted while it waits. The previous release does not know
the column, and sends the text that stands in its place.
"""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.execute("ALTER TABLE mails ADD COLUMN sealed_body bytea")
