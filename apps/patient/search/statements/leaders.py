"""What leads a search: the criterion whose index gives the candidates, and what they must meet
besides. Pure.
"""

from collections.abc import Set

from apps.patient.search.criteria.criteria import (
    AllOf,
    Contains,
    Criterion,
    DateRange,
    Exact,
    Identity,
    Not,
    NumberRange,
    Range,
    Updated,
    WholeText,
    Words,
)


def leads(criterion: Criterion) -> bool:
    """Tells whether the criterion can lead a search."""
    match criterion:
        case Exact():
            return all(value.leading is not None for value in criterion.values)
        case DateRange() | NumberRange() | Updated():
            return not criterion.negated
        case WholeText():
            return criterion.operator != "<>"
        case Words() | Identity() | Contains():
            return True
    return False


def needs_check(leader: Criterion) -> bool:
    """Tells whether candidates must still be compared: a code was found, its system was
    asked for too.
    """
    if isinstance(leader, Exact):
        return any(value.leading != value.matching for value in leader.values)
    return isinstance(leader, Words) and leader.exact is not None


def rest_of(criteria: list[Criterion], leader: Criterion | None) -> Criterion:
    """Returns what candidates must meet beside the leader."""
    rest = [item for item in criteria if item is not leader or needs_check(item)]
    return rest[0] if len(rest) == 1 else AllOf(criteria=tuple(rest))


def flatten(criterion: Criterion) -> list[Criterion]:
    """Returns the criteria that must all be met; alternatives with one choice are that choice."""
    if isinstance(criterion, AllOf):
        return [item for part in criterion.criteria for item in flatten(part)]
    if getattr(criterion, "criteria", None) and len(criterion.criteria) == 1:  # type: ignore[union-attr]
        return flatten(criterion.criteria[0])  # type: ignore[union-attr]
    if isinstance(criterion, Not) and isinstance(criterion.criterion, Not):
        return flatten(criterion.criterion.criterion)
    return [criterion]


def merged_dates(criteria: list[Criterion], is_single: Set[int]) -> list[Criterion]:
    """Joins the bounds of a date that a resource has once: `ge` and `le` become one
    range of the index.
    """
    merged: dict[tuple[int, bool], DateRange] = {}
    others: list[Criterion] = []
    for item in criteria:
        if not isinstance(item, DateRange) or item.negated or item.key not in is_single:
            others.append(item)
            continue
        before = merged.get((item.key, item.by_clock))
        merged[(item.key, item.by_clock)] = item if before is None else _join(before, item)
    return [*others, *merged.values()]


def _join(first: DateRange, second: DateRange) -> DateRange:
    def bounds(name: str) -> list[int]:
        given = [getattr(item.range, name) for item in (first, second)]
        return [int(bound) for bound in given if bound is not None]

    joined = Range(
        low_from=max(bounds("low_from"), default=None),
        low_before=min(bounds("low_before"), default=None),
        high_after=max(bounds("high_after"), default=None),
        high_upto=min(bounds("high_upto"), default=None),
    )
    return DateRange(key=first.key, range=joined, by_clock=first.by_clock)
