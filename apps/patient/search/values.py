"""Parses the values of a search parameter into criteria, by the parameter's kind. Pure.

Source: https://hl7.org/fhir/R4/search.html
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from time import time_ns

from apps.kit.errors import BadRequest
from apps.patient.definitions.model import (
    SearchParameter,
    codes_above,
    codes_below,
    resource_types,
    search_parameters,
    served_types,
    value_set,
)
from apps.patient.search import hashing
from apps.patient.search.conversions import BOOLEAN_SYSTEM
from apps.patient.search.criteria import (
    AllOf,
    AnyOf,
    Contains,
    Criterion,
    DateRange,
    DisplayText,
    Exact,
    ExactValue,
    Hierarchy,
    Near,
    Not,
    NumberRange,
    Range,
    Scanned,
    Updated,
    UriBelow,
    Words,
)
from apps.patient.search.escaping import escape, split, unescape
from apps.patient.search.hashing import hash_of, parameter_key, resource_hash, token_hash, type_at
from apps.patient.search.index_rows import MAX_STRING_CHARS, unit_hash, uri_starts
from apps.patient.search.kinds_of_values import (
    bound_codes,
    has_few_codes,
    has_identifiers,
    has_media_types,
    has_one_system,
    has_texts,
    is_boolean,
    is_canonical,
    is_closed,
    is_coded,
    pairs_whole_resource,
    parent_parameter,
)
from apps.patient.search.moments import parse_moment
from apps.patient.search.normalisation import contact_codes, normalise_text
from apps.patient.search.references import parse_reference

MAX_VALUE_CHARS = 1_000
MAX_WORDS = 8

_PREFIXED = re.compile(r"(eq|ne|gt|lt|ge|le|sa|eb|ap)?([-+]?[0-9].*)", re.DOTALL)
_NUMBER = re.compile(r"[-+]?[0-9]{1,40}(\.[0-9]{1,40})?([eE][-+]?[0-9]{1,3})?")
_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S+")
_VALUE_SET = re.compile(
    r"(?:(?:http://hl7\.org/fhir/)?ValueSet/)?([A-Za-z0-9.-]{1,64})(?:\|4\.0(?:\.1)?)?"
)
_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,64}(/[a-z0-9!#$&^_.+-]{1,64})?")
_TENTH = Decimal("0.1")
_HALF = Decimal("0.5")
_KILOMETRES = {"km": 1.0, "m": 0.001, "[mi_us]": 1.609344, "mi": 1.609344}
DEFAULT_KILOMETRES = 50.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A parameter of a type as the query names it: `name` with its `modifier`, "" without one.

    `path` is the type, or where contained resources of it are: what the index has their values by.
    """

    path: str
    parameter: SearchParameter
    name: str
    modifier: str
    base_url: str

    @property
    def resource_type(self) -> str:
        return type_at(self.path)

    def refuse(self, message: str) -> BadRequest:
        return BadRequest("invalid_parameter", f"{self.name}: {message}", pointer=self.name)


def parse_values(asked: Asked, values: Sequence[str]) -> Criterion:
    """Returns the criterion of a parameter's values, which are alternatives; escapes are
    still in them.
    """
    kind = asked.parameter.kind
    if kind == "token":
        return _tokens(asked, values)
    if kind == "reference":
        return _references(asked, values)
    parse = _BY_KIND.get(kind)
    if parse is None:
        raise asked.refuse("this parameter is not served")
    return AnyOf(criteria=tuple(parse(asked, value) for value in values))


def _no_modifier(asked: Asked) -> None:
    if asked.modifier:
        raise asked.refuse(f"a {asked.parameter.kind} has no modifier :{asked.modifier}")


# Tokens


