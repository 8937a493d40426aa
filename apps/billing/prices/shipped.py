"""The small price list that ships with billing: the encounters, procedures and immunizations of
Synthea's people.
"""

from importlib.resources import files

from apps.billing.prices.price import Price, parse_csv
from apps.billing.prices.storage import insert_prices
from apps.kit.database import Connection


def read_shipped_prices(currency: str, tax_categories: tuple[str, ...]) -> list[Price]:
    """Reads the small list that ships with billing; its amounts are of the
    platform's own currency.
    """
    text = (files("apps.billing.prices") / "price_list.csv").read_text()
    prices, faults = parse_csv(text, currency, tax_categories)
    if faults:
        raise ValueError(f"price_list.csv: {faults[0]}")
    return prices


async def ensure_prices(
    connection: Connection, currency: str, tax_categories: tuple[str, ...]
) -> int:
    """Adds the shipped list where there is no price at all; the number of prices added."""
    if await connection.fetchval("SELECT EXISTS (SELECT FROM price)"):
        return 0
    return len(await insert_prices(connection, read_shipped_prices(currency, tax_categories)))
