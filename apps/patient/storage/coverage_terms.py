"""What a Coverage says of who pays: for events, which billing reads. Never a name or a
member number. Pure.
"""

from collections.abc import Mapping
from datetime import timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from apps.patient.codec import Resource
from apps.patient.search.index.moments import Moment, parse_moment
from apps.patient.search.statements.sql import moment_of
from apps.patient.storage.summaries import objects, referenced_id
from protos.patient.v1 import events_pb2

# https://terminology.hl7.org/CodeSystem-coverage-copay-type.html
COPAY_PERCENT = "copaypct"
COPAY = "copay"
PAYERS = ("Organization", "RelatedPerson")
MAX_ORDER = 2**31 - 1


def coverage_terms(resource: Resource) -> events_pb2.CoverageTerms:
    """Returns what billing needs of a Coverage (https://hl7.org/fhir/R4/coverage.html)."""
    order = resource.get("order")
    period = resource.get("period")
    start, end = (_span(period, name) for name in ("start", "end"))
    terms = events_pb2.CoverageTerms(
        payer_id=_payer_id(resource),
        order=order if isinstance(order, int) and 0 < order <= MAX_ORDER else 0,
        valid_from=moment_of(start.clock_start).date().isoformat() if start else "",
        # The span's end is exclusive: the last day is the one before it.
        valid_to=(moment_of(end.clock_end) - timedelta(microseconds=1)).date().isoformat()
        if end
        else "",
    )
    _add_copay(terms, resource)
    return terms


def _payer_id(resource: Resource) -> str:
    for payor in objects(resource.get("payor")):
        for resource_type in PAYERS:
            if found := referenced_id(payor, resource_type):
                return found
    return ""


def _add_copay(terms: events_pb2.CoverageTerms, resource: Resource) -> None:
    """Adds the first percentage or amount that the patient pays."""
    for cost in objects(resource.get("costToBeneficiary")):
        kinds = {
            coding.get("code")
            for concept in objects(cost.get("type"))
            for coding in objects(concept.get("coding"))
        }
        quantity = _number(cost.get("valueQuantity"))
        money = _number(cost.get("valueMoney"))
        if COPAY_PERCENT in kinds and quantity is not None and quantity <= 100:
            basis_points = (quantity * 100).quantize(Decimal(1), rounding=ROUND_HALF_UP)
            terms.copay_basis_points = int(basis_points)
            return
        if COPAY in kinds and money is not None:
            terms.copay_amount = f"{money:f}"
            terms.copay_currency = str(cost["valueMoney"].get("currency", ""))
            return


def _number(value: Any) -> Decimal | None:
    """Returns the value of a Quantity or of Money, if it has one that is not below zero."""
    found = value.get("value") if isinstance(value, Mapping) else None
    if not isinstance(found, int | Decimal) or isinstance(found, bool):
        return None
    number = Decimal(found)
    return number if number >= 0 and abs(number.adjusted()) < 20 else None


def _span(period: Any, name: str) -> Moment | None:
    text = period.get(name) if isinstance(period, Mapping) else None
    return parse_moment(text) if isinstance(text, str) else None
