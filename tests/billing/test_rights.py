"""Who sees whose bills, and what clients of other makes are told."""

from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status

from apps.kit.context import new_id
from tests.billing.conftest import PATIENT_ID, Client

pytestmark = pytest.mark.integration


async def test_patients_own_login_sees_that_patients_bills_alone(billing: Client) -> None:
    own, other = await billing.account(PATIENT_ID), await billing.account()
    mine, theirs = await billing.invoice(own, 100), await billing.invoice(other, 100)
    paid, paid_there = await billing.pay(own, 50), await billing.pay(other, 50)
    html = {"format": "DOCUMENT_FORMAT_HTML"}
    seen: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
        ("GetAccount", {"account_id": own}, {"account_id": other}),
        ("GetAccountByPatient", {"patient_id": PATIENT_ID}, {"patient_id": new_id()}),
        ("GetBalance", {"account_id": own}, {"account_id": other}),
        ("GetStatement", {"account_id": own}, {"account_id": other}),
        ("ListInvoices", {"account_id": own}, {"account_id": other}),
        ("ListChargeItems", {"account_id": own}, {"account_id": other}),
        ("ListPayments", {"account_id": own}, {"account_id": other}),
        ("GetInvoice", {"invoice_id": mine.invoice_id}, {"invoice_id": theirs.invoice_id}),
        ("GetPayment", {"payment_id": paid.payment_id}, {"payment_id": paid_there.payment_id}),
        ("GetPayment", {"payment_id": paid.payment_id}, {"payment_id": new_id()}),
        *(
            ("GetDocument", {name: one, **html}, {name: another, **html})
            for name, one, another in (
                ("invoice_id", mine.invoice_id, theirs.invoice_id),
                ("payment_id", paid.payment_id, paid_there.payment_id),
                ("account_id", own, other),
            )
        ),
    ]
    for rpc, allowed, refused in seen:
        assert await billing.do(rpc, "patient", **allowed)
        refusal = await billing.refusal(rpc, "patient", **refused)
        assert refusal.status == 404, rpc
        # Nothing tells that there is one of somebody else's.
        if "payment_id" in refused or "invoice_id" in refused:
            assert refusal.code in ("payment_unknown", "invoice_unknown"), rpc
        # An application that was launched for the patient is not the patient.
        assert (await billing.refusal(rpc, "launched", **allowed)).status == 403, rpc


async def test_patients_own_login_changes_nothing_and_reads_no_books(billing: Client) -> None:
    own = await billing.account(PATIENT_ID)
    for rpc, fields in (
        ("AddChargeItem", {"account_id": own}),
        ("RecordPayment", {"account_id": own}),
        ("ListLedgerEntries", {"account_id": own}),
        ("ExportLedger", {}),
        ("ListReminders", {}),
        ("ListWriteOffs", {}),
        ("ListPrices", {}),
    ):
        assert (await billing.refusal(rpc, "patient", **fields)).status == 403, rpc


async def test_fault_is_told_as_google_rpc_status(billing: Client) -> None:
    account_id = await billing.account()
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await billing.do(
            "AddChargeItem",
            account_id=account_id,
            quantity_decimal="0",
            unit_price={"minor_units": 1},
        )
    status = rpc_status.from_call(refused.value)  # type: ignore[arg-type]
    assert status is not None
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    assert status.details[0].Unpack(info)
    assert status.details[1].Unpack(bad)
    assert (info.reason, info.domain) == ("invalid_request", "patient-management")
    assert {violation.field for violation in bad.field_violations} == {"code", "quantity_decimal"}


async def test_contract_can_be_explored_outside_production(billing: Client) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(billing.channel)
    requests = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
    async for answer in stub.ServerReflectionInfo(requests, timeout=5):
        names = {service.name for service in answer.list_services_response.service}
        assert "billing.v1.Billing" in names
