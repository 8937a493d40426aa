"""What a migration asks the release for."""

from alembic import op
from psycopg import sql


def runtime_role() -> str:
    """Returns the role that the service runs as, quoted as an SQL identifier: a preview's is
    called otherwise.
    """
    config = op.get_context().config
    assert config is not None
    return sql.Identifier(config.attributes["runtime_role"]).as_string()


def build_index(name: str, definition: str) -> None:
    """Builds an index without a lock on its table, such as `x` by "ON t (c)".

    It commits what the migration did before, so it stands in a migration by itself: one that is
    broken off is run again from its beginning. What such a run left behind is dropped.
    """
    with op.get_context().autocommit_block():
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
        op.execute(f"CREATE INDEX CONCURRENTLY {name} {definition}")


def is_new_database() -> bool:
    """Tells whether this run made the first table: no previous release writes to the database."""
    config = op.get_context().config
    assert config is not None
    return bool(config.attributes["is_new"])


def create_consumer_tables() -> None:
    """Creates what `apps.kit.event_storage` keeps, and grants it to the runtime role."""
    op.execute("""
        CREATE TABLE consumed (
            topic text NOT NULL,
            partition integer NOT NULL,
            next_offset bigint NOT NULL CHECK (next_offset >= 0),
            updated_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (topic, partition)
        )
    """)
    op.execute("""
        CREATE TABLE seen_event (
            event_id uuid PRIMARY KEY, seen_at timestamptz NOT NULL DEFAULT now()
        )
    """)
    op.execute("CREATE INDEX seen_event_seen_at ON seen_event (seen_at)")
    op.execute("""
        CREATE TABLE dead_letter (
            topic text NOT NULL,
            partition integer NOT NULL,
            record_offset bigint NOT NULL,
            reason text NOT NULL,
            recorded_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (topic, partition, record_offset)
        )
    """)
    runtime = runtime_role()
    op.execute(f"GRANT SELECT, INSERT, UPDATE ON consumed TO {runtime}")
    op.execute(f"GRANT SELECT, INSERT, DELETE ON seen_event TO {runtime}")
    op.execute(f"GRANT SELECT, INSERT ON dead_letter TO {runtime}")
    let_dead_letters_be_resolved()


def let_dead_letters_be_resolved() -> None:
    """Adds how an operator settled a dead letter; for databases whose table has it not yet."""
    op.execute("""
        ALTER TABLE dead_letter
            ADD COLUMN resolution text NOT NULL DEFAULT ''
                CHECK (resolution IN ('', 'redriven', 'discarded')),
            ADD COLUMN note text NOT NULL DEFAULT '',
            ADD COLUMN resolved_at timestamptz
    """)
    runtime = runtime_role()
    op.execute(f"GRANT UPDATE (resolution, note, resolved_at) ON dead_letter TO {runtime}")
