"""A comparison of a `_filter` asks for what an ordinary parameter asks for."""

from typing import Any

import pytest

from apps.kit.errors import BadRequest
from apps.patient.search.criteria.criteria import AllOf, AnyOf, DateRange, Not, Scanned, WholeText
from tests.patient.search.reading.queries import read


def criterion(resource_type: str, query: str) -> Any:
    return read(query, resource_type).criteria[resource_type]


def filtered(resource_type: str, text: str) -> Any:
    return criterion(resource_type, f"_filter={text}")


@pytest.mark.parametrize(
    ("resource_type", "text", "query"),
    [
        ("Patient", "name pr true", "name:missing=false"),
        ("Patient", "name pr false", "name:missing=true"),
        ("Patient", "birthdate ge 2020", "birthdate=ge2020"),
        ("Patient", "birthdate ne 2020", "birthdate=ne2020"),
        ("Patient", "gender eq MALE", "gender=male"),
        ("Patient", "active eq TRUE", "active=true"),
        ("Patient", "_id eq 1", "_id=1"),
        ("Patient", "gender in administrative-gender", "gender:in=administrative-gender"),
        ("Patient", "gender ni administrative-gender", "gender:not-in=administrative-gender"),
        ("Patient", "organization re Organization/1", "organization=Organization/1"),
        ("Patient", "_source eq loinc|1", "_source=loinc|1"),
        ("Observation", "code eq loinc|8302-2", "code=http://loinc.org|8302-2"),
        ("Observation", "code eq 1|8302-2", "code=1|8302-2"),
        ("Observation", "code eq 123", "code=123"),
        ("Observation", "code eq Ab", "code=Ab,ab,AB"),
        ("Observation", "code eq loinc", "code=loinc,LOINC"),
        (
            "Observation",
            "code eq loinc|aB",
            "code=http://loinc.org|aB,http://loinc.org|ab,http://loinc.org|AB",
        ),
        ("Observation", 'code eq "1,2"', "code=1\\,2"),
        (
            "Observation",
            "value-quantity gt 5|ucum|mg",
            "value-quantity=gt5|http://unitsofmeasure.org|mg",
        ),
        ("Observation", "value-quantity gt 5||mg", "value-quantity=gt5||mg"),
        ("Observation", "subject.gender eq male", "subject.gender=male"),
    ],
)
def test_comparison_is_that_of_the_parameter(resource_type: str, text: str, query: str) -> None:
    assert filtered(resource_type, text) == criterion(resource_type, query)


def test_not_and_and_or_join_criteria() -> None:
    male, name = criterion("Patient", "gender=male"), criterion("Patient", "_id=1")
    assert filtered("Patient", "not (gender eq male)") == Not(criterion=male)
    assert filtered("Patient", "gender eq male and _id eq 1") == AllOf(criteria=(male, name))
    assert filtered("Patient", "gender eq male or _id eq 1") == AnyOf(criteria=(male, name))


def test_unequal_asks_for_a_value_but_that() -> None:
    male, there = criterion("Patient", "gender=male"), criterion("Patient", "gender:missing=false")
    assert filtered("Patient", "gender ne male") == AllOf(criteria=(Not(criterion=male), there))
    assert filtered("Patient", "_id ne 1") == Not(criterion=criterion("Patient", "_id=1"))
    # A resource with several codes has an unequal one beside an equal one.
    found = filtered("Observation", "code ne 1")
    assert isinstance(found, Scanned)
    assert (found.parameter, found.relation, found.value) == ("code", "unequal", "1")


def test_text_is_compared_as_a_whole_or_by_its_ends() -> None:
    for operator, symbol in (
        ("eq", "="),
        ("ne", "<>"),
        ("gt", ">"),
        ("lt", "<"),
        ("ge", ">="),
        ("le", "<="),
        ("sw", "sw"),
    ):
        found = filtered("Patient", f"family {operator} Strøm")
        assert isinstance(found, WholeText)
        assert (found.operator, found.text) == (symbol, "strom")
    ends = filtered("Patient", "family ew Strøm")
    assert isinstance(ends, Scanned)
    assert (ends.parameter, ends.relation, ends.value) == ("family", "ends", "strom")
    contains = criterion("Patient", "family:contains=x")
    assert AnyOf(criteria=(filtered("Patient", "family co x"),)) == contains
    # `phonetic` is the same elements as `name`.
    assert filtered("Patient", "phonetic eq x") == AnyOf(
        criteria=(filtered("Patient", "name eq x"),)
    )


def test_date_overlaps_or_holds_the_whole_value() -> None:
    day = criterion("Patient", "birthdate=2020-01-02").criteria[0].range
    overlaps, holds = (filtered("Patient", f"birthdate {word} 2020-01-02") for word in ("po", "co"))
    assert isinstance(overlaps, DateRange)
    assert isinstance(holds, DateRange)
    assert (overlaps.range.low_before, overlaps.range.high_after) == (day.high_upto, day.low_from)
    # A value that begins and ends with the day itself holds it.
    assert (holds.range.low_before, holds.range.high_after) == (
        day.low_from + 1,
        day.high_upto - 1,
    )
    assert overlaps.by_clock
    assert not filtered("Observation", "date po 2020-01-02T00:00:00Z").by_clock


@pytest.mark.parametrize(
    "text",
    [
        "name pr maybe",
        "gender pr male",
        "birthdate sw 2020",
        "birthdate co soon",
        "_lastUpdated po 2020",
        "_lastUpdated co 2020",
        "name ap x",
        "name pr",
        "gender gt male",
        'name eq " "',
        "organization eq Organization/1",
        "_source gt x",
        "organization.name.family eq x",
        "gender.name eq x",
    ],
)
def test_operator_is_refused_where_its_kind_does_not_have_it(text: str) -> None:
    with pytest.raises(BadRequest) as refused:
        filtered("Patient", text)
    assert refused.value.faults[0].pointer == "_filter"
    assert refused.value.detail.startswith("_filter: ")
