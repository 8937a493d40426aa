"""Books in several currencies, exported page by page, and what their accounts should come to."""

from decimal import Decimal

from apps.billing.ledger.export import account_name
from apps.billing.money import as_decimal
from tests.billing.conftest import Client


async def export(billing: Client, kind: str) -> str:
    text, token = "", ""
    while True:
        page = await billing.do(
            "ExportLedger", format=f"EXPORT_FORMAT_{kind}", page_size=2, page_token=token
        )
        text += str(page.content)
        token = str(page.next_page_token)
        if not token:
            return text


async def fill_books(billing: Client) -> dict[tuple[str, str], Decimal]:
    """Bills and pays in three currencies; the balance of each account by its exported
    name and currency.
    """
    for currency in ("USD", "JPY", "KWD"):
        account_id = await billing.account(currency=currency)
        await billing.invoice(account_id, 1_001, tax_category="standard")
        await billing.pay(account_id, 1_500)
    async with billing.database.connection() as connection:
        rows = await connection.fetch(
            "SELECT kind, coalesce(account_id::text, '') AS owner, party, name, currency, balance "
            "FROM ledger_account"
        )
    return {
        (
            account_name(row["kind"], row["owner"], row["party"], row["name"]),
            row["currency"],
        ): as_decimal(row["balance"], row["currency"])
        for row in rows
    }
