"""What every call promises: pages by keyset, deadlines, and a contract that production
does not show.
"""

from dataclasses import replace
from typing import Any

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from apps.billing.books import Books
from apps.billing.pages import write_token
from apps.billing.settings import Settings
from apps.kit.context import new_id
from apps.kit.rpc import open_channel
from protos.billing.v1 import billing_pb2 as pb
from tests.billing.conftest import ENVIRONMENT, Client, FakeVerifier, make_server

pytestmark = pytest.mark.integration

# What each list holds its rows under.
LISTS = {
    "ListChargeItems": "charge_items",
    "ListInvoices": "invoices",
    "ListPayments": "payments",
    "ListLedgerEntries": "entries",
    "ListReminders": "reminders",
    "ListWriteOffs": "write_offs",
}


def test_every_list_with_pages_is_among_these() -> None:
    methods = pb.DESCRIPTOR.services_by_name["Billing"].methods
    paged = {
        method.name
        for method in methods
        if "page_token" in method.input_type.fields_by_name and method.name.startswith("List")
    }
    assert paged - LISTS.keys() <= {"ListPrices"}


async def pages_of(billing: Client, rpc: str, size: int, **fields: Any) -> list[list[Any]]:
    pages: list[list[Any]] = []
    token = ""
    while True:
        answer = await billing.do(rpc, page_size=size, page_token=token, **fields)
        pages.append(list(getattr(answer, LISTS[rpc])))
        token = answer.next_page_token
        if not token:
            return pages


@pytest.mark.parametrize("rpc", sorted(LISTS))
async def test_pages_are_the_whole_list_each_row_once(billing: Client, rpc: str) -> None:
    account_id = await billing.account()
    for _ in range(5):
        invoice = await billing.invoice(account_id, 100)
        await billing.do(
            "RecordPayment",
            invoice_id=invoice.invoice_id,
            amount={"minor_units": 40},
            method="PAYMENT_METHOD_CARD",
        )
        await billing.do(
            "WriteOffInvoice", invoice_id=invoice.invoice_id, amount={"minor_units": 1}, reason="r"
        )
    of_all = {"ListReminders": {"as_of": "2199-01-01"}, "ListWriteOffs": {}}
    fields = of_all.get(rpc, {"account_id": account_id})
    (whole,) = await pages_of(billing, rpc, 100, **fields)
    pages = await pages_of(billing, rpc, 2, **fields)
    assert [len(page) for page in pages[:-1]] == [2] * (len(pages) - 1)
    assert [row for page in pages for row in page] == whole
    assert len(whole) >= 5
    # A page that ends with the list has no next one.
    assert await pages_of(billing, rpc, len(whole), **fields) == [whole]
    for token in ("banana", "W10", "bnVsbA"):
        problem = await billing.refusal(rpc, page_token=token, **fields)
        assert (problem.status, problem.code) == (400, "invalid_page_token")
    problem = await billing.refusal(rpc, page_size=101, **fields)
    assert problem.code == "invalid_page_size"


async def test_page_of_reminders_after_no_date_or_invoice_is_refused(billing: Client) -> None:
    for token in (write_token("soon", new_id()), write_token("2026-03-31", "banana")):
        problem = await billing.refusal("ListReminders", page_token=token)
        assert (problem.status, problem.code) == (400, "invalid_page_token")


async def test_call_ends_at_its_deadline_and_changes_nothing(billing: Client) -> None:
    account_id = await billing.account()
    async with billing.database.transaction() as connection:
        await connection.execute("SELECT FROM account WHERE account_id = $1 FOR UPDATE", account_id)
        request = pb.AddChargeItemRequest(request_id="r", account_id=account_id, code="c")
        with pytest.raises(grpc.aio.AioRpcError) as late:
            await billing.call("AddChargeItem", request, user="manager", timeout=0.3)
        assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    answer = await billing.do("ListChargeItems", account_id=account_id)
    assert list(answer.charge_items) == []


async def test_contract_cannot_be_explored_in_production(billing: Client) -> None:
    settings = replace(Settings.from_environment(ENVIRONMENT), environment="prod")
    books = Books(billing.database, settings)
    server = make_server(settings, books, FakeVerifier())
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with open_channel(f"127.0.0.1:{port}") as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            async for _ in stub.ServerReflectionInfo(asked, timeout=5):
                pass
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
    await server.stop(None)
