"""Entries that count at another time than they were written down, found by the time
that lies between.
"""

from alembic import op

revision = "0007"
down_revision = "0006a"

# The seconds since 1970 do not depend on the session's time zone, as PostgreSQL must
# assume of `extract`.
FUNCTION = """
    CREATE FUNCTION shift_of(account uuid, posted timestamptz, effective timestamptz) RETURNS box
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
        SELECT box(point(uuid_hash(account), extract(epoch FROM posted)::float8),
                   point(uuid_hash(account), extract(epoch FROM effective)::float8))
    $$
"""


def upgrade() -> None:
    op.execute(FUNCTION)
