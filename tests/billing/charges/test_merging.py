"""Accounts close and merge with their patients; an undone merge gives back what is not billed."""

import pytest

from apps.kit.context import new_id
from protos.billing.v1 import billing_pb2 as pb
from tests.billing.charges.events import charges_of, fact, follow, patient_event, price
from tests.billing.conftest import Client


@pytest.fixture
def patient_id() -> str:
    return new_id()


@pytest.fixture
def code() -> str:
    return new_id()


@pytest.mark.integration
async def test_account_closes_and_merges_with_its_patient(
    billing: Client, patient_id: str, code: str
) -> None:
    target = new_id()
    await price(billing, code, 1_000)
    await follow(
        billing,
        fact(patient_id, "r1-" + code, code=code),
        patient_event(patient_id, "patient.updated", merged_into=target),
        # What is recorded for the old id from then on is the other patient's to pay.
        fact(patient_id, "r2-" + code, code=code),
    )
    source = await billing.do("GetAccountByPatient", patient_id=patient_id)
    into = await billing.do("GetAccountByPatient", patient_id=target)
    assert (source.status, source.merged_into) == (pb.ACCOUNT_STATUS_INACTIVE, into.account_id)
    assert len(await charges_of(billing, target)) == 2
    await follow(billing, patient_event(patient_id, "patient.updated"))
    source = await billing.do("GetAccountByPatient", patient_id=patient_id)
    assert (source.status, source.merged_into) == (pb.ACCOUNT_STATUS_ACTIVE, "")
    await follow(billing, patient_event(target, "patient.deleted"))
    into = await billing.do("GetAccountByPatient", patient_id=target)
    assert into.status == pb.ACCOUNT_STATUS_INACTIVE


@pytest.mark.integration
async def test_merge_undone_in_the_same_batch_leaves_nothing(
    billing: Client, patient_id: str
) -> None:
    await follow(
        billing,
        patient_event(patient_id, "patient.updated"),
        patient_event(patient_id, "patient.updated", merged_into=new_id()),
        patient_event(patient_id, "patient.updated"),
    )
    account = await billing.do("GetAccountByPatient", patient_id=patient_id)
    assert (account.status, account.merged_into) == (pb.ACCOUNT_STATUS_ACTIVE, "")


@pytest.mark.integration
async def test_undone_merge_gives_back_what_is_not_billed(
    billing: Client, patient_id: str, code: str
) -> None:
    target, last = new_id(), new_id()
    await price(billing, code, 1_000)
    await follow(
        billing,
        fact(patient_id, "r1-" + code, code=code),
        fact(target, "r2-" + code, code=code),
        patient_event(patient_id, "patient.updated", merged_into=target),
        fact(patient_id, "r3-" + code, code=code),
        # The other patient is merged in turn: all of it goes along.
        patient_event(target, "patient.updated", merged_into=last),
    )
    assert len(await charges_of(billing, last)) == 3
    into = await billing.do("GetAccountByPatient", patient_id=last)
    await billing.do("CreateInvoice", account_id=into.account_id)
    await follow(billing, patient_event(target, "patient.updated"))
    assert len(await charges_of(billing, last)) == 0
    assert len(await charges_of(billing, target)) == 3
    await follow(billing, patient_event(patient_id, "patient.updated"))
    found = {
        patient: sorted(charge.source_id[:2] for charge in await charges_of(billing, patient))
        for patient in (patient_id, target, last)
    }
    assert found == {patient_id: ["r1", "r3"], target: ["r2"], last: []}
    assert await billing.differences() == []


@pytest.mark.integration
async def test_what_was_billed_stays_where_a_merge_is_undone(
    billing: Client, patient_id: str, code: str
) -> None:
    target, other = new_id(), new_id()
    await price(billing, code, 1_000)
    resource = "r1-" + code
    await follow(
        billing,
        fact(patient_id, resource, code=code),
        patient_event(patient_id, "patient.updated", merged_into=target),
    )
    into = await billing.do("GetAccountByPatient", patient_id=target)
    draft = await billing.do("CreateInvoice", account_id=into.account_id)
    await billing.do("IssueInvoice", invoice_id=draft.invoice_id)
    await follow(
        billing,
        patient_event(patient_id, "patient.updated"),
        fact(patient_id, resource, 2, code=code, event_type="clinical.amended"),
    )
    assert await charges_of(billing, patient_id) == []
    (charge,) = await charges_of(billing, target)
    assert (charge.status, charge.needs_credit) == (pb.CHARGE_ITEM_STATUS_BILLED, False)
    # The record has it with a patient who has nothing to do with them: that one owes it.
    await follow(billing, fact(other, resource, 3, code=code, event_type="clinical.amended"))
    (charge,) = await charges_of(billing, target)
    assert charge.needs_credit
    (charge,) = await charges_of(billing, other)
    assert charge.status == pb.CHARGE_ITEM_STATUS_BILLABLE
    assert await billing.differences() == []


@pytest.mark.integration
async def test_charge_moves_with_its_resource_to_another_patient(
    billing: Client, patient_id: str, code: str
) -> None:
    other = new_id()
    await price(billing, code, 1_000)
    await follow(
        billing,
        fact(patient_id, "r-" + code, code=code),
        fact(other, "r-" + code, 2, code=code, event_type="clinical.amended"),
    )
    assert await charges_of(billing, patient_id) == []
    (charge,) = await charges_of(billing, other)
    assert (charge.status, charge.net.minor_units) == (pb.CHARGE_ITEM_STATUS_BILLABLE, 1_000)


@pytest.mark.integration
async def test_merge_that_names_another_patient_follows_and_a_circle_is_none(
    billing: Client, patient_id: str, code: str
) -> None:
    wrong, right = new_id(), new_id()
    await price(billing, code, 1_000)
    await follow(
        billing,
        fact(patient_id, "r-" + code, code=code),
        patient_event(patient_id, "patient.updated", merged_into=wrong),
        patient_event(patient_id, "patient.updated", merged_into=right),
        patient_event(right, "patient.updated", merged_into=patient_id),
    )
    assert await charges_of(billing, wrong) == []
    assert len(await charges_of(billing, right)) == 1
    assert (await billing.do("GetAccountByPatient", patient_id=right)).merged_into == ""
