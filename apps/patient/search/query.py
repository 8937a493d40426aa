"""Parses a search: criteria by type, and what the answer is to look like. Pure.

Source: https://hl7.org/fhir/R4/search.html
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from apps.kit.errors import BadRequest
from apps.patient.definitions.model import (
    SearchParameter,
    definition_of,
    resource_types,
    search_parameters,
    served_types,
)
from apps.patient.search.aliases import members_of
from apps.patient.search.asked import Asked
from apps.patient.search.contained import MAX_STEPS
from apps.patient.search.contained_criteria import contained_criteria
from apps.patient.search.criteria import (
    NOTHING,
    AllOf,
    AnyOf,
    Chain,
    Criterion,
    Exact,
    ExactValue,
    Has,
    Identity,
    Missing,
    Not,
    Scanned,
    all_of,
    count_parts,
)
from apps.patient.search.escaping import split, unescape
from apps.patient.search.filter_criteria import filter_criterion
from apps.patient.search.hashing import (
    path_steps,
    present_hash,
    resource_hash,
    type_at,
)
from apps.patient.search.range_values import parse_updated
from apps.patient.search.texts import Either, TextSyntaxError, parse_text
from apps.patient.search.token_values import unknown_codes
from apps.patient.search.values import MAX_VALUE_CHARS, parse_values

DEFAULT_COUNT = 20
MAX_COUNT = 100
MAX_VALUES = 100
MAX_CRITERIA = 30
MAX_CHAIN_STEPS = 4
# Each is looked up by itself before the search runs: a chain for each type that it leads to.
MAX_CHAINS = 1_000
# With those that are read and lead nowhere, and those to contained resources: reading them takes
# the event loop's time, and each value is hashed for each path that leads to it.
MAX_STEPS_READ = 1_000
MAX_VALUES_READ = 10_000
# Each reads resources. As many as a `_filter` has comparisons.
MAX_SCANS = 30
MAX_INCLUDES = 20
MAX_SORT_KEYS = 3

Parameters = Iterable[tuple[str, str]]

_SUMMARIES = ("true", "text", "data", "count", "false")
_TOTALS = ("none", "estimate", "accurate")
# They say what the answer looks like; the routes read them, or a page repeats them.
_PRESENTATION = ("_format", "_pretty")
_GIVEN_ONCE = frozenset(("_count", "_cursor", "_total", "_summary"))
# What contained resources do not have: an id and a version of their own, and what refers to them.
_OUTSIDE = ("_id", "_lastUpdated", "_has:")
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Reads the parameters of a search. `lenient`: skips those that are not known (`Prefer:
    handling=lenient`).
    """

    base_url: str
    lenient: bool = False

    def read(self, types: Sequence[str], parameters: Parameters) -> Query:
        """Raises BadRequest naming the parameter for what is not served and for a value that
        makes no sense.
        """
        pairs = list(parameters)
        _check_repetitions(pairs)
        query = Query(types=tuple(_types_of(types, pairs)))
        query.touched.update(query.types)
        criteria: dict[str, list[Criterion]] = {name: [] for name in query.types}
        count = 0
        for name, value in pairs:
            if "\x00" in name + value:
                raise invalid(name[:50].replace("\x00", ""), "a NUL is no part of a value")
            if len(name) > MAX_VALUE_CHARS:
                raise invalid(name[:50], "the name is too long")
            if not self._read_result_parameter(query, name, value):
                count += 1
                if count > MAX_CRITERIA:
                    raise invalid(name, f"a search has at most {MAX_CRITERIA} criteria")
                if not self._read_criterion(query, criteria, name, value):
                    continue
            if name != "_cursor":
                query.accepted.append((name, value))
        query.criteria = {name: all_of(listed) for name, listed in criteria.items()}
        _check_costs(query.criteria.values())
        if query.summary == "text" and query.includes:
            raise invalid("_summary", "text goes with neither _include nor _revinclude")
        return query

    def _read_criterion(
        self, query: Query, criteria: dict[str, list[Criterion]], name: str, value: str
    ) -> bool:
        if name == "_type" and len(query.types) >= 1:
            return True
        try:
            found = {kind: self.criterion(query, kind, name, value, 0) for kind in query.types}
        except UnknownParameterError:
            # R4: a named query that is not known is never skipped.
            if self.lenient and name != "_query":
                return False
            raise
        for kind, criterion in found.items():
            criteria[kind].append(criterion)
        return True

    def criterion(self, query: Query, path: str, name: str, value: str, depth: int) -> Criterion:
        """Returns one parameter's criterion. `depth` counts the steps of chains around it.

        `path`: the type, or where contained resources of it are.
        """
        resource_type = type_at(path)
        if depth > MAX_CHAIN_STEPS:
            raise invalid(name, f"a chain has at most {MAX_CHAIN_STEPS} steps")
        if path != resource_type and name.startswith(_OUTSIDE):
            return NOTHING
        if name.startswith("_has:"):
            return self._has(query, resource_type, name, value, depth)
        if name in special_parameters(resource_type):
            return self._special(query, path, name, value, depth)
        head, dot, rest = name.partition(".")
        code, _, modifier = head.partition(":")
        asked = self.asked(path, code, name, modifier)
        parameter = asked.parameter
        if dot:
            return self._chain(
                query, asked, lambda kind: self.criterion(query, kind, rest, value, depth + 1)
            )
        if members := members_of(resource_type, code):
            suffix = f":{modifier}" if modifier else ""
            found = tuple(
                self.criterion(query, path, member + suffix, value, depth) for member in members
            )
            # To lack a value is to lack it in each of them.
            is_lacking = modifier in ("not", "not-in") or (
                modifier == "missing" and value == "true"
            )
            return AllOf(criteria=found) if is_lacking else AnyOf(criteria=found)
        if modifier == "missing":
            return _missing(asked, value)
        values = split(value, ",")
        if len(values) > MAX_VALUES or len(value) > MAX_VALUE_CHARS * 10:
            raise invalid(name, f"at most {MAX_VALUES} values")
        if parameter.kind not in ("token", "string"):
            values = [item.strip() for item in values]
        values = [item for item in values if item.strip()]
        if not values:
            raise invalid(name, "a value is needed")
        query.values += len(values)
        if query.values > MAX_VALUES_READ:
            raise too_many_paths()
        if any(len(item) > MAX_VALUE_CHARS for item in values):
            raise invalid(name, f"a value has at most {MAX_VALUE_CHARS} characters")
        if code == "_id":
            return _ids(asked, values)
        if code == "_lastUpdated":
            return AnyOf(criteria=tuple(parse_updated(asked, item) for item in values))
        if unknown := unknown_codes(asked, values):
            query.warnings.append(f"{name}: {', '.join(unknown)} is not among the codes of R4")
        return parse_values(asked, values)

    def asked(self, path: str, code: str, name: str, modifier: str) -> Asked:
        """Returns the parameter; raises UnknownParameterError for one that the type
        does not have.
        """
        resource_type = type_at(path)
        parameter = search_parameters(resource_type).get(code)
        if parameter is None:
            raise UnknownParameterError(resource_type, name)
        return Asked(
            path=path,
            parameter=parameter,
            name=name,
            modifier=modifier,
            base_url=self.base_url,
        )

    def _special(self, query: Query, path: str, name: str, value: str, depth: int) -> Criterion:
        """Returns the criterion of `_filter`, `_text` or `_content`."""
        if name == "_filter":
            return filter_criterion(_Parameters(self, query), path, value, depth)
        values = [unescape(item) for item in split(value, ",")]
        if len(values) > MAX_VALUES or len(value) > MAX_VALUE_CHARS:
            raise invalid(name, f"at most {MAX_VALUE_CHARS} characters")
        try:
            parsed = [parse_text(item) for item in values]
        except TextSyntaxError as error:
            raise invalid(name, str(error)) from None
        # One criterion: the resources are read once for all alternatives.
        words = Either(tuple(parsed))
        return Scanned(
            parameter=name,
            relation=name.removeprefix("_"),
            words=words,
            base_url=self.base_url,
            path=path,
        )

    def _chain(self, query: Query, asked: Asked, inner_of: Callable[[str], Criterion]) -> Criterion:
        """Returns the criterion of `subject:Patient.name`: of every target type that has
        the parameter.
        """
        parameter = asked.parameter
        if parameter.kind != "reference":
            raise invalid(asked.name, "only a reference can be followed")
        if asked.modifier and asked.modifier not in resource_types():
            raise invalid(asked.name, f"a reference has no modifier :{asked.modifier}")
        targets = [asked.modifier] if asked.modifier else list(parameter.targets)
        served = [target for target in targets or served_types() if target in served_types()]
        found: list[Criterion] = []

        def counted(kind: str) -> Criterion:
            query.steps += 1
            if query.steps > MAX_STEPS_READ:
                raise too_many_paths()
            return inner_of(kind)

        for target in served:
            if asked.modifier and parameter.targets and target not in parameter.targets:
                continue
            try:
                inner = counted(target)
            except UnknownParameterError:
                continue
            query.touched.add(target)
            found.append(
                Chain(
                    resource_type=asked.path,
                    parameter=parameter.code,
                    target_type=target,
                    criterion=inner,
                )
            )
            if path_steps(asked.path) < MAX_STEPS:
                found += contained_criteria(asked, target, counted)
        if not found:
            raise UnknownParameterError(asked.resource_type, asked.name)
        return AnyOf(criteria=tuple(found))

    def _has(
        self, query: Query, resource_type: str, name: str, value: str, depth: int
    ) -> Criterion:
        """Returns the criterion of `_has:Observation:patient:code`."""
        parts = name.split(":", 3)
        if len(parts) != 4 or parts[1] not in indexed_types():
            raise UnknownParameterError(resource_type, name)
        _, source, code, rest = parts
        reference = search_parameters(source).get(code)
        if reference is None or reference.kind != "reference":
            raise UnknownParameterError(resource_type, name)
        if reference.targets and resource_type not in reference.targets:
            raise invalid(name, f"{code} does not refer to a {resource_type}")
        query.touched.add(source)
        inner = self.criterion(query, source, rest, value, depth + 1)
        return Has(source_type=source, parameter=code, criterion=inner)

    def _read_result_parameter(self, query: Query, name: str, value: str) -> bool:
        """Reads what the answer is to look like; returns False for a criterion."""
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
            query.elements += tuple(self._elements(query, value))
        elif name == "_sort":
            query.sort += tuple(self._sort_keys(query, value))
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

    def _elements(self, query: Query, value: str) -> Iterable[str]:
        for item in value.split(","):
            name = item.strip()
            if any(has_element(kind, name) for kind in query.types):
                yield name
            elif not self.lenient:
                raise invalid("_elements", f"{name[:50]} is no element of {', '.join(query.types)}")

    def _sort_keys(self, query: Query, value: str) -> Iterable[SortKey]:
        for item in value.split(","):
            code = item.strip().removeprefix("-")
            for kind in query.types:
                if code not in search_parameters(kind):
                    raise invalid("_sort", f"{code} is no parameter of {kind}")
            members = members_of(query.types[0], code)
            parameter = search_parameters(query.types[0])[members[0] if len(members) == 1 else code]
            yield SortKey(parameter=parameter, descending=item.strip().startswith("-"))


