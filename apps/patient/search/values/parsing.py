"""Parses the values of a search parameter into criteria, by the parameter's kind. Pure.

Source: https://hl7.org/fhir/R4/search.html
"""

from collections.abc import Callable, Mapping, Sequence

from apps.patient.search.criteria.criteria import (
    AllOf,
    AnyOf,
    Criterion,
    Exact,
    ExactValue,
    Identity,
    Missing,
    Near,
    Not,
)
from apps.patient.search.criteria.escaping import split, unescape
from apps.patient.search.criteria.query import missing_position
from apps.patient.search.index.hashing import parameter_key, present_hash, resource_hash
from apps.patient.search.values.asked import Asked, refuse_modifier
from apps.patient.search.values.composite_values import parse_composite
from apps.patient.search.values.range_values import parse_date, parse_number, parse_quantity
from apps.patient.search.values.reference_values import parse_references
from apps.patient.search.values.text_values import parse_string, parse_uri
from apps.patient.search.values.token_values import parse_tokens

_KILOMETRES = {"km": 1.0, "m": 0.001, "[mi_us]": 1.609344, "mi": 1.609344}
DEFAULT_KILOMETRES = 50.0


def parse_values(asked: Asked, values: Sequence[str]) -> Criterion:
    """Returns the criterion of a parameter's values, which are alternatives; escapes are
    still in them.
    """
    kind = asked.parameter.kind
    if kind == "token":
        return parse_tokens(asked, values)
    if kind == "reference":
        return parse_references(asked, values)
    parse = _BY_KIND.get(kind)
    if parse is None:
        raise asked.refuse("this parameter is not served")
    return AnyOf(criteria=tuple(parse(asked, value) for value in values))


def _near(asked: Asked, value: str) -> Criterion:
    refuse_modifier(asked)
    parts = [unescape(part) for part in split(value, "|")]
    try:
        latitude, longitude = float(parts[0]), float(parts[1])
        distance = float(parts[2]) if len(parts) > 2 and parts[2] else DEFAULT_KILOMETRES
        factor = _KILOMETRES[parts[3]] if len(parts) > 3 and parts[3] else 1.0
    except (ValueError, IndexError, KeyError):
        raise asked.refuse("expected latitude|longitude|distance|km") from None
    if not (abs(latitude) <= 90 and abs(longitude) <= 180 and 0 <= distance <= 25_000):
        raise asked.refuse("expected a position on the earth and a distance")
    name = asked.parameter.code
    return Near(
        latitude_key=parameter_key(asked.path, f"{name} lat"),
        longitude_key=parameter_key(asked.path, f"{name} lon"),
        latitude=latitude,
        longitude=longitude,
        kilometres=distance * factor,
    )


def parse_missing(asked: Asked, value: str) -> Criterion:
    """Returns the criterion of a value of `:missing`."""
    if value not in ("true", "false"):
        raise asked.refuse("expected true or false")
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


def parse_ids(asked: Asked, values: Sequence[str]) -> Criterion:
    """Returns the criterion of the values of `_id`."""
    ids = [unescape(value) for value in values]
    criterion = Identity(hashes=tuple(resource_hash(asked.resource_type, id) for id in ids))
    if asked.modifier == "not":
        return Not(criterion=criterion)
    if asked.modifier:
        raise asked.refuse(f"_id has no modifier :{asked.modifier}")
    return criterion


_BY_KIND: Mapping[str, Callable[[Asked, str], Criterion]] = {
    "string": parse_string,
    "uri": parse_uri,
    "date": parse_date,
    "number": parse_number,
    "quantity": parse_quantity,
    "composite": parse_composite,
    "special": _near,
}