def _tokens(asked: Asked, values: Sequence[str]) -> Criterion:
    type_and_name = (asked.resource_type, asked.parameter.code)
    match asked.modifier:
        case "":
            return Exact(values=_all_values(asked, values), is_narrow=_is_identifier(asked))
        case "not":
            return Not(criterion=Exact(values=_all_values(asked, values)))
        case "text" if has_texts(*type_and_name):
            return AnyOf(criteria=tuple(_display_text(asked, value) for value in values))
        case "in" if is_coded(*type_and_name):
            return Exact(values=tuple(_in_value_set(asked, values)))
        case "not-in" if is_coded(*type_and_name):
            return Not(criterion=Exact(values=tuple(_in_value_set(asked, values))))
        case "of-type" if has_identifiers(*type_and_name):
            return Exact(values=tuple(_of_type(asked, value) for value in values), is_narrow=True)
        case "below" if has_media_types(*type_and_name):
            return AnyOf(criteria=tuple(_media_type(asked, value) for value in values))
        case "above" | "below" if is_coded(*type_and_name):
            related = [coding for value in values for coding in _related_codes(asked, value)]
            return Exact(values=tuple(related))
    raise asked.refuse(f"a token has no modifier :{asked.modifier}")


def unknown_codes(asked: Asked, values: Sequence[str]) -> list[str]:
    """Returns the values that no resource can have, as the element's required value set does
    not have them.
    """
    type_and_name = (asked.resource_type, asked.parameter.code)
    if asked.parameter.kind != "token" or asked.modifier not in ("", "not"):
        return []
    if not is_closed(*type_and_name):
        return []
    known = bound_codes(*type_and_name)
    unknown = []
    for value in values:
        *system, code = [unescape(part) for part in split(value, "|", 1)]
        if code and (code not in known or system not in ([], [known[code]])):
            unknown.append(value[:50])
    return unknown


def _is_identifier(asked: Asked) -> bool:
    return asked.parameter.code in ("identifier", "phone", "email", "telecom")


def _all_values(asked: Asked, values: Sequence[str]) -> tuple[ExactValue, ...]:
    return tuple(exact for value in values for exact in _token(asked, value))


def _token(asked: Asked, value: str) -> list[ExactValue]:
    parts = [unescape(part) for part in split(value, "|", 1)]
    system, code = (None, parts[0]) if len(parts) == 1 else (parts[0], parts[1])
    if not code and not system:
        raise asked.refuse("a code or a system is needed")
    if is_boolean(asked.resource_type, asked.parameter.code) and (
        code not in ("true", "false") or system not in (None, BOOLEAN_SYSTEM)
    ):
        raise asked.refuse("expected true or false")

    def hashed(form: str, *parts: str) -> int:
        return token_hash(asked.path, asked.parameter.code, form, *parts)

    if not code:
        found = hashed(hashing.SYSTEM, system or "")
        if has_few_codes(asked.resource_type, asked.parameter.code):
            return [ExactValue(matching=found, leading=None, system=found)]
        if has_one_system(asked.resource_type, asked.parameter.code):
            return [ExactValue(matching=found, leading=None)]
        return [ExactValue(matching=found, leading=found)]
    if asked.parameter.code in ("phone", "email", "telecom"):
        # A phone number is found by its digits; any of its keys will do. A plus that is not
        # escaped comes as a blank.
        written = f"+{code[1:]}" if code[0] == " " else code
        return [
            ExactValue(
                matching=hashed(hashing.CODE, key)
                if system is None
                else hashed(hashing.CODING, system, key),
                leading=hashed(hashing.CODE, key),
            )
            for key in contact_codes(written)
        ]
    leading = hashed(hashing.CODE, code)
    matching = leading if system is None else hashed(hashing.CODING, system, code)
    return [ExactValue(matching=matching, leading=leading)]


def _display_text(asked: Asked, value: str) -> Criterion:
    text = normalise_text(unescape(value))
    if not text:
        raise asked.refuse("a text is needed")
    name = asked.parameter.code
    return DisplayText(
        key=parameter_key(asked.path, name),
        resource_type=asked.path,
        parameter=name,
        text=text,
    )


