"""Brings a service's database to the newest of `apps/<service>/migrations/versions`, as its owner,
by Alembic.
"""

import logging
from importlib.resources import files
from pathlib import Path
from typing import Any

import sqlalchemy
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy.pool import NullPool

# A migration that must wait for a lock makes everything behind it wait as well: it rather fails,
# and is tried again.
LOCK_TIMEOUT_MS = 5_000
STATEMENT_TIMEOUT_MS = 300_000
# Another release may be migrating: it is waited for.
TURN_TIMEOUT_MS = 120_000
ADVISORY_LOCK = 0x6D696772  # "migr"
CONNECT_TIMEOUT_SECONDS = 10

log = logging.getLogger(__name__)


def migrate(
    owner_url: str, service: str, *, runtime_role: str, **connect_arguments: Any
) -> str | None:
    """Applies what is missing, each migration in a transaction of its own, and gives the revision
    that it is at.

    None where the service has no migration. Two at once are safe: the second waits, and finds
    nothing to do.
    """
    script = scripts(service)
    if script is None:
        return None
    config = Config()
    config.attributes["runtime_role"] = runtime_role
    engine = sqlalchemy.create_engine(
        sqlalchemy.make_url(owner_url).set(drivername="postgresql+psycopg"),
        poolclass=NullPool,
        connect_args={"connect_timeout": CONNECT_TIMEOUT_SECONDS, **connect_arguments},
    )
    with engine.connect() as connection:
        with connection.begin():
            connection.exec_driver_sql(f"SET lock_timeout = {TURN_TIMEOUT_MS}")
            connection.exec_driver_sql(f"SELECT pg_advisory_lock({ADVISORY_LOCK})")
            connection.exec_driver_sql(f"SET lock_timeout = {LOCK_TIMEOUT_MS}")
            connection.exec_driver_sql(f"SET statement_timeout = {STATEMENT_TIMEOUT_MS}")

        def upgrade(revision: Any, context: Any) -> Any:
            config.attributes["is_new"] = not revision
            steps = script._upgrade_revs("heads", revision)
            if steps:
                log.info("migrating", extra={"database": service, "steps": len(steps)})
            return steps

        with EnvironmentContext(config, script, fn=upgrade) as environment:
            environment.configure(connection=connection, transaction_per_migration=True)
            environment.run_migrations()
    return script.get_current_head()


def scripts(service: str) -> ScriptDirectory | None:
    folder = Path(str(files("apps") / service / "migrations"))
    return (
        ScriptDirectory(str(folder), version_locations=[str(folder / "versions")])
        if folder.is_dir()
        else None
    )
