"""Reads from a resource what it is found by, along the paths of HL7's search parameters. Pure.

Each type's paths are compiled once. A path is tried only if its first property is there.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice, product
from typing import Any

from apps.patient.definitions.fhirpath.compiler import compile_path
from apps.patient.definitions.fhirpath.environment import Branch, Environment
from apps.patient.definitions.model import SearchParameter, search_parameters
from apps.patient.search.index.aliases import members_of
from apps.patient.search.index.conversions import CONVERSIONS, Conversion, Source
from apps.patient.search.index.index_values import CompositeValue, IndexValue, SimpleValue

# Columns of the resource's own row: the server sets them.
NOT_EXTRACTED = frozenset(("_id", "_lastUpdated"))
# An element with very many codings has so many composite values and no more.
MAX_COMBINATIONS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class _Path:
    """One branch of a parameter's expression, with what makes values of what it finds."""

    parameter: str
    branch: Branch
    convert: Conversion
    codes: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Composite:
    """A composite parameter: where its elements are, and each component's paths from there."""

    parameter: str
    branch: Branch
    components: Sequence[Sequence[_Path]]


@dataclass(frozen=True, slots=True)
class _Plan:
    """A type's paths by the property that they start with; "" for those that must
    always be tried.
    """

    by_property: Mapping[str, Sequence[_Path | _Composite]]


def index_values(resource: Mapping[str, Any], base_url: str) -> list[IndexValue]:
    """Returns the values of every search parameter of the resource's type, each once.

    A parameter that is made of others has none of its own (`members_of`).
    The resource must be valid. `base_url` is the address of this service's FHIR resources:
    references that start with it are references of ours.
    """
    resource_type = resource["resourceType"]
    found: dict[IndexValue, None] = {}
    for name, part in parts_of(resource):
        found.update(dict.fromkeys(part_values(resource_type, name, part, base_url)))
    return list(found)


def values_of(
    resource: Mapping[str, Any], parameters: Sequence[str], base_url: str
) -> Iterator[IndexValue]:
    """Yields the values of some parameters, one perhaps more than once: much less is
    evaluated than for all.
    """
    resource_type = resource["resourceType"]
    for name, part in parts_of(resource):
        yield from part_values(resource_type, name, part, base_url, parameters)


def parts_of(resource: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields the parts of a resource that search parameters look at, with the property that
    each is named by.

    A path sees no more than the property that it starts with, and the extensions of a primitive
    one; paths that start with none are named by "" and see the whole resource.
    """
    by_property = _plan(resource["resourceType"]).by_property
    if "" in by_property:
        yield "", dict(resource)
    for name, value in resource.items():
        if name in by_property:
            sibling = f"_{name}"
            if sibling in resource:
                yield name, {name: value, sibling: resource[sibling]}
            else:
                yield name, {name: value}


def part_values(
    resource_type: str,
    name: str,
    part: dict[str, Any],
    base_url: str,
    parameters: Sequence[str] | None = None,
) -> Iterator[IndexValue]:
    """Yields the values of one part of a resource, one perhaps more than once.
    `parameters`: None for all.
    """
    environment = Environment(part, part)
    for path in _plan(resource_type).by_property[name]:
        if parameters is not None and path.parameter not in parameters:
            continue
        if isinstance(path, _Path):
            yield from _values(path, environment, [part], base_url)
        else:
            yield from _combinations(path, environment, [part], base_url)


def _values(
    path: _Path, environment: Environment, focus: list[Any], base_url: str
) -> Iterator[SimpleValue]:
    for group, item in enumerate(path.branch.evaluate(environment, focus)):
        source = Source(parameter=path.parameter, base_url=base_url, codes=path.codes, group=group)
        yield from path.convert(item, source)


def _combinations(
    composite: _Composite, environment: Environment, focus: list[Any], base_url: str
) -> Iterator[CompositeValue]:
    for item in composite.branch.evaluate(environment, focus):
        # Most elements lack a part: nothing is evaluated for those.
        there = [
            [path for path in paths if path.branch.root in item] for paths in composite.components
        ]
        if not all(there):
            continue
        parts = [
            [value for path in paths for value in _values(path, environment, [item], base_url)]
            for paths in there
        ]
        if all(parts):
            yield from _composite_values(composite.parameter, parts)


def _composite_values(parameter: str, parts: list[list[SimpleValue]]) -> Iterator[CompositeValue]:
    for combination in islice(product(*parts), MAX_COMBINATIONS):
        yield CompositeValue(parameter=parameter, parts=combination)


@cache
def _plan(resource_type: str) -> _Plan:
    by_property: dict[str, list[_Path | _Composite]] = defaultdict(list)
    for parameter in search_parameters(resource_type).values():
        if parameter.code in NOT_EXTRACTED or members_of(resource_type, parameter.code):
            continue
        paths: Sequence[_Path | _Composite] = (
            _composites(parameter, resource_type)
            if parameter.components
            else _paths(parameter.code, parameter.kind, parameter.expression, resource_type)
        )
        for path in paths:
            by_property[path.branch.root].append(path)
    return _Plan(dict(by_property))


def _paths(code: str, kind: str, expression: str, type_name: str) -> list[_Path]:
    paths = []
    for branch in compile_path(expression, type_name):
        convert = CONVERSIONS.get((kind, branch.type))
        if convert is not None:
            codes = branch.element.codes if branch.element else None
            paths.append(_Path(parameter=code, branch=branch, convert=convert, codes=codes or {}))
    return paths


def _composites(parameter: SearchParameter, resource_type: str) -> list[_Composite]:
    return [
        _Composite(
            parameter=parameter.code,
            branch=branch,
            components=[
                _paths(code, _kind_of(code, resource_type), expression, branch.type)
                for code, expression in parameter.components
            ],
        )
        for branch in compile_path(parameter.expression, resource_type)
    ]


def _kind_of(code: str, resource_type: str) -> str:
    return search_parameters(resource_type)[code].kind
