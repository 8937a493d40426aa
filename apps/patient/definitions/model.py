"""The types of FHIR R4 as the generated definitions tell them, each built when it is
first asked for.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

_DATA = Path(__file__).parent / "data"
# What the service calls a type that any resource may have: `contained`, `Bundle.entry.resource`.
ANY_RESOURCE = "Resource"


@dataclass(frozen=True, slots=True, kw_only=True)
class Invariant:
    """A rule of severity error: `expression` is FHIRPath, `human` what HL7 says of it."""

    key: str
    expression: str
    human: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """One JSON property. `path_name` is what FHIRPath calls it: `value` for `valueQuantity`.

    `targets` are the types that a Reference may name (empty: any). `codes` maps each code of a
    required value set to its system; None without one. `value_set` is the set's short name.
    """

    name: str
    path_name: str
    type: str
    many: bool
    targets: frozenset[str] = frozenset()
    value_set: str = ""
    codes: Mapping[str, str] | None = None
    invariants: tuple[Invariant, ...] = ()

    @property
    def is_choice(self) -> bool:
        return self.name != self.path_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Type:
    """A resource, a data type or a backbone element (named by its path, `Patient.contact`).

    `choices` has the JSON names of each choice element by its FHIRPath name.
    """

    name: str
    bases: tuple[str, ...]
    elements: Mapping[str, Element]
    choices: Mapping[str, tuple[str, ...]]
    required: tuple[tuple[str, ...], ...]
    invariants: tuple[Invariant, ...]
    is_abstract: bool = False

    @property
    def is_resource(self) -> bool:
        return "Resource" in self.bases

    def named(self, path_name: str) -> tuple[Element, ...]:
        """Returns the properties that FHIRPath means by `path_name`: several for a choice."""
        if path_name in self.choices:
            return tuple(self.elements[name] for name in self.choices[path_name])
        element = self.elements.get(path_name)
        return () if element is None or element.is_choice else (element,)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchParameter:
    """A search parameter of one type. `kind` is FHIR's: token, string, date, reference, ...

    `targets` are the types that a reference may have; `components` are (code, expression)
    of a composite.
    """

    code: str
    kind: str
    expression: str
    targets: tuple[str, ...] = ()
    components: tuple[tuple[str, str], ...] = ()


@cache
def _definitions() -> dict[str, Any]:
    content: dict[str, Any] = msgspec.json.decode((_DATA / "definitions.json").read_bytes())
    return content


@cache
def _contained_types() -> dict[str, Any]:
    """Types that are not served, but may be contained; most processes never need them."""
    content: dict[str, Any] = msgspec.json.decode((_DATA / "contained.json").read_bytes())
    types: dict[str, Any] = content["types"]
    return types


@cache
def served_types() -> tuple[str, ...]:
    return tuple(_definitions()["served"])


@cache
def _served_names() -> frozenset[str]:
    return frozenset(served_types())


def is_served(name: str) -> bool:
    return name in _served_names()


@cache
def resource_types() -> frozenset[str]:
    """Returns every resource type of R4, served or not."""
    return frozenset(_definitions()["resources"])


@cache
def primitive_patterns() -> Mapping[str, str]:
    """Returns the regular expression of each primitive type; "" where its text is free."""
    patterns: Mapping[str, str] = _definitions()["primitives"]
    return patterns


def is_primitive(type_name: str) -> bool:
    return type_name in primitive_patterns()


@cache
def compartment_parameters(resource_type: str) -> tuple[str, ...]:
    """Returns the reference parameters that put a resource of this type into a patient's
    compartment.
    """
    return tuple(_definitions()["compartment"].get(resource_type, ()))


@cache
def search_parameters(resource_type: str) -> Mapping[str, SearchParameter]:
    """Returns R4's search parameters of the type by their codes, those of all resources too."""
    listed = _definitions()["parameters"]
    return {
        code: SearchParameter(
            code=code,
            kind=row["type"],
            expression=row["expression"],
            targets=tuple(row.get("targets", ())),
            components=tuple((part[0], part[1]) for part in row.get("components", ())),
        )
        for base in ("Resource", resource_type)
        for code, row in listed[base].items()
    }


@cache
def summary_elements(resource_type: str) -> frozenset[str]:
    """Returns the JSON names of the elements that `_summary=true` gives."""
    choices = definition_of(resource_type).choices
    return frozenset(
        name
        for listed in _definitions()["summary"][resource_type]
        for name in choices.get(listed, (listed,))
    )