def _in_value_set(asked: Asked, values: Sequence[str]) -> list[ExactValue]:
    codings: list[ExactValue] = []
    for value in values:
        match = _VALUE_SET.fullmatch(unescape(value))
        listed = value_set(match[1]) if match else None
        if listed is None:
            raise asked.refuse(
                "this value set is not known here; known are the required ones of R4 4.0.1"
            )
        for code, system in listed.items():
            codings += _token(asked, f"{system}|{code}")
    return codings


def _related_codes(asked: Asked, value: str) -> list[ExactValue]:
    """Returns the code and all above or below it in its code system."""
    parts = [unescape(part) for part in split(value, "|", 1)]
    code = parts[-1]
    # Where the definition of the element tells the system, a code alone will do.
    system = (
        parts[0]
        if len(parts) > 1
        else bound_codes(asked.resource_type, asked.parameter.code).get(code)
    )
    if not code or not system:
        raise asked.refuse("expected system|code")
    related = codes_below if asked.modifier == "below" else codes_above
    found = related(system, code)
    if found is None:
        raise asked.refuse("the hierarchy of this code system is not known here")
    return [
        exact
        for name in sorted(found)
        for exact in _token(asked, f"{escape(system)}|{escape(name)}")
    ]


def _media_type(asked: Asked, value: str) -> Criterion:
    """Returns the criterion of `text/xml`, whatever its parameters, or of all of `image`."""
    text = unescape(value).lower()
    if not _MEDIA_TYPE.fullmatch(text):
        raise asked.refuse("expected a media type without parameters")
    return Scanned(
        parameter=asked.parameter.code,
        relation="media",
        value=text,
        base_url=asked.base_url,
        path=asked.path,
    )


def _of_type(asked: Asked, value: str) -> ExactValue:
    parts = [unescape(part) for part in split(value, "|")]
    if len(parts) != 3 or not all(parts):
        raise asked.refuse("expected system|code|value")
    type_and_name = (asked.path, asked.parameter.code)
    return ExactValue(
        matching=hash_of(*type_and_name, hashing.OF_TYPE, *parts),
        leading=token_hash(*type_and_name, hashing.CODE, parts[2]),
    )


# References


def _references(asked: Asked, values: Sequence[str]) -> Criterion:
    name = asked.parameter.code
    if asked.modifier == "not":
        # Of R5 for references; in R4 for tokens alone.
        return Not(criterion=_references(replace(asked, modifier=""), values))
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


# Strings and URIs


def _string(asked: Asked, value: str, key: int | None = None) -> Criterion:
    text = unescape(value)
    if key is None:
        key = parameter_key(asked.path, asked.parameter.code)
    normalised = normalise_text(text)
    if not normalised:
        raise asked.refuse("a text is needed")
    if asked.modifier == "contains":
        return Contains(key=key, part=normalised[:200])
    words = tuple(dict.fromkeys(normalised.split()))[:MAX_WORDS]
    if asked.modifier == "exact":
        exact = hash_of(asked.path, asked.parameter.code, hashing.EXACT, text)
        return Words(key=key, words=words, exact=exact)
    # `:text` finds words anywhere in a text: so does a search without it.
    if asked.modifier not in ("", "text"):
        raise asked.refuse(f"a string has no modifier :{asked.modifier}")
    return Words(key=key, words=words)


def _uri(asked: Asked, value: str) -> Criterion:
    uri = unescape(value)
    if not re.fullmatch(r"\S+", uri):
        raise asked.refuse("a URI is needed")
    if asked.modifier and uri.lower().startswith("urn:"):
        raise asked.refuse(f":{asked.modifier} is not for URNs")
    type_and_name = (asked.path, asked.parameter.code)
    if asked.modifier == "below":
        start = uri.rstrip("/")
        if len(start) >= MAX_STRING_CHARS:
            raise asked.refuse(f":below takes up to {MAX_STRING_CHARS - 1} characters")
        hashed = hash_of(*type_and_name, hashing.BELOW, start)
        return UriBelow(
            parameter=asked.parameter.code,
            key=parameter_key(*type_and_name),
            uri=start,
            hashed=hashed,
        )
    uris: Sequence[str] = [uri]
    if asked.modifier == "above":
        uris = [start for found in uri_starts(uri) for start in (found, found + "/")]
    elif asked.modifier:
        raise asked.refuse(f"a URI has no modifier :{asked.modifier}")
    hashes = [token_hash(*type_and_name, hashing.URI, start) for start in uris]
    return Exact(values=tuple(ExactValue(matching=found, leading=found) for found in hashes))