@dataclass(frozen=True, slots=True)
class _Parameters:
    """The parameters of a search as a `_filter` names them."""

    reader: Reader
    query: Query

    def asked(self, path: str, name: str, depth: int) -> Asked:
        """Returns the parameter; raises UnknownParameterError for one that the type
        does not have.
        """
        if depth > MAX_CHAIN_STEPS:
            raise invalid(name, f"a path has at most {MAX_CHAIN_STEPS} steps")
        return self.reader.asked(path, name, name, "")

    def criterion(self, path: str, name: str, value: str, depth: int) -> Criterion:
        """Returns the criterion of `name=value`, with the name's modifier."""
        return self.reader.criterion(self.query, path, name, value, depth)

    def chain(self, asked: Asked, inner: Callable[[str], Criterion]) -> Criterion:
        """Returns the criterion that a reference leads to a resource that meets
        `inner` of its type.
        """
        return self.reader._chain(self.query, asked, inner)


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


def _types_of(types: Sequence[str], pairs: Sequence[tuple[str, str]]) -> Sequence[str]:
    """Returns the types that a system or compartment search is limited to by `_type`."""
    listed = [item.strip() for name, value in pairs if name == "_type" for item in value.split(",")]
    if not listed:
        return types
    for item in listed:
        if item not in types:
            raise invalid("_type", f"{item[:50]} is not searched here")
    return [name for name in types if name in listed]


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


