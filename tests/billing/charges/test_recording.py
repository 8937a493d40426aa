"""Charges follow the record: once, corrected, voided."""

import random
from datetime import timedelta

import pytest

from apps.billing.charges.consumer import stretches
from apps.billing.charges.patient_events import read_event
from apps.billing.charges.rules import CHARGED_CLASSES, CLASS_SYSTEM
from apps.billing.prices.shipped import read_shipped_prices
from apps.kit.context import new_id
from apps.kit.event_batch import UnreadableError
from protos.billing.v1 import billing_pb2 as pb
from protos.billing.v1 import events_pb2 as billing_events
from protos.patient.v1 import events_pb2 as events
from tests.billing.charges.events import (
    DAY,
    charges_of,
    fact,
    follow,
    patient_event,
    price,
)
from tests.billing.conftest import Client


@pytest.fixture
def patient_id() -> str:
    return new_id()


@pytest.fixture
def code() -> str:
    return new_id()


@pytest.mark.integration
async def test_resource_is_charged_once_at_the_price_of_its_day(
    billing: Client, patient_id: str, code: str
) -> None:
    await price(billing, code, 1_000)
    await price(billing, code, 1_500, "2026-03-02")
    event = fact(patient_id, "r1-" + code, code=code)
    later = fact(patient_id, "r2-" + code, code=code, day=DAY + timedelta(days=1))
    await follow(billing, event, event, later)
    await follow(billing, event)
    charges = await charges_of(billing, patient_id)
    assert [charge.net.minor_units for charge in charges] == [1_000, 1_500]
    assert (charges[0].source_type, charges[0].encounter_id) == ("Procedure", "encounter-1")
    assert charges[0].description == f"Service {code}"


@pytest.mark.integration
@pytest.mark.parametrize(
    ("kind", "status", "charged"),
    [
        ("Encounter", "finished", True),
        ("Encounter", "in-progress", False),
        ("Procedure", "completed", True),
        ("Procedure", "not-done", False),
        ("Immunization", "completed", True),
        ("Immunization", "entered-in-error", False),
        ("Observation", "final", False),
    ],
)
async def test_rules_say_what_is_charged(
    billing: Client, patient_id: str, code: str, kind: str, status: str, charged: bool
) -> None:
    await price(billing, code, 1_000)
    await billing.account(patient_id)
    await follow(billing, fact(patient_id, "r-" + code, kind=kind, status=status, code=code))
    assert len(await charges_of(billing, patient_id)) == charged


@pytest.mark.integration
async def test_encounter_without_a_coded_type_is_charged_once_by_its_class(
    billing: Client, patient_id: str
) -> None:
    def visit(version: int, status: str, category: str, code: str = "") -> events.PatientEvent:
        event = fact(
            patient_id,
            "r-" + patient_id,
            version,
            kind="Encounter",
            status=status,
            code=code,
            event_type="clinical.amended" if version > 1 else "clinical.recorded",
        )
        event.clinical.category = category
        if not code:
            event.clinical.code.Clear()
        return event

    async def charged() -> list[tuple[str, str]]:
        return [
            (charge.system, charge.code)
            for charge in await charges_of(billing, patient_id)
            if charge.status != pb.CHARGE_ITEM_STATUS_VOIDED
        ]

    await billing.account(patient_id)
    await follow(billing, visit(1, "in-progress", "AMB"))
    assert await charged() == []
    finished = visit(2, "finished", "AMB")
    await follow(billing, finished, finished)
    await follow(billing, visit(3, "finished", "AMB"))
    assert await charged() == [(CLASS_SYSTEM, "AMB")]
    await follow(billing, visit(4, "finished", "AMB", "185347001"))
    assert [code for _, code in await charged()] == ["185347001"]
    await follow(billing, visit(5, "finished", "somebody's own class"))
    assert await charged() == []


def test_shipped_list_has_a_price_for_each_charged_class() -> None:
    shipped = read_shipped_prices("USD", ("exempt", "standard"))
    assert {price.code for price in shipped if price.system == CLASS_SYSTEM} == CHARGED_CLASSES


@pytest.mark.integration
async def test_amended_resource_is_corrected_and_an_error_voided(
    billing: Client, patient_id: str, code: str
) -> None:
    other = code + "-2"
    await price(billing, code, 1_000)
    await price(billing, other, 700)
    resource = "r-" + code
    await follow(
        billing,
        fact(patient_id, resource, code=code),
        fact(patient_id, resource, 2, code=other, event_type="clinical.amended"),
    )
    statuses = [(charge.code, charge.status) for charge in await charges_of(billing, patient_id)]
    assert statuses == [
        (code, pb.CHARGE_ITEM_STATUS_VOIDED),
        (other, pb.CHARGE_ITEM_STATUS_BILLABLE),
    ]
    error = fact(patient_id, resource, 3, code=other, status="entered-in-error")
    await follow(billing, error)
    assert {charge.status for charge in await charges_of(billing, patient_id)} == {
        pb.CHARGE_ITEM_STATUS_VOIDED
    }
    # What comes late changes nothing.
    await follow(billing, fact(patient_id, resource, 2, code=other))
    assert len(await charges_of(billing, patient_id)) == 2