# Dates, numbers and quantities


def parse_date_range(asked: Asked, value: str) -> tuple[Range, bool, bool]:
    """Returns the bounds, whether the value has no zone, and whether it is negated (`ne`)."""
    text = unescape(value)
    match = _PREFIXED.fullmatch(text)
    moment = parse_moment(match[2].replace(" ", "+")) if match else None
    if match is None or moment is None:
        raise asked.refuse("expected a date, with eq ne gt lt ge le sa eb ap before it or nothing")
    start, end = moment.start, moment.end
    prefix = match[1] or "eq"
    by_clock = not moment.has_zone
    ranges = {
        "eq": Range(low_from=start, high_upto=end),
        "ne": Range(low_from=start, high_upto=end),
        "gt": Range(high_after=end),
        "lt": Range(low_before=start),
        "ge": Range(high_after=start),
        "le": Range(low_before=end),
        "sa": Range(low_from=end),
        "eb": Range(high_upto=start),
    }
    if prefix == "ap":
        slack = abs(time_ns() // 1000 - start) // 10
        return Range(high_after=start - slack, low_before=end + slack), by_clock, False
    return ranges[prefix], by_clock, prefix == "ne"


def _date(asked: Asked, value: str, key: int | None = None) -> Criterion:
    _no_modifier(asked)
    found, by_clock, negated = parse_date_range(asked, value)
    if key is None:
        key = parameter_key(asked.path, asked.parameter.code)
    return DateRange(key=key, range=found, by_clock=by_clock, negated=negated)


def parse_updated(asked: Asked, value: str) -> Criterion:
    """Returns the criterion of a value of `_lastUpdated`."""
    _no_modifier(asked)
    found, _, negated = parse_date_range(asked, value)
    return Updated(range=found, negated=negated)


def parse_number_range(asked: Asked, text: str) -> tuple[Range, bool]:
    """Returns the bounds of a number with its prefix. `100` is from 99.5 up to 100.5, `1.00`
    0.995 to 1.005.
    """
    match = _PREFIXED.fullmatch(text)
    if match is None or not _NUMBER.fullmatch(match[2]):
        raise asked.refuse(
            "expected a number, with eq ne gt lt ge le sa eb ap before it or nothing"
        )
    number = Decimal(match[2])
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)
    half = _HALF.scaleb(exponent)
    prefix = match[1] or "eq"
    ranges = {
        "eq": Range(low_from=number - half, high_before=number + half),
        "ne": Range(low_from=number - half, high_before=number + half),
        "gt": Range(high_after=number),
        "lt": Range(low_before=number),
        "ge": Range(high_from=number),
        "le": Range(low_upto=number),
        "sa": Range(low_after=number),
        "eb": Range(high_before=number),
        "ap": Range(
            low_upto=number + abs(number) * _TENTH, high_from=number - abs(number) * _TENTH
        ),
    }
    return ranges[prefix], prefix == "ne"


def _number(asked: Asked, value: str, key: int | None = None) -> Criterion:
    _no_modifier(asked)
    found, negated = parse_number_range(asked, unescape(value))
    if key is None:
        key = parameter_key(asked.path, asked.parameter.code)
    return NumberRange(key=key, range=found, negated=negated)


