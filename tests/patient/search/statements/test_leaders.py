"""What leads a search, and what candidates must meet besides."""

import pytest

from apps.patient.search.criteria.criteria import (
    EVERYTHING,
    NOTHING,
    AllOf,
    AnyOf,
    Contains,
    Criterion,
    DateRange,
    Exact,
    ExactValue,
    Identity,
    Missing,
    Not,
    NumberRange,
    Range,
    Updated,
    WholeText,
    Words,
)
from apps.patient.search.statements.leaders import (
    flatten,
    leads,
    merged_dates,
    needs_check,
    rest_of,
)

CODE = Exact(values=(ExactValue(matching=1, leading=1),))
CODING = Exact(values=(ExactValue(matching=2, leading=1), ExactValue(matching=1, leading=1)))
SYSTEM = Exact(values=(ExactValue(matching=1, leading=1), ExactValue(matching=2, leading=None)))
IDS = Identity(hashes=(1,))
MISSING = Missing(position=1)


def dated(
    key: int = 1, *, by_clock: bool = True, negated: bool = False, **bounds: int
) -> DateRange:
    return DateRange(key=key, range=Range(**bounds), by_clock=by_clock, negated=negated)


@pytest.mark.parametrize(
    ("criterion", "expected"),
    [
        (CODE, True),
        (CODING, True),
        (SYSTEM, False),
        (dated(low_from=1), True),
        (dated(low_from=1, negated=True), False),
        (NumberRange(key=1, range=Range()), True),
        (NumberRange(key=1, range=Range(), negated=True), False),
        (Updated(range=Range()), True),
        (Updated(range=Range(), negated=True), False),
        (WholeText(key=1, operator="=", text="a"), True),
        (WholeText(key=1, operator="<>", text="a"), False),
        (Words(key=1, words=("a",)), True),
        (Contains(key=1, part="a"), True),
        (IDS, True),
        (MISSING, False),
        (Not(criterion=CODE), False),
        (EVERYTHING, False),
    ],
)
def test_criterion_leads_where_an_index_gives_its_candidates(
    criterion: Criterion, expected: bool
) -> None:
    assert leads(criterion) is expected


@pytest.mark.parametrize(
    ("leader", "expected"),
    [
        (CODE, False),
        (CODING, True),
        (Words(key=1, words=("a",)), False),
        (Words(key=1, words=("a",), exact=5), True),
        (IDS, False),
    ],
)
def test_leader_is_compared_again_where_its_index_is_less_exact(
    leader: Criterion, expected: bool
) -> None:
    assert needs_check(leader) is expected
    assert rest_of([leader, MISSING], leader) == (
        AllOf(criteria=(leader, MISSING)) if expected else MISSING
    )
    assert rest_of([leader], leader) == (leader if expected else EVERYTHING)
    assert rest_of([leader, MISSING], None) == AllOf(criteria=(leader, MISSING))


def test_criteria_within_each_other_are_a_list() -> None:
    assert flatten(CODE) == [CODE]
    assert flatten(EVERYTHING) == []
    assert flatten(NOTHING) == [NOTHING]
    nested = AllOf(criteria=(CODE, AllOf(criteria=(IDS, AnyOf(criteria=(MISSING,))))))
    assert flatten(nested) == [CODE, IDS, MISSING]
    both = AnyOf(criteria=(CODE, IDS))
    assert flatten(AnyOf(criteria=(both,))) == [both]
    assert flatten(Not(criterion=Not(criterion=nested))) == [CODE, IDS, MISSING]
    assert flatten(Not(criterion=CODE)) == [Not(criterion=CODE)]


def test_bounds_of_a_date_that_is_there_once_are_joined() -> None:
    after, before = dated(low_from=5, high_after=2), dated(low_before=9, high_upto=8)
    joined = dated(low_from=5, high_after=2, low_before=9, high_upto=8)
    assert merged_dates([after, CODE, before], {1}) == [CODE, joined]
    narrower = dated(low_from=6, high_after=3, low_before=8, high_upto=7)
    assert merged_dates([joined, narrower], {1}) == [narrower]
    assert merged_dates([narrower, joined], {1}) == [narrower]
    assert merged_dates([after], {1}) == [after]


@pytest.mark.parametrize(
    "other",
    [
        dated(2, low_before=9),
        dated(1, low_before=9, by_clock=False),
        dated(1, low_before=9, negated=True),
    ],
)
def test_bounds_of_other_dates_stay_apart(other: DateRange) -> None:
    after = dated(low_from=5)
    assert set(map(str, merged_dates([after, other], {1}))) == {str(after), str(other)}
    assert merged_dates([after, dated(low_before=9)], {2}) == [after, dated(low_before=9)]
