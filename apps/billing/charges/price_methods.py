"""The methods of the price list."""

from apps.billing.access import READ, WRITE
from apps.billing.books import Books, Change
from apps.billing.charges.storage import price_waiting_charges
from apps.billing.pages import read_page_size, read_token, write_token
from apps.billing.parsing import Fields
from apps.billing.prices.price import Price, PriceFault, parse_csv, parse_prices, render_price
from apps.billing.prices.storage import insert_prices, select_prices
from apps.kit.rpc import Caller, RpcMethod
from protos.billing.v1 import billing_pb2 as pb


class PriceMethods:
    def __init__(self, books: Books) -> None:
        self._books = books

    def table(self) -> tuple[RpcMethod, ...]:
        return (
            RpcMethod("ListPrices", READ, self.list_prices),
            RpcMethod("SetPrices", WRITE, self.set_prices),
        )

    async def list_prices(
        self, message: pb.ListPricesRequest, caller: Caller
    ) -> pb.ListPricesResponse:
        fields = Fields()
        valid_on = fields.day("valid_on", message.valid_on)
        code = fields.text("code", message.code, limit=64)
        fields.check()
        size = read_page_size(message.page_size)
        after = read_token(message.page_token, (str, str, str, int))
        async with self._books.database.connection() as connection:
            prices = await select_prices(
                connection, code=code, valid_on=valid_on, after=after, limit=size + 1
            )
        token = ""
        if len(prices) > size:
            last = prices[size - 1]
            token = write_token(last.code, last.system, last.currency, last.version)
        return pb.ListPricesResponse(
            prices=[render_price(price) for price in prices[:size]], next_page_token=token
        )

    async def set_prices(
        self, message: pb.SetPricesRequest, caller: Caller
    ) -> pb.SetPricesResponse:
        prices, faults = self._parse(message)
        if faults or message.dry_run:
            return pb.SetPricesResponse(faults=[_render_fault(fault) for fault in faults])

        async def add(change: Change) -> pb.SetPricesResponse:
            added = await insert_prices(change.connection, prices)
            priced = await price_waiting_charges(change, added)
            change.audit("prices.set", None, len(added))
            return pb.SetPricesResponse(
                added=len(added), unchanged=len(prices) - len(added), charges_priced=priced
            )

        return await self._books.change(message, caller, pb.SetPricesResponse, add)

    def _parse(self, message: pb.SetPricesRequest) -> tuple[list[Price], list[PriceFault]]:
        settings = self._books.settings
        categories = tuple(settings.tax_rates)
        if message.csv:
            return parse_csv(message.csv, settings.currency, categories)
        return parse_prices(message.prices, settings.currency, categories)


def _render_fault(fault: PriceFault) -> pb.PriceFault:
    return pb.PriceFault(line=fault.line, field=fault.field, code=fault.code, message=fault.message)
