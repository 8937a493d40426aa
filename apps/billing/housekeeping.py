"""What billing does by itself from time to time: ships its first price list, and forgets
old request ids.
"""

import asyncio
import logging

import asyncpg

from apps.billing.books import Books
from apps.billing.prices.shipped import ensure_prices
from apps.kit.database import Connection
from apps.kit.errors import Unavailable
from apps.kit.logs import log_failure

CLEANING_SECONDS = 600.0
RETRY_SECONDS = 2.0
# A request that is repeated later than this is a new one.
REQUESTS_KEPT_DAYS = 30
CLEANED_ROWS = 10_000

log = logging.getLogger(__name__)


async def delete_old_requests(connection: Connection) -> None:
    await connection.execute(
        """
        DELETE FROM request WHERE ctid = ANY(ARRAY(
            SELECT ctid FROM request WHERE created_at < now() - make_interval(days => $1) LIMIT
                $2))""",
        REQUESTS_KEPT_DAYS,
        CLEANED_ROWS,
    )


async def keep_house(books: Books) -> None:
    """Runs until it is cancelled; a database that is away is waited for."""
    shipped = False
    while True:
        try:
            async with books.database.transaction() as connection:
                if not shipped:
                    categories = tuple(books.settings.tax_rates)
                    added = await ensure_prices(connection, books.settings.currency, categories)
                    if added:
                        log.info("price list shipped", extra={"prices": added})
                await delete_old_requests(connection)
            shipped = True
        except (Unavailable, asyncpg.PostgresError) as error:
            log.warning("housekeeping waits", extra={"error": type(error).__name__})
        except Exception as error:
            log_failure(error, "housekeeping failed")
        await asyncio.sleep(CLEANING_SECONDS if shipped else RETRY_SECONDS)
