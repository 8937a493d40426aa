"""What a search asks for, as values: each criterion can be a condition of a row, and most can lead
the search. Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias

from apps.patient.search.criteria.texts import TextExpression

Bound: TypeAlias = int | Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactValue:
    """`matching` is the hash that a resource must have; `leading` the indexed one that
    finds it, if any.

    `system` is the key of the listed codes that lead to it instead: it is resolved before
    the search runs.
    """

    matching: int
    leading: int | None
    system: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Exact:
    """Tokens, references and URIs: the resource has one of the values. `is_narrow`: few
    resources have each.
    """

    values: tuple[ExactValue, ...]
    is_narrow: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """The resource has no value for the parameter at this `position` of the sorted names."""

    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Bounds of a span (`low`, `high`); None where there is none.

    `low_from` and `high_upto` are inclusive, `low_before` and `high_after` exclusive, but where a
    number says otherwise (`low_after`, `low_upto`, `high_from`, `high_before`).
    """

    low_from: Bound | None = None
    low_after: Bound | None = None
    low_before: Bound | None = None
    low_upto: Bound | None = None
    high_from: Bound | None = None
    high_after: Bound | None = None
    high_before: Bound | None = None
    high_upto: Bound | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DateRange:
    """One value of a date parameter. `by_clock`: compared with what the clock showed.
    `negated` for `ne`.
    """

    key: int
    range: Range
    by_clock: bool
    negated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberRange:
    """One value of a number or quantity parameter. `unit` is a column and the hash it must have."""

    key: int
    range: Range
    unit: tuple[str, int] | None = None
    negated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """Each of `words` begins a word of the same name, address or text; with `exact` one is
    written just so.
    """

    key: int
    words: tuple[str, ...]
    exact: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Contains:
    """The text has `part` somewhere."""

    key: int
    part: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeText:
    """A whole part of a name, address or text compares with `text` by `operator`, or begins
    with it (`sw`).
    """

    key: int
    operator: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanned:
    """What no index tells: asked of each resource that meets the other criteria, of a limited
    number of them.

    `relation` compares the values of `parameter` with `value`, or the words of the
    resource with `words`. `path`: the type, or where contained resources are that are asked.
    """

    parameter: str
    relation: str
    value: str = ""
    words: TextExpression | None = None
    base_url: str = ""
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """`_id`, and the resources that a chain or a compartment led to."""

    hashes: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Updated:
    """`_lastUpdated`, in microseconds since 1970."""

    range: Range
    negated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class UriBelow:
    """A URI is `uri` or begins with it and a slash. `hashed` is what the previous
    layout has of it.
    """

    parameter: str
    key: int
    uri: str
    hashed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DisplayText:
    """`:text` on a token: looked up among the texts that codes came with, before
    the search runs.
    """

    key: int
    resource_type: str
    parameter: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Near:
    """Within `kilometres` of a position, in degrees."""

    latitude_key: int
    longitude_key: int
    latitude: float
    longitude: float
    kilometres: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """The resource refers by `parameter` to one of `target_type` that meets `criterion`."""

    resource_type: str
    parameter: str
    target_type: str
    criterion: "Criterion"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contained:
    """A resource that is contained at `path` meets `criterion`, which asks for what the index
    has by that path.
    """

    path: str
    criterion: "Criterion"


@dataclass(frozen=True, slots=True, kw_only=True)
class Has:
    """A resource of `source_type` that meets `criterion` refers to this one by `parameter`."""

    source_type: str
    parameter: str
    criterion: "Criterion"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hierarchy:
    """The resource refers by `parameter` to one of `targets` or to what is above or below it.

    `targets` are of `target_type`, whose `parent` refers to what is above. `reachable`: what the
    caller may find.
    """

    resource_type: str
    parameter: str
    target_type: str
    parent: str
    targets: tuple[int, ...]
    is_upward: bool
    reachable: "Criterion | None" = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Owned:
    """The resource is part of this patient's record."""

    patient_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Not:
    criterion: "Criterion"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyOf:
    criteria: tuple["Criterion", ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AllOf:
    criteria: tuple["Criterion", ...]


Criterion: TypeAlias = (
    Exact
    | Missing
    | DateRange
    | NumberRange
    | Words
    | Contains
    | WholeText
    | Scanned
    | Identity
    | Updated
    | DisplayText
    | UriBelow
    | Near
    | Chain
    | Contained
    | Has
    | Hierarchy
    | Owned
    | Not
    | AnyOf
    | AllOf
)

NOTHING = AnyOf(criteria=())
EVERYTHING = AllOf(criteria=())


def is_of_one(criterion: Criterion) -> bool:
    """Tells whether it matters that one resource meets all of the criterion: it asks for more
    than one thing, as a position's latitude and longitude, or for what is lacking.
    """
    match criterion:
        case Not() | Missing() | Near():
            return True
        case AllOf():
            return len(criterion.criteria) > 1 or any(map(is_of_one, criterion.criteria))
        case AnyOf():
            return any(map(is_of_one, criterion.criteria))
        case Contained():
            return is_of_one(criterion.criterion)
    return False


def count_parts(criterion: Criterion, *kinds: type) -> int:
    """Returns how many criteria of these kinds there are within the criterion."""
    inner: tuple[Criterion, ...] = ()
    match criterion:
        case AllOf() | AnyOf():
            inner = criterion.criteria
        case Not() | Chain() | Contained() | Has():
            inner = (criterion.criterion,)
    return isinstance(criterion, kinds) + sum(count_parts(part, *kinds) for part in inner)


def all_of(criteria: Sequence[Criterion]) -> Criterion:
    return criteria[0] if len(criteria) == 1 else AllOf(criteria=tuple(criteria))