def _check_costs(criteria: Iterable[Criterion]) -> None:
    """Raises BadRequest for more look-ups than one search is worth."""
    for criterion in criteria:
        if count_parts(criterion, Chain, Has) > MAX_CHAINS:
            raise too_many_chains()
        if count_parts(criterion, Scanned) > MAX_SCANS:
            raise BadRequest(
                "too_costly",
                f"at most {MAX_SCANS} comparisons that no index knows: `_text`,"
                " `_content`, `ew` of a `_filter` and the like",
            )


def too_many_chains() -> BadRequest:
    return BadRequest("too_costly", f"chains lead to more than {MAX_CHAINS} types in all")


def too_many_paths() -> BadRequest:
    return BadRequest(
        "too_costly",
        f"chains lead along more than {MAX_STEPS_READ} paths to types and to what they contain, or"
        f" ask for more than {MAX_VALUES_READ} values on them; name the types"
        " (`subject:Patient.name`) or give fewer values",
    )


def _missing(asked: Asked, value: str) -> Criterion:
    if value not in ("true", "false"):
        raise invalid(asked.name, "expected true or false")
    if asked.parameter.code in ("_id", "_lastUpdated"):
        # Every resource has them.
        return AnyOf(criteria=()) if value == "true" else AllOf(criteria=())
    missing: Criterion
    if asked.path == asked.resource_type:
        missing = Missing(position=missing_position(asked.resource_type, asked.parameter.code))
    else:
        present = present_hash(asked.path, asked.parameter.code)
        missing = Not(criterion=Exact(values=(ExactValue(matching=present, leading=None),)))
    return missing if value == "true" else Not(criterion=missing)