def _quantity(asked: Asked, value: str, key: int | None = None) -> Criterion:
    _no_modifier(asked)
    parts = [unescape(part) for part in split(value, "|")]
    if len(parts) not in (1, 2, 3):
        raise asked.refuse("expected number|system|code")
    if key is None:
        key = parameter_key(asked.path, asked.parameter.code)
    found, negated = parse_number_range(asked, parts[0])
    system, code = [*parts[1:], "", ""][:2]
    if not code:
        if system:
            raise asked.refuse("a unit's code is needed with its system")
        return NumberRange(key=key, range=found, negated=negated)
    if system:
        unit = ("system_code", unit_hash(system, code))
        return NumberRange(key=key, range=found, unit=unit, negated=negated)
    # `5.4||mg`: the code or the unit as people write it.
    alternatives = tuple(
        NumberRange(key=key, range=found, unit=(column, unit_hash(code)))
        for column in ("code", "unit")
    )
    either = AnyOf(criteria=alternatives)
    return Not(criterion=either) if negated else either


# Composites and positions


def _composite(asked: Asked, value: str) -> Criterion:
    _no_modifier(asked)
    parts = split(value, "$")
    components = asked.parameter.components
    if len(parts) != len(components) or len(parts) != 2 or not all(parts):
        raise asked.refuse(f"expected {len(components)} values with $ between them")
    known = search_parameters(asked.resource_type)
    kinds = [known[code].kind if code in known else "token" for code, _ in components]
    type_and_name = (asked.path, asked.parameter.code)
    form, first = _pair_form(asked, kinds[0], parts[0])
    system: list[Criterion] = []
    if form != first and pairs_whole_resource(asked.resource_type, asked.parameter.code):
        # The index has the code of any system here; the parameter of the code has the system.
        system = [_coding(asked.path, components[0][0], form)]
        form = first
    parse = _KEYED.get(kinds[1])
    if parse is not None:
        return all_of([parse(asked, parts[1], hash_of(*type_and_name, form)), *system])
    other, second = _pair_form(asked, kinds[1], parts[1])
    pair = ExactValue(
        matching=token_hash(*type_and_name, hashing.PAIR, form, other),
        leading=token_hash(*type_and_name, hashing.PAIR, first, second),
    )
    return all_of([Exact(values=(pair,)), *system])


def _pair_form(asked: Asked, kind: str, value: str) -> tuple[str, str]:
    """Returns how the index has a part of a pair, and its least exact form: a code
    of any system.
    """
    if kind == "reference":
        reference = parse_reference(unescape(value), asked.base_url)
        if reference is not None and reference.id:
            form = f"r{reference.type}/{reference.id}"
            return form, form
    if kind in ("reference", "uri"):
        form = f"u{unescape(value)}"
        return form, form
    parts = [unescape(part) for part in split(value, "|", 1)]
    if not parts[-1]:
        raise asked.refuse("a code is needed in a pair of values")
    first = f"c{parts[-1]}"
    return (first if len(parts) == 1 else f"t{parts[0]}|{parts[1]}"), first


def _coding(path: str, parameter: str, form: str) -> Criterion:
    """Returns the criterion that a parameter has the coding of a pair's form (`t` with
    system and code).
    """
    system, _, code = form[1:].partition("|")
    names = (path, parameter)
    return Exact(
        values=(
            ExactValue(
                matching=token_hash(*names, hashing.CODING, system, code),
                leading=token_hash(*names, hashing.CODE, code),
            ),
        )
    )


def _near(asked: Asked, value: str) -> Criterion:
    _no_modifier(asked)
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


_BY_KIND: Mapping[str, Callable[[Asked, str], Criterion]] = {
    "string": _string,
    "uri": _uri,
    "date": _date,
    "number": _number,
    "quantity": _quantity,
    "composite": _composite,
    "special": _near,
}
_KEYED: Mapping[str, Callable[[Asked, str, int], Criterion]] = {
    "string": _string,
    "date": _date,
    "number": _number,
    "quantity": _quantity,
}


def all_of(criteria: Sequence[Criterion]) -> Criterion:
    return criteria[0] if len(criteria) == 1 else AllOf(criteria=tuple(criteria))
