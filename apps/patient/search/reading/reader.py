"""Reads the parameters of a search into criteria by type. Pure.

Source: https://hl7.org/fhir/R4/search.html
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from apps.patient.definitions.model import resource_types, search_parameters, served_types
from apps.patient.search.criteria.criteria import (
    NOTHING,
    AllOf,
    AnyOf,
    Chain,
    Criterion,
    Has,
    Scanned,
    all_of,
)
from apps.patient.search.criteria.escaping import split, unescape
from apps.patient.search.criteria.query import (
    Query,
    UnknownParameterError,
    indexed_types,
    invalid,
    special_parameters,
)
from apps.patient.search.criteria.texts import Either, TextSyntaxError, parse_text
from apps.patient.search.index.aliases import members_of
from apps.patient.search.index.contained import MAX_STEPS
from apps.patient.search.index.hashing import path_steps, type_at
from apps.patient.search.reading.contained_criteria import contained_criteria
from apps.patient.search.reading.filter_criteria import filter_criterion
from apps.patient.search.reading.limits import (
    MAX_CHAIN_STEPS,
    MAX_CRITERIA,
    MAX_STEPS_READ,
    MAX_VALUE_CHARS,
    MAX_VALUES,
    MAX_VALUES_READ,
    check_costs,
    too_many_paths,
)
from apps.patient.search.reading.result_parameters import read_result_parameter
from apps.patient.search.values.asked import Asked
from apps.patient.search.values.parsing import parse_ids, parse_missing, parse_values
from apps.patient.search.values.range_values import parse_updated
from apps.patient.search.values.token_values import unknown_codes

Parameters = Iterable[tuple[str, str]]

_GIVEN_ONCE = frozenset(("_count", "_cursor", "_total", "_summary"))
# What contained resources do not have: an id and a version of their own, and what refers to them.
_OUTSIDE = ("_id", "_lastUpdated", "_has:")


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
            if not read_result_parameter(query, name, value, lenient=self.lenient):
                count += 1
                if count > MAX_CRITERIA:
                    raise invalid(name, f"a search has at most {MAX_CRITERIA} criteria")
                if not self._read_criterion(query, criteria, name, value):
                    continue
            if name != "_cursor":
                query.accepted.append((name, value))
        query.criteria = {name: all_of(listed) for name, listed in criteria.items()}
        check_costs(query.criteria.values())
        if query.summary == "text" and query.includes:
            raise invalid("_summary", "text goes with neither _include nor _revinclude")
        return query

    def _read_criterion(
        self, query: Query, criteria: dict[str, list[Criterion]], name: str, value: str
    ) -> bool:
        if name == "_type":
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
            return parse_missing(asked, value)
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
            return parse_ids(asked, values)
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


def _types_of(types: Sequence[str], pairs: Sequence[tuple[str, str]]) -> Sequence[str]:
    """Returns the types that a system or compartment search is limited to by `_type`."""
    listed = [item.strip() for name, value in pairs if name == "_type" for item in value.split(",")]
    if not listed:
        return types
    for item in listed:
        if item not in types:
            raise invalid("_type", f"{item[:50]} is not searched here")
    return [name for name in types if name in listed]


def _check_repetitions(pairs: Sequence[tuple[str, str]]) -> None:
    """Raises BadRequest for two values of what has one: the last would silently win."""
    given: dict[str, str] = {}
    for name, value in pairs:
        if name in _GIVEN_ONCE and given.setdefault(name, value) != value:
            raise invalid(name, "this is given once")