def _joins(query: Query, base: str, source: str, targets: Sequence[str], target: str) -> bool:
    """Tells whether an include without `:iterate` can start from the types that are searched."""
    if base == "_include":
        return source in ("*", *query.types)
    wanted = (target,) if target else targets
    return not wanted or bool(set(wanted) & set(query.types))


def _ids(asked: Asked, values: Sequence[str]) -> Criterion:
    ids = [unescape(value) for value in values]
    criterion = Identity(hashes=tuple(resource_hash(asked.resource_type, id) for id in ids))
    if asked.modifier == "not":
        return Not(criterion=criterion)
    if asked.modifier:
        raise invalid(asked.name, f"_id has no modifier :{asked.modifier}")
    return criterion


def has_element(resource_type: str, name: str) -> bool:
    """Tells whether `name`, `name.family` or `Patient.name` begins with an element of the type."""
    first = name.removeprefix(f"{resource_type}.").partition(".")[0]
    definition = definition_of(resource_type)
    return first == "resourceType" or bool(first in definition.elements or definition.named(first))


def _check_repetitions(pairs: Sequence[tuple[str, str]]) -> None:
    """Raises BadRequest for two values of what has one: the last would silently win."""
    given: dict[str, str] = {}
    for name, value in pairs:
        if name in _GIVEN_ONCE and given.setdefault(name, value) != value:
            raise invalid(name, "this is given once")


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
