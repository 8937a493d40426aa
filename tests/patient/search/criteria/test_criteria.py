"""Criteria within criteria."""

import pytest

from apps.patient.search.criteria.criteria import (
    EVERYTHING,
    NOTHING,
    AllOf,
    AnyOf,
    Chain,
    Contained,
    Criterion,
    Has,
    Identity,
    Missing,
    Near,
    Not,
    all_of,
    count_parts,
    is_of_one,
)

ONE, OTHER = Identity(hashes=(1,)), Identity(hashes=(2,))
NEAR = Near(latitude_key=1, longitude_key=2, latitude=0.0, longitude=0.0, kilometres=1.0)
CHAIN = Chain(resource_type="A", parameter="b", target_type="C", criterion=ONE)
HAS = Has(source_type="A", parameter="b", criterion=ONE)


@pytest.mark.parametrize(
    ("criterion", "expected"),
    [
        (ONE, False),
        (EVERYTHING, False),
        (NOTHING, False),
        (CHAIN, False),
        (HAS, False),
        (AllOf(criteria=(ONE,)), False),
        (AllOf(criteria=(ONE, OTHER)), True),
        (AllOf(criteria=(Not(criterion=ONE),)), True),
        (AnyOf(criteria=(ONE, OTHER)), False),
        (AnyOf(criteria=(ONE, AllOf(criteria=(ONE, OTHER)))), True),
        (Contained(path="A.b:C", criterion=ONE), False),
        (Contained(path="A.b:C", criterion=Missing(position=1)), True),
        (Not(criterion=ONE), True),
        (Missing(position=1), True),
        (NEAR, True),
    ],
)
def test_more_than_one_thing_or_what_lacks_is_asked_of_one_resource(
    criterion: Criterion, expected: bool
) -> None:
    assert is_of_one(criterion) is expected


def test_parts_are_counted_within_each_other() -> None:
    inner = AnyOf(criteria=(CHAIN, Not(criterion=HAS), Contained(path="A.b:C", criterion=CHAIN)))
    whole = AllOf(criteria=(inner, ONE))
    assert count_parts(whole, Chain, Has) == 3
    assert count_parts(whole, Identity) == 4
    assert count_parts(HAS, Has) == 1


def test_one_criterion_is_no_list() -> None:
    assert all_of([ONE]) == ONE
    assert all_of([]) == EVERYTHING
    assert all_of([ONE, OTHER]) == AllOf(criteria=(ONE, OTHER))
