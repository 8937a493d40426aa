"""Coverages follow the record: in its order, changed with it, gone with it."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from apps.billing.accounts.coverage import Coverage
from apps.billing.charges.coverages import coverage_of, place
from apps.billing.charges.patient_events import read_event
from apps.billing.charges.rules import CoverageFact
from apps.billing.money import MAX_MINOR_UNITS
from apps.billing.parsing import MAX_TEXT_CHARACTERS
from apps.kit.context import new_id
from apps.kit.event_batch import UnreadableError
from protos.patient.v1 import events_pb2 as events
from tests.billing.charges.events import fact, follow
from tests.billing.conftest import Client


def coverage_event(
    patient_id: str,
    coverage_id: str,
    version: int = 1,
    status: str = "active",
    event_type: str = "clinical.recorded",
    **terms: Any,
) -> events.PatientEvent:
    event = fact(
        patient_id, coverage_id, version, kind="Coverage", status=status, event_type=event_type
    )
    if event_type != "clinical.deleted":
        event.clinical.coverage.CopyFrom(events.CoverageTerms(**{"payer_id": "plan", **terms}))
    return event


async def payers(billing: Client, patient_id: str) -> list[str]:
    account = await billing.do("GetAccountByPatient", patient_id=patient_id)
    return [coverage.payer_id for coverage in account.coverages]


@pytest.fixture
def patient_id() -> str:
    return new_id()


@pytest.mark.integration
async def test_coverages_stand_in_the_order_of_the_record(billing: Client, patient_id: str) -> None:
    first, second, unordered = (new_id() for _ in range(3))
    await follow(
        billing,
        coverage_event(patient_id, unordered, payer_id="any"),
        coverage_event(patient_id, second, payer_id="b", order=2),
        coverage_event(patient_id, first, payer_id="a", order=1),
    )
    assert await payers(billing, patient_id) == ["a", "b", "any"]
    await follow(
        billing,
        coverage_event(patient_id, first, 2, event_type="clinical.amended", payer_id="a", order=3),
        # What comes again or late changes nothing.
        coverage_event(patient_id, first, payer_id="a", order=1),
    )
    assert await payers(billing, patient_id) == ["b", "a", "any"]


@pytest.mark.integration
@pytest.mark.parametrize(
    ("status", "event_type"),
    [
        ("cancelled", "clinical.amended"),
        ("entered-in-error", "clinical.amended"),
        ("draft", "clinical.amended"),
        ("", "clinical.deleted"),
    ],
)
async def test_coverage_that_is_no_longer_active_pays_no_more(
    billing: Client, patient_id: str, status: str, event_type: str
) -> None:
    coverage_id = new_id()
    await follow(billing, coverage_event(patient_id, coverage_id))
    assert await payers(billing, patient_id) == ["plan"]
    await follow(
        billing, coverage_event(patient_id, coverage_id, 2, status=status, event_type=event_type)
    )
    assert await payers(billing, patient_id) == []
    await follow(billing, coverage_event(patient_id, coverage_id, 3, event_type="clinical.amended"))
    assert await payers(billing, patient_id) == ["plan"]


@pytest.mark.integration
async def test_invoice_is_split_by_the_coverage_of_the_record(
    billing: Client, patient_id: str
) -> None:
    await follow(
        billing,
        coverage_event(patient_id, new_id(), order=1, payer_id="a", copay_basis_points=2_000),
        coverage_event(
            patient_id, new_id(), order=2, payer_id="b", copay_amount="5.00", copay_currency="USD"
        ),
    )
    account = await billing.do("GetAccountByPatient", patient_id=patient_id)
    invoice = await billing.invoice(account.account_id, 10_000)
    assert invoice.total.minor_units == 500
    assert {part.payer_id: part.total.minor_units for part in invoice.payer_invoices} == {
        "a": 8_000,
        "b": 1_500,
    }


@pytest.mark.integration
async def test_what_was_set_by_call_keeps_its_place(billing: Client, patient_id: str) -> None:
    coverage_id = new_id()
    await follow(billing, coverage_event(patient_id, coverage_id, order=1))
    account = await billing.do("GetAccountByPatient", patient_id=patient_id)
    share = {"share": "COVERAGE_SHARE_PERCENT", "percent_basis_points": 5_000}
    own = {"payer_id": "own", **share}
    of_record = {"payer_id": "plan", "coverage_id": coverage_id, **share}
    await billing.do("SetCoverage", account_id=account.account_id, coverages=[of_record, own])
    account = await billing.do("GetAccount", account_id=account.account_id)
    assert [each.percent_basis_points for each in account.coverages] == [5_000, 5_000]
    # The record's next word on it stands again.
    await follow(billing, coverage_event(patient_id, coverage_id, 2, event_type="clinical.amended"))
    account = await billing.do("GetAccount", account_id=account.account_id)
    assert [(each.payer_id, each.percent_basis_points) for each in account.coverages] == [
        ("own", 5_000),
        ("plan", 10_000),
    ]


@pytest.mark.integration
async def test_coverage_leaves_the_patient_whom_the_record_took_it_from(
    billing: Client, patient_id: str
) -> None:
    other, coverage_id = new_id(), new_id()
    await follow(billing, coverage_event(patient_id, coverage_id))
    await follow(billing, coverage_event(other, coverage_id, 2, event_type="clinical.amended"))
    assert (await payers(billing, patient_id), await payers(billing, other)) == ([], ["plan"])


@pytest.mark.integration
async def test_coverage_that_a_call_passed_on_still_leaves_with_the_record(
    billing: Client, patient_id: str
) -> None:
    other, coverage_id = new_id(), new_id()
    await follow(billing, coverage_event(patient_id, coverage_id))
    account = await billing.do("GetAccountByPatient", patient_id=patient_id)
    share = {"share": "COVERAGE_SHARE_PERCENT", "percent_basis_points": 5_000}
    both = [{"payer_id": "plan", "coverage_id": coverage_id, **share}, {"payer_id": "own", **share}]
    await billing.do("SetCoverage", account_id=account.account_id, coverages=both)
    await follow(billing, coverage_event(other, coverage_id, 2, event_type="clinical.amended"))
    assert await payers(billing, patient_id) == ["own"]


def coverage_fact(**changes: Any) -> CoverageFact:
    values: dict[str, Any] = {
        "patient_id": "p",
        "coverage_id": "c",
        "version": 1,
        "deleted": False,
        "status": "active",
        "payer_id": "plan",
        "order": 0,
        "valid_from": None,
        "valid_to": date(2026, 12, 31),
        "copay_basis_points": 0,
        "copay_amount": None,
        "copay_currency": "",
    }
    return CoverageFact(**{**values, **changes})


@pytest.mark.parametrize(
    ("changes", "currency", "expected"),
    [
        ({}, "USD", ("percent", 10_000, 0)),
        ({"copay_basis_points": 1_250}, "USD", ("percent", 8_750, 0)),
        ({"copay_amount": Decimal("20"), "copay_currency": "USD"}, "USD", ("copayment", 0, 2_000)),
        ({"copay_amount": Decimal("20"), "copay_currency": "JPY"}, "JPY", ("copayment", 0, 20)),
        ({"copay_amount": Decimal("0.5"), "copay_currency": ""}, "KWD", ("copayment", 0, 500)),
        # Nothing that can be asked of the payer.
        ({"copay_amount": Decimal("20"), "copay_currency": "EUR"}, "USD", None),
        ({"copay_amount": Decimal("0.5"), "copay_currency": "JPY"}, "JPY", None),
        ({"copay_amount": Decimal(10) ** 19}, "USD", None),
        ({"copay_basis_points": 10_000}, "USD", None),
        ({"payer_id": ""}, "USD", None),
    ],
)
def test_payer_pays_all_but_the_patients_part(
    changes: dict[str, Any], currency: str, expected: tuple[str, int, int] | None
) -> None:
    coverage = coverage_of(coverage_fact(**changes), currency)
    if expected is None:
        assert coverage is None
        return
    assert coverage is not None
    assert (coverage.share, coverage.percent_basis_points, coverage.amount) == expected
    assert coverage.covers(date(2026, 12, 31)) and not coverage.covers(date(2027, 1, 1))


def test_coverages_of_one_order_stand_by_their_ids() -> None:
    placed: list[Coverage] = []
    for coverage_id in ("c", "a", "b"):
        new = coverage_of(coverage_fact(coverage_id=coverage_id, order=1), "USD")
        placed = place(placed, coverage_id, new)
    assert [coverage.coverage_id for coverage in placed] == ["a", "b", "c"]


def test_coverage_of_the_widest_terms_is_read() -> None:
    event = coverage_event(
        "p",
        "c",
        order=0,
        copay_basis_points=10_000,
        valid_from="2026-02-01",
        valid_to="2026-02-01",
    )
    event.clinical.encounter_id = "e" * MAX_TEXT_CHARACTERS
    event.actor_id = "a" * (MAX_TEXT_CHARACTERS + 1)
    step = read_event(event.SerializeToString())
    assert step is not None and isinstance(step.what, CoverageFact)
    assert step.actor_id == "a" * MAX_TEXT_CHARACTERS
    assert (step.what.order, step.what.copay_basis_points, step.what.version) == (0, 10_000, 1)
    assert step.what.valid_from == step.what.valid_to == date(2026, 2, 1)


@pytest.mark.parametrize(
    ("amount", "is_known"), [(MAX_MINOR_UNITS, True), (MAX_MINOR_UNITS + 1, False)]
)
def test_patients_part_is_as_large_as_the_books_hold(amount: int, is_known: bool) -> None:
    fact = coverage_fact(copay_amount=Decimal(amount), copay_currency="JPY")
    assert (coverage_of(fact, "JPY") is not None) is is_known


def test_coverage_holds_from_its_first_day_to_its_last() -> None:
    fact = coverage_fact(valid_from=date(2026, 12, 31))
    coverage = coverage_of(fact, "USD")
    assert coverage is not None
    days = [date(2026, 12, 30), date(2026, 12, 31), date(2027, 1, 1)]
    assert [coverage.covers(day) for day in days] == [False, True, False]


@pytest.mark.parametrize(
    ("terms", "reason"),
    [
        ({"payer_id": "no id"}, "invalid_payer_id"),
        ({"order": -1}, "invalid_order"),
        ({"copay_basis_points": 10_001}, "invalid_copay"),
        ({"copay_amount": "-5"}, "invalid_copay"),
        ({"copay_amount": "1e9"}, "invalid_copay"),
        ({"valid_from": "yesterday"}, "invalid_period"),
        ({"valid_from": "2026-02-01", "valid_to": "2026-01-01"}, "invalid_period"),
    ],
)
def test_coverage_that_cannot_be_read_says_why(terms: dict[str, Any], reason: str) -> None:
    with pytest.raises(UnreadableError) as refused:
        read_event(coverage_event("p", "c", **terms).SerializeToString())
    assert refused.value.reason == reason


@pytest.mark.integration
async def test_coverage_of_the_record_is_a_new_version_of_the_account(
    billing: Client, patient_id: str
) -> None:
    before = await billing.account(patient_id)
    known = await billing.do("GetAccount", account_id=before)
    await follow(billing, coverage_event(patient_id, new_id()))
    changed = await billing.do("GetAccount", account_id=before)
    assert (changed.version, changed.status) == (known.version + 1, known.status)
    # Whoever saw the account before it does not overwrite it.
    problem = await billing.refusal(
        "SetCoverage", account_id=before, coverages=[], expected_version=known.version
    )
    assert problem.code == "stale_version"
