"""What is known of the layout of the stored rows: `record_layout`, one row that migrations and
reindexing write.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from apps.kit.database import Connection

# From this version on the index has contained resources.
CONTAINED_VERSION = 3


async def has_contained(connection: Connection) -> bool:
    """Returns whether the contained resources of all rows are indexed."""
    found: bool = await connection.fetchval(
        "SELECT index_version >= $1 FROM record_layout", CONTAINED_VERSION
    )
    return found


@dataclass(slots=True)
class Layout:
    """Tells which layout to write: the new one from `compact_from` on, which is read
    once a process.
    """

    _compact_from: datetime | None = None

    async def is_compact(self, connection: Connection) -> bool:
        """Returns whether no replica of the previous release runs any more."""
        if self._compact_from is None:
            self._compact_from = await connection.fetchval("SELECT compact_from FROM record_layout")
        return datetime.now(UTC) >= self._compact_from
