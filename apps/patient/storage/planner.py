"""How PostgreSQL plans the service's statements (docs/decisions/0306-search-index.md)."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from apps.kit.database import Connection

# A plan follows from a statement's text: index ranges, joined one row at a time. Planned once a
# connection, it costs nothing later, and neither missing statistics nor those of a bulk load turn
# it into a scan.
PLANNER_SETTINGS: Mapping[str, str] = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    # It would collect all that match, to sort them, where the index has the order of the page.
    "enable_bitmapscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
}


@asynccontextmanager
async def with_bitmaps(connection: Connection) -> AsyncIterator[None]:
    """Lets statements read GIN indexes, which have no other scan."""
    async with connection.transaction():
        await connection.execute("SET LOCAL enable_bitmapscan = on")
        yield
