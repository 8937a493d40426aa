"""The step of a chain to a contained resource, as criteria. Pure."""

from collections.abc import Callable, Iterator

from apps.patient.search.criteria.criteria import (
    EVERYTHING,
    NOTHING,
    AllOf,
    AnyOf,
    Contained,
    Criterion,
    Not,
    is_of_one,
)
from apps.patient.search.index.contained import NUMBERED, numbered_path
from apps.patient.search.index.hashing import contained_path
from apps.patient.search.values.asked import Asked


def contained_criteria(
    asked: Asked, target: str, inner_of: Callable[[str], Criterion]
) -> Iterator[Criterion]:
    """Yields the criteria of a chain's step to a contained resource of the type.

    What must be said of one resource is asked of each of several by itself.
    """
    path = contained_path(asked.path, asked.parameter.code, target)
    inner = inner_of(path)
    if inner == NOTHING:
        return
    found = Contained(path=path, criterion=inner)
    if not is_of_one(inner):
        yield found
        return
    numbered = [numbered_path(path, number) for number in range(NUMBERED)]
    several = tuple(Contained(path=name, criterion=EVERYTHING) for name in numbered)
    yield AllOf(criteria=(found, Not(criterion=AnyOf(criteria=several))))
    for name in numbered:
        yield Contained(path=name, criterion=inner_of(name))
