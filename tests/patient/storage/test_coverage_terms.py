"""What a Coverage tells of who pays, up to the last values that are taken."""

from decimal import Decimal
from typing import Any

import pytest

from apps.patient.storage.coverage_terms import coverage_terms


@pytest.mark.parametrize(
    ("order", "told"),
    [(0, 0), (1, 1), (2**31 - 1, 2**31 - 1), (2**31, 0), (-1, 0), ("1", 0)],
)
def test_order_is_a_positive_number_of_32_bits(order: Any, told: int) -> None:
    assert coverage_terms({"order": order}).order == told


def cost(code: str, **value: Any) -> dict[str, Any]:
    return {"type": {"coding": [{"code": code}]}, **value}


def percent(value: Any) -> dict[str, Any]:
    return cost("copaypct", valueQuantity={"value": value})


def amount(value: Any) -> dict[str, Any]:
    return cost("copay", valueMoney={"value": value, "currency": "USD"})


@pytest.mark.parametrize(
    ("value", "basis_points"),
    [
        (0, 0),
        (100, 10_000),
        (Decimal("100.01"), 0),
        (Decimal("0.005"), 1),
        (Decimal("-1"), 0),
        (True, 0),
        ("5", 0),
    ],
)
def test_copay_is_at_most_a_hundred_percent(value: Any, basis_points: int) -> None:
    assert coverage_terms({"costToBeneficiary": [percent(value)]}).copay_basis_points == (
        basis_points
    )


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (0, "0"),
        (Decimal("20.50"), "20.50"),
        (-1, ""),
        (Decimal("1E19"), "10000000000000000000"),
        (Decimal("1E20"), ""),
        (Decimal("1E-19"), "0.0000000000000000001"),
        (Decimal("1E-20"), ""),
    ],
)
def test_amount_is_not_below_zero_and_has_at_most_twenty_digits(value: Any, told: str) -> None:
    assert coverage_terms({"costToBeneficiary": [amount(value)]}).copay_amount == told


def test_first_percentage_or_amount_counts() -> None:
    for costs, told in (
        ([percent(10), amount(5)], (1_000, "")),
        ([amount(5), percent(10)], (0, "5")),
        ([cost("copay", valueQuantity={"value": 1}), percent(10)], (1_000, "")),
        ([cost("copaypct", valueMoney={"value": 1}), amount(5)], (0, "5")),
    ):
        terms = coverage_terms({"costToBeneficiary": costs})
        assert (terms.copay_basis_points, terms.copay_amount) == told


def test_dates_that_are_none_are_left_out() -> None:
    for period in (None, "2026", {"start": 2026}, {"start": "soon", "end": []}):
        terms = coverage_terms({"period": period})
        assert (terms.valid_from, terms.valid_to) == ("", "")
    terms = coverage_terms({"period": {"end": "2026-01-31"}})
    assert (terms.valid_from, terms.valid_to) == ("", "2026-01-31")


def test_payer_is_the_first_organisation_or_related_person() -> None:
    payors = [{"reference": f"{kind}/{kind.lower()}"} for kind in ("RelatedPerson", "Organization")]
    assert coverage_terms({"payor": payors}).payer_id == "relatedperson"
    assert coverage_terms({"payor": payors[::-1]}).payer_id == "organization"
    assert coverage_terms({"payor": []}).payer_id == ""
