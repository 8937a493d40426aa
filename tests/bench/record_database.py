"""A migrated database of the patient service on a PostgreSQL of its own, gone at the end."""

import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from apps.release.bootstrap import DatabaseRoles, bootstrap
from apps.release.migrate import migrate


@contextmanager
def made_database(open_server: Callable[..., AbstractContextManager[Any]]) -> Iterator[str]:
    """Yields the URL of the service's own role."""
    password = secrets.token_urlsafe(12)
    roles = DatabaseRoles("patient")
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o711)
        with open_server(Path(folder), durable=False) as server:
            bootstrap(server.admin_url, ("patient",), password_of=lambda role: password)
            runtime, owner = (
                f"postgresql://{role}:{password}@{server.host}:{server.port}/{roles.database}"
                for role in (roles.runtime, roles.owner)
            )
            migrate(owner, "patient", runtime_role=roles.runtime)
            yield runtime
