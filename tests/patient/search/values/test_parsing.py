"""A value or a modifier that makes no sense is refused: each modifier and each kind of value, of
every parameter.
"""

import gc
import tracemalloc
from collections.abc import Iterator

from apps.kit.errors import BadRequest
from apps.patient.definitions.model import SearchParameter, search_parameters, served_types
from apps.patient.search.index.kinds_of_values import is_boolean, is_coded
from apps.patient.search.reading.reader import Reader

BASE = "http://platform.test/fhir/R4"

# What each kind of parameter takes (https://hl7.org/fhir/R4/search.html#modifiers);
# `:missing` is for all.
MODIFIERS = {
    "string": {"exact", "contains", "text"},
    "token": {"text", "not", "above", "below", "in", "not-in", "of-type"},
    "reference": {"identifier", "above", "below", "not", "Patient", "Practitioner"},
    "uri": {"above", "below"},
    "date": set[str](),
    "quantity": set[str](),
    "composite": set[str](),
    "special": set[str](),
}
EVERY_MODIFIER = {"banana", "Banana", "missing2", "of-type", "iterate", ""}.union(
    *MODIFIERS.values()
)
# Of the right form for some kind of parameter.
VALUES = ("x", "true", "2020", "1|1", "a|b|c", "http://e/x", "Patient/1", "x$1")
NONSENSE = {
    "date": ("soon", "2020-13", "2020-02-30", "ge", "20200101", "2020-01-01T25:00"),
    "quantity": ("much", "gt", "1|s|", "1|2|3|4", "1e"),
    "reference": (
        "a b",
        "Banana/1",
        "Patient/",
        "/1",
        "Patient/1/2/3",
        "1/Patient",
        "#a",
        "Bundle/1",
    ),
    "uri": ("a b",),
    "composite": ("x", "x$", "$x", "a$b$c"),
    "special": ("here", "1", "91|0", "0|181", "1|1|far", "1|1|1|parsec"),
}


def is_read(resource_type: str, name: str, value: str) -> bool:
    try:
        Reader(base_url=BASE).read((resource_type,), [(name, value)])
    except BadRequest:
        return False
    return True


def parameters() -> Iterator[tuple[str, SearchParameter]]:
    for kind in served_types():
        for parameter in search_parameters(kind).values():
            yield kind, parameter


def test_modifier_is_refused_where_its_kind_does_not_have_it() -> None:
    for kind, parameter in parameters():
        code = parameter.code
        for modifier in sorted(EVERY_MODIFIER - MODIFIERS[parameter.kind] - {""}):
            given = [value for value in VALUES if is_read(kind, f"{code}:{modifier}", value)]
            assert not given, f"{kind}?{code}:{modifier}={given[0]}"


def test_value_that_is_no_value_of_its_kind_is_refused() -> None:
    for kind, parameter in parameters():
        code = parameter.code
        for value in NONSENSE.get(parameter.kind, ()):
            if value != "Bundle/1" or "Bundle" not in (parameter.targets or ("Bundle",)):
                assert not is_read(kind, code, value), f"{kind}?{code}={value}"
        for value in ("", " ", ",", "maybe", "1") if is_boolean(kind, code) else ("", " ", ","):
            if parameter.kind == "token":
                assert not is_read(kind, code, value), f"{kind}?{code}={value}"
        for value in ("yes", "", "1", "true,false"):
            assert not is_read(kind, f"{code}:missing", value)


def test_modifiers_of_codes_are_refused_where_there_are_none() -> None:
    for kind, parameter in parameters():
        if parameter.kind != "token" or is_coded(kind, parameter.code):
            continue
        for modifier, value in (
            ("in", "http://hl7.org/fhir/ValueSet/administrative-gender"),
            ("not-in", "administrative-gender"),
            ("below", "http://hl7.org/fhir/administrative-gender|male"),
            ("above", "http://hl7.org/fhir/administrative-gender|male"),
        ):
            assert not is_read(kind, f"{parameter.code}:{modifier}", value)


def test_value_sets_that_are_not_known_do_not_stay_in_memory() -> None:
    assert not is_read("Patient", "gender:in", "unknown")
    tracemalloc.start()
    try:
        for number in range(2_000):
            assert not is_read("Patient", "gender:in", f"{number:04}".ljust(60, "x"))
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] < 100_000
    finally:
        tracemalloc.stop()