def value_set(name: str) -> Mapping[str, str] | None:
    """Returns the system of each code of a required value set; None for one not enumerated."""
    # Only those that there are are remembered: searches ask for any name.
    return _known_value_set(name) if name in _definitions()["valueSets"] else None


@cache
def _known_value_set(name: str) -> Mapping[str, str]:
    listed = _definitions()["valueSets"][name]
    return {code: system for system, codes in listed for code in codes}


@cache
def _hierarchies() -> dict[str, dict[str, list[str]]]:
    """Reads them when `:above` or `:below` is first asked for."""
    content: dict[str, Any] = msgspec.json.decode((_DATA / "hierarchies.json").read_bytes())
    systems: dict[str, dict[str, list[str]]] = content["systems"]
    return systems


def codes_below(system: str, code: str) -> frozenset[str] | None:
    """Returns the code and all below it; None for a system whose hierarchy is not known."""
    hierarchy = _hierarchies().get(system)
    return None if hierarchy is None else _reached(code, hierarchy)


def codes_above(system: str, code: str) -> frozenset[str] | None:
    """Returns the code and all above it; None for a system whose hierarchy is not known."""
    hierarchy = _hierarchies().get(system)
    if hierarchy is None:
        return None
    above: dict[str, list[str]] = {}
    for parent, children in hierarchy.items():
        for child in children:
            above.setdefault(child, []).append(parent)
    return _reached(code, above)


def _reached(code: str, steps: Mapping[str, Iterable[str]]) -> frozenset[str]:
    found = {code}
    waiting = [code]
    while waiting:
        new = set(steps.get(waiting.pop(), ())) - found
        found |= new
        waiting += new
    return frozenset(found)


def _implied(name: str, kind: str, *, many: bool) -> Element:
    return Element(name=name, path_name=name, type=kind, many=many)


# What every element has; the generated data leaves it out.
_IMPLIED: Mapping[str, Mapping[str, Element]] = {
    "Element": {
        "id": _implied("id", "string", many=False),
        "extension": _implied("extension", "Extension", many=True),
    },
    "BackboneElement": {
        "modifierExtension": _implied("modifierExtension", "Extension", many=True),
    },
}


@cache
def definition_of(type_name: str) -> Type:
    """Returns the type; raises LookupError for a name that R4 does not have."""
    row = _definitions()["types"].get(type_name) or _contained_types().get(type_name)
    if row is None:
        raise LookupError(type_name)
    base = definition_of(row["base"]) if row["base"] else None
    elements = dict(base.elements) if base else {}
    elements |= _IMPLIED.get(type_name, {})
    own = [element for item in row["elements"] for element in _elements(item)]
    elements |= {element.name: element for element in own}
    choices: dict[str, tuple[str, ...]] = dict(base.choices) if base else {}
    for element in own:
        if element.is_choice:
            choices[element.path_name] = (*choices.get(element.path_name, ()), element.name)
    required = list(base.required) if base else []
    for item in row["elements"]:
        if item[1]:
            path_name = item[0].removesuffix("[x]")
            required.append(choices.get(path_name, (path_name,)))
    return Type(
        name=type_name,
        bases=(
            *(base.bases if base else ()),
            *((base.name,) if base else ()),
            *row.get("profileOf", ()),
        ),
        elements=elements,
        choices=choices,
        required=tuple(required),
        invariants=(*(base.invariants if base else ()), *_invariants(row["invariants"])),
        is_abstract=row.get("abstract", False),
    )


def _elements(row: list[Any]) -> Iterator[Element]:
    """Yields the JSON properties of one element: one for each type of a choice."""
    name, _, maximum, types = row[:4]
    set_name = row[4] or "" if len(row) > 4 else ""
    invariants = _invariants(row[5] if len(row) > 5 else ())
    path_name = name.removesuffix("[x]")
    for kind in types.split(","):
        code, _, targets = kind.partition("(")
        suffix = code.replace("SimpleQuantity", "Quantity")
        yield Element(
            name=path_name + suffix[0].upper() + suffix[1:] if path_name != name else name,
            path_name=path_name,
            type=code,
            many=maximum == 0,
            targets=frozenset(targets.rstrip(")").split("|")) if targets else frozenset(),
            value_set=set_name,
            codes=value_set(set_name) if set_name else None,
            invariants=invariants,
        )


def _invariants(rows: Iterable[list[str]]) -> tuple[Invariant, ...]:
    return tuple(
        Invariant(key=key, expression=expression, human=human) for key, expression, human in rows
    )
