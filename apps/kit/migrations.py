"""What a migration asks the release for."""

from alembic import op
from psycopg import sql


def runtime_role() -> str:
    """The role that the service runs as, quoted as an SQL identifier: a preview's is called otherwise."""
    config = op.get_context().config
    assert config is not None
    return sql.Identifier(config.attributes["runtime_role"]).as_string()
