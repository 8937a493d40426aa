"""Reads what the answer of a search is to look like: size, order, elements, includes. Pure.

Source: https://hl7.org/fhir/R4/search.html#return
"""

from collections.abc import Iterable, Sequence

from apps.patient.definitions.model import definition_of, resource_types, search_parameters
from apps.patient.search.criteria.query import (
    Include,
    Query,
    SortKey,
    indexed_types,
    invalid,
    parse_count,
)
from apps.patient.search.index.aliases import members_of

MAX_INCLUDES = 20
MAX_SORT_KEYS = 3
_SUMMARIES = ("true", "text", "data", "count", "false")
_TOTALS = ("none", "estimate", "accurate")
# They say what the answer looks like; the routes read them, or a page repeats them.
_PRESENTATION = ("_format", "_pretty")


def read_result_parameter(query: Query, name: str, value: str, *, lenient: bool) -> bool:
    """Reads what the answer is to look like into `query`; returns False for a criterion."""
    base, _, modifier = name.partition(":")
    if name == "_count":
        query.count = parse_count(value)
    elif name == "_cursor":
        query.cursor = value
    elif name == "_total" and value in _TOTALS:
        query.total = value != "none"
    elif name == "_totalMethod" and value == "count":
        # What fhirpy sends for `_total=accurate`.
        query.total = True
    elif name == "_summary" and value in _SUMMARIES:
        query.summary = value
    elif name == "_elements":
        query.elements += tuple(_elements(query, value, lenient))
    elif name == "_sort":
        query.sort += tuple(_sort_keys(query, value))
        if len(query.sort) > MAX_SORT_KEYS:
            raise invalid(name, f"at most {MAX_SORT_KEYS} keys")
    elif base in ("_include", "_revinclude"):
        query.includes += (_include(query, name, value, base, modifier),)
        if len(query.includes) > MAX_INCLUDES:
            raise invalid(name, f"at most {MAX_INCLUDES} of them")
    elif name in ("_contained", "_containedType"):
        # Never skipped: other resources would come than were asked for.
        if (name, value) != ("_contained", "false"):
            raise invalid(name, "contained resources come with what contains them, not alone")
    elif name in ("_total", "_summary"):
        raise invalid(name, "this value is not known")
    else:
        return name in _PRESENTATION
    return True


def _elements(query: Query, value: str, lenient: bool) -> Iterable[str]:
    for item in value.split(","):
        name = item.strip()
        if any(has_element(kind, name) for kind in query.types):
            yield name
        elif not lenient:
            raise invalid("_elements", f"{name[:50]} is no element of {', '.join(query.types)}")


def _sort_keys(query: Query, value: str) -> Iterable[SortKey]:
    for item in value.split(","):
        code = item.strip().removeprefix("-")
        for kind in query.types:
            if code not in search_parameters(kind):
                raise invalid("_sort", f"{code} is no parameter of {kind}")
        members = members_of(query.types[0], code)
        parameter = search_parameters(query.types[0])[members[0] if len(members) == 1 else code]
        yield SortKey(parameter=parameter, descending=item.strip().startswith("-"))


def _include(query: Query, name: str, value: str, base: str, modifier: str) -> Include:
    """Returns `Observation:subject:Patient`, `Observation:subject`, `Observation:*` or `*`."""
    if modifier not in ("", "iterate", "recurse"):
        raise invalid(name, f"there is no modifier :{modifier}")
    source, _, rest = value.partition(":")
    code, _, target = rest.partition(":")
    if value == "*":
        source, code = "*", "*"
    elif source not in indexed_types():
        raise invalid(name, "expected Type:parameter")
    elif code != "*":
        parameter = search_parameters(source).get(code)
        if parameter is None or parameter.kind != "reference":
            raise invalid(name, f"{code[:50]} is no reference of {source}")
    if target and target not in resource_types():
        raise invalid(name, "expected Type:parameter:TargetType")
    targets = () if code == "*" else search_parameters(source)[code].targets
    if target and targets and target not in targets:
        raise invalid(name, f"{code} does not refer to a {target}")
    if not modifier and not _joins(query, base, source, targets, target):
        raise invalid(
            name,
            f"this joins nothing to {', '.join(query.types)}; `:iterate` joins to what is included",
        )
    return Include(
        source=source,
        parameter=None if code == "*" else code,
        target=target,
        reverse=base == "_revinclude",
        iterate=bool(modifier),
    )


def _joins(query: Query, base: str, source: str, targets: Sequence[str], target: str) -> bool:
    """Tells whether an include without `:iterate` can start from the types that are searched."""
    if base == "_include":
        return source in ("*", *query.types)
    wanted = (target,) if target else targets
    return not wanted or bool(set(wanted) & set(query.types))


def has_element(resource_type: str, name: str) -> bool:
    """Tells whether `name`, `name.family` or `Patient.name` begins with an element of the type."""
    first = name.removeprefix(f"{resource_type}.").partition(".")[0]
    definition = definition_of(resource_type)
    return first == "resourceType" or bool(first in definition.elements or definition.named(first))
