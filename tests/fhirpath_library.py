"""Compares our FHIRPath with fhirpathpy's, on a resource's invariants and search parameters."""

import json
import re
from decimal import Decimal
from functools import cache
from typing import Any

import fhirpathpy
from fhirpathpy.engine.nodes import ResourceNode
from fhirpathpy.models import models
from fhirpathpy.parser import parse

from apps.patient.definitions.fhirpath.compiler import compile_condition, compile_path, joined
from apps.patient.definitions.fhirpath.environment import UCUM, Environment
from apps.patient.definitions.model import definition_of, search_parameters
from tests.typed_nodes import typed_nodes

# What the library does not have: `resolve()`, `hasValue()`, and an order of quantities.
_NOT_IN_LIBRARY = re.compile(r"\b(resolve|hasValue)\(|^low\.empty")
# Prints to the screen there.
_TRACE = re.compile(r"\.trace\('\w+'(, id)?\)")


@cache
def _parsed(expression: str) -> Any:
    return parse(_TRACE.sub("", expression))  # type: ignore[no-untyped-call]


def _theirs(item: Any, expression: str, context: dict[str, Any], base: str = "") -> Any:
    subject = ResourceNode.create_node(item, base) if base else item  # type: ignore[no-untyped-call]
    found = fhirpathpy.apply_parsed_path(  # type: ignore[no-untyped-call]
        subject, _parsed(expression), context, models["r4"]
    )
    return plain(found)


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: plain(child) for name, child in value.items()}
    if isinstance(value, list):
        return [plain(child) for child in value]
    return float(value) if isinstance(value, Decimal) else value


def compare_invariants(resource: dict[str, Any], name: str) -> int:
    """Returns how many invariants were compared; asserts that each holds where the
    library's does.
    """
    compared = 0
    for type_name, value, holder in typed_nodes(resource):
        for invariant in definition_of(type_name).invariants:
            # The library has no types below `descendants()`; dom-3 is checked in code.
            if invariant.key == "dom-3" or _NOT_IN_LIBRARY.search(invariant.expression):
                continue
            holds = compile_condition(invariant.expression, type_name)
            context = {"resource": holder, "rootResource": resource, "ucum": UCUM}
            theirs = _theirs(plain(value), invariant.expression, context, type_name)
            ours = holds(Environment(holder, resource), value)
            assert ours == (theirs != [False]), f"{name}: {invariant.key}"
            compared += 1
    return compared


def compare_search_parameters(resource: dict[str, Any], name: str) -> int:
    """Returns how many parameters were compared; asserts that each finds what the library finds."""
    compared = 0
    type_name = resource["resourceType"]
    for parameter in search_parameters(type_name).values():
        expression = parameter.expression.replace("Resource.", f"{type_name}.")
        if parameter.components or _NOT_IN_LIBRARY.search(expression):
            continue
        evaluate = joined(compile_path(expression, type_name))
        ours = plain(evaluate(Environment(resource, resource), [resource]))
        theirs = _theirs(plain(resource), expression, {"resource": resource})
        # A union drops repeated items, which the index does as well.
        assert _set(ours) == _set(theirs), f"{name}: {parameter.code}"
        compared += 1
    return compared


def _set(items: list[Any]) -> set[str]:
    return {json.dumps(item, sort_keys=True) for item in items}
