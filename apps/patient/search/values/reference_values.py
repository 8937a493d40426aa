"""Parses the values of references: ids, addresses, logical identifiers, hierarchies. Pure.

Source: https://hl7.org/fhir/R4/search.html#reference
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from apps.patient.definitions.model import resource_types, served_types
from apps.patient.search.criteria.criteria import (
    AnyOf,
    Criterion,
    Exact,
    ExactValue,
    Hierarchy,
    Not,
    Scanned,
)
from apps.patient.search.criteria.escaping import split, unescape
from apps.patient.search.index import hashing
from apps.patient.search.index.hashing import hash_of, resource_hash, token_hash
from apps.patient.search.index.kinds_of_values import is_canonical, parent_parameter
from apps.patient.search.index.references import parse_reference
from apps.patient.search.values.asked import Asked

_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S+")


def parse_references(asked: Asked, values: Sequence[str]) -> Criterion:
    name = asked.parameter.code
    if asked.modifier == "not":
        # Of R5 for references; in R4 for tokens alone.
        return Not(criterion=parse_references(replace(asked, modifier=""), values))
    if asked.modifier == "identifier" and not is_canonical(asked.resource_type, name):
        return Exact(values=tuple(_logical(asked, value) for value in values), is_narrow=True)
    if asked.modifier in ("above", "below"):
        return AnyOf(criteria=tuple(_hierarchy(asked, unescape(value)) for value in values))
    target = asked.modifier
    if target and target not in resource_types():
        raise asked.refuse(f"a reference has no modifier :{target}")
    if target and asked.parameter.targets and target not in asked.parameter.targets:
        raise asked.refuse(f"this does not refer to a {target}")
    found: list[int] = []
    for value in values:
        found += reference_hashes(asked, unescape(value), target)
    exact = tuple(ExactValue(matching=hashed, leading=hashed) for hashed in found)
    return Exact(values=exact, is_narrow=True)


def _hierarchy(asked: Asked, value: str) -> Criterion:
    """Returns the criterion of `location:below=42`, or of the versions below a canonical URL."""
    name = asked.parameter.code
    reference = parse_reference(value, asked.base_url)
    if asked.modifier == "below" and is_canonical(asked.resource_type, name) and ":" in value:
        return Scanned(
            parameter=name,
            relation="canonical",
            value=value,
            base_url=asked.base_url,
            path=asked.path,
        )
    types = [kind for kind in asked.parameter.targets if kind in served_types()]
    if reference is not None and reference.id:
        types = [kind for kind in types if kind == reference.type]
        id = reference.id
    else:
        id = value
    # A bare id is that of the only type that it may be of.
    parent = parent_parameter(types[0]) if len(types) == 1 else None
    if parent is None or not _ID.fullmatch(id):
        raise asked.refuse(
            f":{asked.modifier} takes Type/id of a type whose resources are parts of each other"
        )
    return Hierarchy(
        resource_type=asked.path,
        parameter=name,
        target_type=types[0],
        parent=parent,
        targets=(resource_hash(types[0], id),),
        is_upward=asked.modifier == "above",
    )


def _logical(asked: Asked, value: str) -> ExactValue:
    parts = [unescape(part) for part in split(value, "|", 1)]
    code = parts[-1]
    if not code:
        raise asked.refuse("an identifier's value is needed")
    type_and_name = (asked.path, asked.parameter.code)
    leading = token_hash(*type_and_name, hashing.IDENTIFIER_VALUE, code)
    if len(parts) == 1:
        return ExactValue(matching=leading, leading=leading)
    matching = hash_of(*type_and_name, hashing.IDENTIFIER, *parts)
    return ExactValue(matching=matching, leading=leading)


def reference_hashes(asked: Asked, value: str, target: str) -> list[int]:
    """Returns what a reference may be stored as: `Patient/1`, `1`, or a URL of ours
    or of another.
    """
    name = asked.parameter.code
    reference = parse_reference(value, asked.base_url)
    if reference is not None and reference.id:
        if target and reference.type != target:
            raise asked.refuse(f"expected a {target}")
        if asked.parameter.targets and reference.type not in asked.parameter.targets:
            raise asked.refuse(f"this does not refer to a {reference.type}")
        return [_local_hash(asked, reference.type, reference.id)]
    if _ID.fullmatch(value):
        targets = [target] if target else asked.parameter.targets or sorted(resource_types())
        return [_local_hash(asked, kind, value) for kind in targets]
    if not _URL.fullmatch(value):
        raise asked.refuse("expected an id, Type/id or an address")
    return [token_hash(asked.path, name, hashing.URI, value)]


def _local_hash(asked: Asked, target_type: str, id: str) -> int:
    target = resource_hash(target_type, id)
    return hashing.reference_hash(asked.path, asked.parameter.code, target)
