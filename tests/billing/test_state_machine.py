"""Any order of bills, payments, credits and refunds: a model of a few lines agrees, and the checker
finds nothing.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import grpc
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from apps.kit.context import new_id
from tests.billing.conftest import Client, open_client

pytestmark = pytest.mark.integration

MAX_EXAMPLES = 12
STEPS = 15


@pytest.fixture(scope="module")
def url(make_database: Any) -> Iterator[str]:
    with make_database("billing") as (runtime_url, _):
        yield runtime_url


class Bills(RuleBasedStateMachine):
    """What one patient owes: invoices less credits and write-offs, less payments, plus refunds."""

    run: Callable[[Coroutine[Any, Any, Any]], Any]
    client: Client

    def __init__(self) -> None:
        super().__init__()
        self.account_id = self.run(self.client.account())
        self.unbilled = 0
        self.due = 0
        self.charges: list[str] = []
        # Invoice id -> what may still be credited.
        self.invoices: dict[str, int] = {}
        # Payment id -> what may still be refunded.
        self.payments: dict[str, int] = {}

    def do(self, rpc: str, **fields: Any) -> Any:
        """Calls twice with one request id: the second answer is the first."""
        fields = {"request_id": new_id(), **fields}
        answer = self.run(self.client.do(rpc, **fields))
        assert self.run(self.client.do(rpc, **fields)) == answer
        return answer

    def refused(self, rpc: str, **fields: Any) -> None:
        try:
            self.run(self.client.do(rpc, **fields))
        except grpc.aio.AioRpcError as error:
            assert error.code() is grpc.StatusCode.INVALID_ARGUMENT  # noqa: PT017
        else:
            raise AssertionError(f"{rpc} was not refused")

    @rule(amount=st.integers(0, 5_000))
    def charge(self, amount: int) -> None:
        item = self.do(
            "AddChargeItem",
            account_id=self.account_id,
            code="own",
            unit_price={"minor_units": amount},
        )
        self.charges.append(item.charge_item_id)
        self.unbilled += amount

    @rule(data=st.data())
    def void(self, data: st.DataObject) -> None:
        if self.charges:
            charge = data.draw(st.sampled_from(self.charges))
            item = self.do("VoidChargeItem", charge_item_id=charge, reason="mistake")
            self.charges.remove(charge)
            self.unbilled -= item.net.minor_units

    @rule()
    def bill(self) -> None:
        if not self.charges:
            self.refused("CreateInvoice", account_id=self.account_id)
            return
        draft = self.do("CreateInvoice", account_id=self.account_id)
        invoice = self.do("IssueInvoice", invoice_id=draft.invoice_id)
        assert invoice.total.minor_units == self.unbilled
        self.due += self.unbilled
        self.invoices[invoice.invoice_id] = self.unbilled
        self.unbilled = 0
        self.charges = []

    @rule(amount=st.integers(1, 6_000), method=st.sampled_from(["CARD", "TRANSFER"]))
    def pay(self, amount: int, method: str) -> None:
        payment = self.do(
            "RecordPayment",
            account_id=self.account_id,
            amount={"minor_units": amount},
            method=f"PAYMENT_METHOD_{method}",
        )
        self.payments[payment.payment_id] = amount
        self.due -= amount

    @rule(data=st.data(), amount=st.integers(1, 6_000))
    def refund(self, data: st.DataObject, amount: int) -> None:
        if not self.payments:
            return
        payment_id = data.draw(st.sampled_from(sorted(self.payments)))
        fields = {"payment_id": payment_id, "amount": {"minor_units": amount}, "reason": "r"}
        if amount > self.payments[payment_id]:
            self.refused("RefundPayment", **fields)
            return
        self.do("RefundPayment", **fields)
        self.payments[payment_id] -= amount
        self.due += amount

    @rule(data=st.data(), amount=st.integers(1, 3_000))
    def credit(self, data: st.DataObject, amount: int) -> None:
        if not self.invoices:
            return
        invoice_id = data.draw(st.sampled_from(sorted(self.invoices)))
        fields = {"invoice_id": invoice_id, "amount": {"minor_units": amount}, "reason": "r"}
        if amount > self.invoices[invoice_id]:
            self.refused("CreditInvoice", **fields)
            return
        self.do("CreditInvoice", **fields)
        self.invoices[invoice_id] -= amount
        self.due -= amount

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        if not self.invoices:
            return
        invoice_id = data.draw(st.sampled_from(sorted(self.invoices)))
        invoice = self.run(self.client.do("GetInvoice", invoice_id=invoice_id))
        self.do("CancelInvoice", invoice_id=invoice_id, reason="r")
        self.due -= self.invoices.pop(invoice_id)
        # Its charges can be billed again.
        self.unbilled += invoice.total.minor_units
        self.charges += invoice.charge_item_ids
        self.refused("CancelInvoice", invoice_id=invoice_id, reason="r")

    @rule()
    def use_credit(self) -> None:
        balance = self.run(self.client.do("GetBalance", account_id=self.account_id))
        if balance.credit.minor_units and balance.receivable.minor_units:
            self.do("ApplyCredit", account_id=self.account_id)
        else:
            self.refused("ApplyCredit", account_id=self.account_id)

    @invariant()
    def balance_and_statement_agree_with_the_model(self) -> None:
        balance = self.run(self.client.do("GetBalance", account_id=self.account_id))
        assert balance.due.minor_units == self.due
        assert balance.receivable.minor_units >= 0
        assert balance.credit.minor_units >= 0
        statement = self.run(self.client.do("GetStatement", account_id=self.account_id))
        assert statement.closing.minor_units == self.due

    def teardown(self) -> None:
        assert self.run(self.client.differences()) == []


def test_any_order_of_changes_keeps_the_books(url: str) -> None:
    with asyncio.Runner() as runner:
        clients = open_client(url)
        client = runner.run(anext(clients))
        machine = type("Machine", (Bills,), {"run": staticmethod(runner.run), "client": client})
        try:
            run_state_machine_as_test(
                machine,
                settings=settings(
                    max_examples=MAX_EXAMPLES,
                    stateful_step_count=STEPS,
                    deadline=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            runner.run(clients.aclose())
