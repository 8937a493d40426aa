"""The price list's SQL."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from datetime import date

from apps.billing.prices.price import Price, PriceKey
from apps.kit.database import Connection

COLUMNS = """
    system, code, description, unit_price, currency, tax_category, revenue_group, valid_from,
        valid_to, version
"""
LOCK = 0x70726963  # "pric"


async def select_price(connection: Connection, key: PriceKey) -> Price | None:
    """Gives the highest version that is valid on the day."""
    return (await select_prices_of(connection, [key])).get(key)


async def select_prices_of(
    connection: Connection, keys: Iterable[PriceKey]
) -> dict[PriceKey, Price]:
    """Gives the highest version that is valid on the day, for each key that has one."""
    asked = list(dict.fromkeys(keys))
    rows = await connection.fetch(
        f"""
        SELECT {COLUMNS}, day FROM unnest($1::text[], $2::text[], $3::text[], $4::date[])
            AS asked (asked_system, asked_code, asked_currency, day)
        CROSS JOIN LATERAL (
            SELECT * FROM price
            WHERE code = asked_code AND system = asked_system AND currency = asked_currency
              AND valid_from <= day AND (valid_to IS NULL OR valid_to >= day)
            ORDER BY version DESC LIMIT 1) AS held""",  # noqa: S608 - columns of ours
        [key.system for key in asked],
        [key.code for key in asked],
        [key.currency for key in asked],
        [key.day for key in asked],
    )
    found: dict[PriceKey, Price] = {}
    for row in rows:
        values = dict(row)
        day = values.pop("day")
        found[PriceKey(row["system"], row["code"], row["currency"], day)] = Price(**values)
    return found


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
          AND ($2::date IS NULL OR valid_from <= $2 AND (valid_to IS NULL OR valid_to >= $2) AND NOT
              EXISTS (
              SELECT FROM price later
              WHERE (later.code, later.system, later.currency) = (p.code, p.system, p.currency)
                AND later.version > p.version AND later.valid_from <= $2
                AND (later.valid_to IS NULL OR later.valid_to >= $2)))
          AND ($3::text IS NULL OR (code, system, currency, version) > ($3, $4::text, $5::text,
              $6::bigint))
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
            SELECT DISTINCT * FROM unnest($1::text[], $2::text[], $3::text[]) AS given (code,
                system, currency)
        ) AS given USING (code, system, currency)""",  # noqa: S608 - columns of ours
        [price.code for price in prices],
        [price.system for price in prices],
        [price.currency for price in prices],
    )
    versions: dict[tuple[str, str, str], list[Price]] = {}
    for row in rows:
        versions.setdefault((row["code"], row["system"], row["currency"]), []).append(Price(**row))

    added: list[Price] = []
    # The higher version holds: what begins later must not be hidden by what a list names after it.
    for price in sorted(prices, key=lambda each: each.valid_from):
        known = versions.setdefault((price.code, price.system, price.currency), [])
        holding = held_on(known, price.valid_from)
        # A list that is loaded again adds nothing; a price that goes back to what it was is
        # a new version.
        if holding is not None and replace(holding, version=price.version) == price:
            continue
        version = max((each.version for each in known), default=0) + 1
        known.append(replace(price, version=version))
        added.append(known[-1])
    await connection.executemany(
        f"INSERT INTO price ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",  # noqa: S608
        [tuple(asdict(price).values()) for price in added],
    )
    return added


def held_on(versions: Sequence[Price], day: date) -> Price | None:
    """Gives the version that holds on a day: the highest of those that are valid then. Pure."""
    valid = [
        each
        for each in versions
        if each.valid_from <= day and (each.valid_to is None or each.valid_to >= day)
    ]
    return max(valid, key=lambda each: each.version, default=None)
