"""Parses the values of composites: two values of one element, with `$` between them. Pure.

Source: https://hl7.org/fhir/R4/search.html#combining
"""

from collections.abc import Callable, Mapping

from apps.patient.definitions.model import search_parameters
from apps.patient.search.criteria.criteria import Criterion, Exact, ExactValue, all_of
from apps.patient.search.criteria.escaping import split, unescape
from apps.patient.search.index import hashing
from apps.patient.search.index.hashing import hash_of, token_hash
from apps.patient.search.index.kinds_of_values import pairs_whole_resource
from apps.patient.search.index.references import parse_reference
from apps.patient.search.values.asked import Asked, refuse_modifier
from apps.patient.search.values.range_values import parse_date, parse_number, parse_quantity
from apps.patient.search.values.text_values import parse_string


def parse_composite(asked: Asked, value: str) -> Criterion:
    refuse_modifier(asked)
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


_KEYED: Mapping[str, Callable[[Asked, str, int], Criterion]] = {
    "string": parse_string,
    "date": parse_date,
    "number": parse_number,
    "quantity": parse_quantity,
}
