"""The price list's SQL."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import date

from apps.billing.prices.price import Price
from apps.kit.database import Connection

COLUMNS = """
    system, code, description, unit_price, currency, tax_category, revenue_group, valid_from, valid_to, version
"""
LOCK = 0x70726963  # "pric"


async def select_price(
    connection: Connection, *, system: str, code: str, currency: str, day: date
) -> Price | None:
    """Gives the highest version that is valid on a day."""
    row = await connection.fetchrow(
        f"""
        SELECT {COLUMNS} FROM price
        WHERE code = $1 AND system = $2 AND currency = $3 AND valid_from <= $4 AND (valid_to IS NULL OR valid_to >= $4)
        ORDER BY version DESC LIMIT 1""",  # noqa: S608 - columns of ours
        code,
        system,
        currency,
        day,
    )
    return Price(**row) if row else None


async def select_prices(
    connection: Connection,
    *,
    code: str,
    valid_on: date | None,
    after: Sequence[str | int] | None,
    limit: int,
) -> list[Price]:
    """Gives versions in the order of code, system, currency and version."""
    rows = await connection.fetch(
        f"""
        SELECT {COLUMNS} FROM price p
        WHERE ($1 = '' OR code = $1)
          AND ($2::date IS NULL OR valid_from <= $2 AND (valid_to IS NULL OR valid_to >= $2) AND NOT EXISTS (
              SELECT FROM price later
              WHERE (later.code, later.system, later.currency) = (p.code, p.system, p.currency)
                AND later.version > p.version AND later.valid_from <= $2
                AND (later.valid_to IS NULL OR later.valid_to >= $2)))
          AND ($3::text IS NULL OR (code, system, currency, version) > ($3, $4::text, $5::text, $6::bigint))
        ORDER BY code, system, currency, version LIMIT $7""",  # noqa: S608 - columns of ours
        code,
        valid_on,
        *(after or (None, "", "", 0)),
        limit,
    )
    return [Price(**row) for row in rows]


async def insert_prices(connection: Connection, prices: Sequence[Price]) -> list[Price]:
    """Adds those as new versions that say anything new; gives the versions added."""
    # One list at a time: two could draw the same version.
    await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
    rows = await connection.fetch(
        f"""
        SELECT {COLUMNS} FROM price JOIN (
            SELECT DISTINCT * FROM unnest($1::text[], $2::text[], $3::text[]) AS given (code, system, currency)
        ) AS given USING (code, system, currency)""",  # noqa: S608 - columns of ours
        [price.code for price in prices],
        [price.system for price in prices],
        [price.currency for price in prices],
    )
    latest: dict[tuple[str, str, str], int] = {}
    known: set[tuple[object, ...]] = set()
    for row in rows:
        stored = Price(**row)
        key = (stored.code, stored.system, stored.currency)
        latest[key] = max(latest.get(key, 0), stored.version)
        known.add(_content(stored))

    added: list[Price] = []
    for price in prices:
        if _content(price) in known:
            continue
        key = (price.code, price.system, price.currency)
        latest[key] = latest.get(key, 0) + 1
        added.append(Price(**{**asdict(price), "version": latest[key]}))
    await connection.executemany(
        f"INSERT INTO price ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",  # noqa: S608
        [tuple(asdict(price).values()) for price in added],
    )
    return added


def _content(price: Price) -> tuple[object, ...]:
    """What two versions that are the same have in common: a list that is loaded again adds nothing."""
    return tuple(value for name, value in asdict(price).items() if name != "version")
