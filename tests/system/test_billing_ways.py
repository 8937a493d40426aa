"""The same journey by the documentation's curl commands, and by gRPC."""

import asyncio
import os
import re
import shutil
import uuid
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format

from apps.kit.context import new_id
from apps.kit.rpc import call_metadata, open_channel
from protos.billing.v1 import billing_pb2 as pb
from protos.billing.v1.billing_pb2_grpc import BillingStub
from tests.system.desk import ROOT, Desk
from tests.system.platform import Platform, until, variable

pytestmark = pytest.mark.system

COMMANDS_SECONDS = 120


async def new_patient(platform: Platform) -> str:
    """A patient who has an account."""
    patient_id = str(uuid.uuid4())
    response = await platform.call(
        "PUT",
        f"/fhir/R4/Patient/{patient_id}",
        token=await platform.client_token(),
        json={"resourceType": "Patient", "id": patient_id},
    )
    assert response.status == 201, response.body

    async def has_account() -> bool:
        return (await platform.account_of(patient_id)).status == 200

    await until(has_account)
    return patient_id


async def test_commands_of_the_documentation_work_as_they_stand(
    platform: Platform, tmp_path: Path
) -> None:
    (commands,) = re.findall(r"```sh\n(.*?)```", (ROOT / "docs/billing.md").read_text(), re.DOTALL)
    assert shutil.which("jq") and shutil.which("curl")
    environment = {
        **os.environ,
        "URL": platform.urls["gateway"],
        "TOKEN": await platform.user_token(),
        "PATIENT": await new_patient(platform),
    }
    process = await asyncio.create_subprocess_exec(
        *("bash", "-euo", "pipefail", "-c", commands),
        cwd=tmp_path,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(COMMANDS_SECONDS):
        output, _ = await process.communicate()
    shown = output.decode()
    assert process.returncode == 0, shown[-2_000:]
    assert (tmp_path / "invoice.pdf").read_bytes().startswith(b"%PDF")
    # 8.00 less the credit of 5.00, and 2.00 given back of what was paid.
    assert '"closing":{"minorUnits":"500"' in shown.replace(" ", "")


class Books:
    """Billing by gRPC, as the gateway calls it for a person."""

    def __init__(self, stub: Any, metadata: Any, account_id: str) -> None:
        self.stub = stub
        self.metadata = metadata
        self.account_id = account_id

    async def do(self, rpc: str, /, **fields: Any) -> Any:
        method = pb.DESCRIPTOR.services_by_name["Billing"].methods_by_name[rpc]
        request = getattr(pb, method.input_type.name)()
        if "request_id" in request.DESCRIPTOR.fields_by_name:
            fields["request_id"] = new_id()
        json_format.ParseDict(fields, request)
        return await getattr(self.stub, rpc)(request, timeout=20, metadata=self.metadata)

    async def charge(self, amount: int) -> None:
        price = {"minor_units": amount}
        await self.do("AddChargeItem", account_id=self.account_id, code="own", unit_price=price)

    async def invoice(self) -> Any:
        draft = await self.do("CreateInvoice", account_id=self.account_id)
        return await self.do("IssueInvoice", invoice_id=draft.invoice_id)


async def test_journey_works_by_grpc(platform: Platform) -> None:
    desk = Desk(platform, await platform.user_token())
    patient_id = await new_patient(platform)
    metadata = call_metadata(await platform.service_token("gateway", "billing"), desk.token)
    async with open_channel(variable("BILLING_TARGET")) as channel:
        stub = BillingStub(channel)
        account = await stub.GetAccountByPatient(
            pb.GetAccountByPatientRequest(patient_id=patient_id), timeout=5, metadata=metadata
        )
        books = Books(stub, metadata, account.account_id)
        await books.charge(10_000)
        preview = await books.do("CreateInvoice", account_id=account.account_id, dry_run=True)
        first = await books.invoice()
        assert first.total == preview.total
        assert first.total.minor_units == 10_000
        document = await books.do(
            "GetDocument", invoice_id=first.invoice_id, format="DOCUMENT_FORMAT_PDF"
        )
        assert document.content.startswith(b"%PDF")
        await books.do(
            "RecordPayment",
            account_id=account.account_id,
            invoice_id=first.invoice_id,
            amount={"minor_units": 9_000},
            method="PAYMENT_METHOD_CARD",
        )
        await books.charge(2_000)
        await books.invoice()
        rest = await books.do(
            "RecordPayment",
            account_id=account.account_id,
            amount={"minor_units": 3_500},
            method="PAYMENT_METHOD_TRANSFER",
        )
        assert [one.amount.minor_units for one in rest.allocations] == [1_000, 2_000]
        assert rest.unallocated.minor_units == 500
        await books.charge(800)
        third = await books.invoice()
        applied = await books.do("ApplyCredit", account_id=account.account_id)
        assert applied.credit_left.minor_units == 0
        await books.do(
            "RefundPayment",
            payment_id=rest.payment_id,
            amount={"minor_units": 200},
            reason="goodwill",
        )
        statement = await books.do("GetStatement", account_id=account.account_id)
        assert statement.closing.minor_units == 500
        open_invoice = await books.do("GetInvoice", invoice_id=third.invoice_id)
        assert open_invoice.open.minor_units == 500
        sound = await books.do("ReconcileLedger")
        assert list(sound.differences) == []
    assert await desk.due(account.account_id) == 500
