"""A search as it is read: the types, their criteria, and what the answer is to look like. Pure.

Source: https://hl7.org/fhir/R4/search.html
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

from apps.kit.errors import BadRequest
from apps.patient.definitions.model import (
    SearchParameter,
    definition_of,
    search_parameters,
    served_types,
)
from apps.patient.search.criteria.criteria import Criterion

DEFAULT_COUNT = 20
MAX_COUNT = 100
# The audit is searched by itself: nothing joins to it.
UNINDEXED_TYPES = frozenset(("AuditEvent",))
# Parameters of every type that have no path, and so are in no definition of one.
SPECIAL_PARAMETERS = {"_content": "string", "_filter": "special", "_text": "string"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SortKey:
    parameter: SearchParameter
    descending: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Include:
    """`_include` or `_revinclude`: `parameter` None for every reference (`*`), `target`
    "" for any type.
    """

    source: str
    parameter: str | None
    target: str
    reverse: bool
    iterate: bool


@dataclass(slots=True, kw_only=True)
class Query:
    """A parsed search. `criteria` has what each type's resources must meet; `touched` every
    type looked into.
    """

    types: tuple[str, ...]
    criteria: dict[str, Criterion] = field(default_factory=dict)
    count: int = DEFAULT_COUNT
    cursor: str = ""
    total: bool = False
    summary: str = "false"
    elements: tuple[str, ...] = ()
    sort: tuple[SortKey, ...] = ()
    includes: tuple[Include, ...] = ()
    touched: set[str] = field(default_factory=set)
    # How many steps of chains were read, each for a type, and how many values of all paths.
    steps: int = 0
    values: int = 0
    # What was understood and cannot be met: told in the answer.
    warnings: list[str] = field(default_factory=list)
    # What was understood: the parameters of the `self` link.
    accepted: list[tuple[str, str]] = field(default_factory=list)


class UnknownParameterError(BadRequest):
    """A parameter that the type does not have: skipped where the client asked for
    lenient handling.
    """

    def __init__(self, resource_type: str, name: str) -> None:
        known = ", ".join(
            sorted((*search_parameters(resource_type), *special_parameters(resource_type)))
        )
        super().__init__(
            "parameter_not_served",
            f"{name[:100]} is not served for {resource_type}; served are {known}",
            pointer=name[:100],
        )


def invalid(name: str, message: str) -> BadRequest:
    return BadRequest("invalid_parameter", f"{name}: {message}", pointer=name)


def parse_count(value: str) -> int:
    """Returns the page size: more than MAX_COUNT is answered with MAX_COUNT."""
    if not value.isascii() or not value.isdigit() or len(value) > 9:
        raise invalid("_count", "expected a number")
    return min(int(value), MAX_COUNT)


@cache
def indexed_types() -> tuple[str, ...]:
    """Returns the types that joins may lead to."""
    return tuple(name for name in served_types() if name not in UNINDEXED_TYPES)


@cache
def special_parameters(resource_type: str) -> Mapping[str, str]:
    """Returns the kinds of the parameters that have no path: `_filter`, and those that
    look at texts.
    """
    if resource_type in UNINDEXED_TYPES:
        return {}
    has_narrative = "DomainResource" in definition_of(resource_type).bases
    return {
        name: kind for name, kind in SPECIAL_PARAMETERS.items() if has_narrative or name != "_text"
    }


def missing_position(resource_type: str, parameter: str) -> int:
    """Returns the parameter's bit in `resource.parameters_present`."""
    return _positions(resource_type)[parameter]


@cache
def _positions(resource_type: str) -> Mapping[str, int]:
    return {name: place for place, name in enumerate(sorted(search_parameters(resource_type)))}
