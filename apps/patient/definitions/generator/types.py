"""Writes types as compact rows: own elements, their JSON types and cardinalities,
and invariants.
"""

from typing import Any

from apps.patient.definitions.generator.hl7_source import Json
from apps.patient.definitions.generator.value_sets import ValueSets

STRUCTURE = "http://hl7.org/fhir/StructureDefinition/"
# Checked in code (`validation.py`, `narrative.py`): on every element, or no FHIRPath at all.
_CHECKED_IN_CODE = frozenset(("ele-1", "txt-1", "txt-2"))
# Rules of types that are not served, only contained; they use functions that no other rule does.
_LEFT_OUT = frozenset(("csd-1", "eld-3", "ig-1", "ig-2", "ras-1", "sdf-8", "sdf-8a", "sdf-9"))
_NO_TARGETS = frozenset(("Resource", "Any"))


def types_of(structure: Json, value_sets: ValueSets, *, root: str = "") -> dict[str, Json]:
    """Returns the type and its backbone elements by path: own elements, base and invariants."""
    name = root or structure["name"]
    elements: list[Json] = structure["snapshot"]["element"]
    base = structure.get("baseDefinition", "").removeprefix(STRUCTURE)
    if structure.get("derivation") == "constraint" and structure["type"] != name:
        base = "Element"  # A profile lists all elements that it allows.
    found: dict[str, Json] = {name: {"base": base, "elements": [], "invariants": []}}
    if structure.get("abstract"):
        found[name]["abstract"] = True
    if structure["type"] != name:
        found[name]["profileOf"] = [structure["type"]]
    nested = {
        element["path"]
        for element in elements
        if {kind["code"] for kind in element.get("type", ())} & {"BackboneElement", "Element"}
    }
    constraint = structure.get("derivation") == "constraint"
    for element in elements:
        path: str = element["path"]
        if "." not in path:
            found[name]["invariants"] += _invariants(element)
            continue
        parent, _, _ = path.rpartition(".")
        inherited = element["base"]["path"].partition(".")[0] != path.partition(".")[0]
        if inherited and not constraint and parent.count(".") == 0:
            continue
        if (
            element["base"]["path"].startswith(("Element.", "BackboneElement."))
            or element["max"] == "0"
        ):
            continue
        if path in nested:
            kinds = {kind["code"] for kind in element["type"]}
            found[path] = {"base": min(kinds), "elements": [], "invariants": _invariants(element)}
        owner = found[parent if parent in found else name]
        owner["elements"].append(_element(element, path if path in nested else "", value_sets))
    return found


def _element(element: Json, backbone: str, value_sets: ValueSets) -> list[Any]:
    """Returns `[name, minimum, maximum (0: many), types, value set, invariants]`, without empty
    ends.
    """
    name = element["path"].rpartition(".")[2]
    if "contentReference" in element:
        types = element["contentReference"].removeprefix("#")
    elif backbone:
        types = backbone
    else:
        types = ",".join(_type(kind, element["path"]) for kind in element["type"])
    binding = element.get("binding", {})
    required = binding.get("strength") == "required" and "valueSet" in binding
    row: list[Any] = [
        name,
        element["min"],
        1 if element["max"] == "1" else 0,
        types,
        value_sets.name_of(binding["valueSet"]) if required else None,
        None if backbone else _invariants(element) or None,
    ]
    while row[-1] is None:
        row.pop()
    return row


def _type(kind: Json, path: str) -> str:
    code: str = kind["code"]
    if path == "Resource.id":
        return "id"  # 4.0.1 says string; the page of the data type and later releases say id.
    if code.startswith("http://hl7.org/fhirpath/System."):
        types: list[str] = [
            extension["valueUrl"]
            for extension in kind["extension"]
            if extension["url"].endswith("structuredefinition-fhir-type")
        ]
        return types[0]
    if code == "Quantity" and kind.get("profile"):
        profile: str = kind["profile"][0].removeprefix(STRUCTURE)
        return profile if profile == "SimpleQuantity" else code
    targets = [target.removeprefix(STRUCTURE) for target in kind.get("targetProfile", ())]
    if code == "Reference" and targets and not _NO_TARGETS & set(targets):
        return f"Reference({'|'.join(targets)})"
    return code


def _invariants(element: Json) -> list[list[str]]:
    return [
        [constraint["key"], constraint["expression"], constraint["human"]]
        for constraint in element.get("constraint", ())
        if constraint["severity"] == "error"
        and constraint["key"] not in _CHECKED_IN_CODE | _LEFT_OUT
        and _is_own(constraint["key"], element["path"])
    ]


def _is_own(key: str, path: str) -> bool:
    """Returns False for an invariant that a snapshot repeats from a base type or a data type."""
    if key == "ext-1":
        return path == "Extension"
    return not key.startswith("dom-") or path == "DomainResource"


def summary_of(structure: Json) -> list[str]:
    """Returns the elements of a type that `_summary=true` gives."""
    return [
        element["path"].partition(".")[2].removesuffix("[x]")
        for element in structure["snapshot"]["element"]
        if element.get("isSummary") and element["path"].count(".") == 1
    ]


def primitives_of(structures: dict[str, Json]) -> dict[str, str]:
    """Returns the regular expression of each primitive type's text; "" where there is none."""
    patterns = {}
    for name, structure in structures.items():
        if structure["kind"] == "primitive-type":
            value: Json = structure["snapshot"]["element"][-1]
            patterns[name] = next(
                (
                    extension["valueString"]
                    for kind in value["type"]
                    for extension in kind.get("extension", ())
                    if extension["url"].endswith("/regex")
                ),
                "",
            )
    return patterns