@pytest.mark.integration
async def test_batch_charges_each_patient_under_the_request_that_recorded_it(
    billing: Client, patient_id: str, code: str
) -> None:
    other_patient, unpriced = new_id(), code + "-unpriced"
    await price(billing, code, 1_000)
    await follow(
        billing,
        fact(patient_id, "r1-" + code, code=code, actor_id="a", correlation_id="request-a"),
        fact(other_patient, "r2-" + code, code=code, actor_id="b", correlation_id="request-b"),
        fact(patient_id, "r3-" + code, code=unpriced, actor_id="a", correlation_id="request-a"),
        fact(patient_id, "r4-" + code, code=code, status="not-done"),
        fact(patient_id, "r1-" + code, 2, code=code, status="entered-in-error", actor_id="c"),
    )
    assert [(charge.code, charge.status) for charge in await charges_of(billing, patient_id)] == [
        (code, pb.CHARGE_ITEM_STATUS_VOIDED),
        (unpriced, pb.CHARGE_ITEM_STATUS_UNPRICED),
    ]
    assert len(await charges_of(billing, other_patient)) == 1
    async with billing.database.connection() as connection:
        rows = await connection.fetch(
            """
            SELECT action, subject, correlation_id FROM audit JOIN account USING (account_id)
            WHERE patient_id = ANY($1) ORDER BY audit_id""",
            [patient_id, other_patient],
        )
        told = await connection.fetch(
            "SELECT payload, request_id FROM outbox WHERE patient_id = ANY($1) ORDER BY id",
            [patient_id, other_patient],
        )
    assert [tuple(row) for row in rows if row["action"] != "account.opened"] == [
        ("charge.added", "a", "request-a"),
        ("charge.added", "b", "request-b"),
        ("charge.added", "a", "request-a"),
        ("charge.voided", "c", "request-9"),
    ]
    events_told = [billing_events.BillingEvent.FromString(row["payload"]) for row in told]
    assert [(event.event_type, event.actor_id, event.correlation_id) for event in events_told] == [
        ("charge.added", "a", "request-a"),
        ("charge.added", "b", "request-b"),
        ("charge.voided", "c", "request-9"),
    ]
    assert [row["request_id"] for row in told] == ["request-a", "request-b", "request-9"]


def test_facts_are_recorded_together_until_one_names_a_resource_again() -> None:
    given = [
        fact("p", "r1"),
        fact("q", "r2"),
        patient_event("p", "patient.deleted"),
        fact("p", "r3"),
        fact("p", "r3", 2),
    ]
    steps = [read_event(event.SerializeToString()) for event in given]
    found = stretches([step for step in steps if step is not None])
    assert [len(together) for together in found] == [2, 1, 1, 1]


@pytest.mark.integration
async def test_deleted_resource_is_voided(billing: Client, patient_id: str, code: str) -> None:
    await price(billing, code, 1_000)
    await follow(
        billing,
        fact(patient_id, "r-" + code, code=code),
        fact(patient_id, "r-" + code, 2, code="", status="", event_type="clinical.deleted"),
    )
    (charge,) = await charges_of(billing, patient_id)
    assert charge.status == pb.CHARGE_ITEM_STATUS_VOIDED


@pytest.mark.integration
async def test_versions_in_any_order_come_to_the_last_one(
    billing: Client, patient_id: str, code: str
) -> None:
    await price(billing, code, 1_000)
    versions = [
        fact(patient_id, "r-" + code, 1, code=code),
        fact(patient_id, "r-" + code, 2, code=code, status="entered-in-error"),
        fact(patient_id, "r-" + code, 3, code=code),
    ]
    chance = random.Random(3)
    for _ in range(6):
        await follow(billing, *chance.sample(versions, 3))
    charges = await charges_of(billing, patient_id)
    assert [
        charge.status for charge in charges if charge.status != pb.CHARGE_ITEM_STATUS_VOIDED
    ] == [pb.CHARGE_ITEM_STATUS_BILLABLE]


