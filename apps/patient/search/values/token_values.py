"""Parses the values of tokens: codes, codings, identifiers, value sets. Pure.

Source: https://hl7.org/fhir/R4/search.html#token
"""

import re
from collections.abc import Sequence

from apps.patient.definitions.model import codes_above, codes_below, value_set
from apps.patient.search.criteria.criteria import (
    AnyOf,
    Criterion,
    DisplayText,
    Exact,
    ExactValue,
    Not,
    Scanned,
)
from apps.patient.search.criteria.escaping import escape, split, unescape
from apps.patient.search.index import hashing
from apps.patient.search.index.conversions import BOOLEAN_SYSTEM
from apps.patient.search.index.hashing import hash_of, parameter_key, token_hash
from apps.patient.search.index.kinds_of_values import (
    bound_codes,
    has_few_codes,
    has_identifiers,
    has_media_types,
    has_one_system,
    has_texts,
    is_boolean,
    is_closed,
    is_coded,
)
from apps.patient.search.index.normalisation import contact_codes, normalise_text
from apps.patient.search.values.asked import Asked

_VALUE_SET = re.compile(
    r"(?:(?:http://hl7\.org/fhir/)?ValueSet/)?([A-Za-z0-9.-]{1,64})(?:\|4\.0(?:\.1)?)?"
)
_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,64}(/[a-z0-9!#$&^_.+-]{1,64})?")


def parse_tokens(asked: Asked, values: Sequence[str]) -> Criterion:
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