@pytest.mark.integration
async def test_billed_charge_that_the_record_withdraws_asks_for_a_credit(
    billing: Client, patient_id: str, code: str
) -> None:
    await price(billing, code, 1_000)
    await follow(billing, fact(patient_id, "r-" + code, code=code))
    account = await billing.do("GetAccountByPatient", patient_id=patient_id)
    draft = await billing.do("CreateInvoice", account_id=account.account_id)
    invoice = await billing.do("IssueInvoice", invoice_id=draft.invoice_id)
    await follow(billing, fact(patient_id, "r-" + code, 2, code=code, status="entered-in-error"))
    (charge,) = await charges_of(billing, patient_id)
    assert (charge.status, charge.needs_credit) == (pb.CHARGE_ITEM_STATUS_BILLED, True)
    again = await billing.do("GetInvoice", invoice_id=invoice.invoice_id)
    assert again.total == invoice.total
    await billing.do(
        "CreditInvoice",
        invoice_id=invoice.invoice_id,
        lines=[{"line": 1, "amount": {"minor_units": 1_000}}],
        reason="withdrawn",
    )
    (charge,) = await charges_of(billing, patient_id)
    assert (charge.status, await billing.due(account.account_id)) == (
        pb.CHARGE_ITEM_STATUS_VOIDED,
        0,
    )
    assert await billing.differences() == []


@pytest.mark.integration
async def test_charge_without_a_price_waits_for_one(
    billing: Client, patient_id: str, code: str
) -> None:
    await follow(billing, fact(patient_id, "r-" + code, code=code))
    (charge,) = await charges_of(billing, patient_id)
    assert charge.status == pb.CHARGE_ITEM_STATUS_UNPRICED
    assert (await price(billing, code, 1_000, "2026-03-02")).charges_priced == 0
    assert (await price(billing, code, 900)).charges_priced == 1
    (charge,) = await charges_of(billing, patient_id)
    assert (charge.status, charge.net.minor_units) == (pb.CHARGE_ITEM_STATUS_BILLABLE, 900)


@pytest.mark.integration
async def test_events_tell_ids_amounts_and_codes_of_the_patients_account(
    billing: Client, patient_id: str, code: str
) -> None:
    await price(billing, code, 1_000)
    await follow(billing, fact(patient_id, "r-" + code, code=code))
    account = await billing.do("GetAccountByPatient", patient_id=patient_id)
    draft = await billing.do("CreateInvoice", account_id=account.account_id)
    invoice = await billing.do("IssueInvoice", invoice_id=draft.invoice_id)
    payment = await billing.pay(account.account_id, 1_000)
    await billing.do(
        "RefundPayment",
        payment_id=payment.payment_id,
        amount={"minor_units": 300},
        reason="Jane Doe asked",
    )
    await billing.do("CancelInvoice", invoice_id=invoice.invoice_id, reason="John Doe")
    async with billing.database.connection() as connection:
        rows = await connection.fetch(
            "SELECT payload FROM outbox WHERE patient_id = $1 ORDER BY id", patient_id
        )
    told = [billing_events.BillingEvent.FromString(row["payload"]) for row in rows]
    assert [event.event_type for event in told] == [
        "charge.added",
        "invoice.issued",
        "invoice.paid",
        "payment.recorded",
        "invoice.adjusted",
        "payment.refunded",
        "invoice.cancelled",
    ]
    assert [event.invoice.open for event in told if event.HasField("invoice")] == [
        *(1_000, 0, 300, 0)
    ]
    assert [event.invoice.version for event in told if event.HasField("invoice")] == [2, 3, 4, 5]
    assert told[0].actor_id == "user-9"
    assert told[1].invoice.groups[0].revenue_group == "procedures"
    assert told[-1].invoice.credit_note_number
    assert all(event.account_id == account.account_id for event in told)
    assert b"Doe" not in b"".join(row["payload"] for row in rows)


@pytest.mark.parametrize(
    "event",
    [patient_event("p", "patient.created"), fact("p", "r", kind="Observation")],
    ids=["registration", "observation"],
)
def test_event_that_billing_does_not_need_is_nothing_to_it(event: events.PatientEvent) -> None:
    assert read_event(event.SerializeToString()) is None


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"\xff\xff", "not_protobuf"),
        (b"", "invalid_patient_id"),
        (events.PatientEvent(patient_id="p").SerializeToString(), "invalid_event_id"),
        (
            events.PatientEvent(
                patient_id="p", event_id=new_id(), event_type="patient.baptised"
            ).SerializeToString(),
            "unknown_event_type",
        ),
        (fact("p", "no such/id").SerializeToString(), "invalid_resource_id"),
        (fact("p", "r", 0).SerializeToString(), "invalid_version_id"),
        (fact("p", "r", code="c" * 257).SerializeToString(), "invalid_text"),
    ],
    # Their bytes hold new ids.
    ids=lambda value: value if isinstance(value, str) else "event",
)
def test_event_that_cannot_be_read_says_why(value: bytes, reason: str) -> None:
    with pytest.raises(UnreadableError) as refused:
        read_event(value)
    assert refused.value.reason == reason
