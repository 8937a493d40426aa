"""Writes the definitions that the service uses from HL7's own (FHIR R4 4.0.1):
`scripts/definitions`.

HL7's files are 90 MB; what is kept is the element tree, JSON types, cardinalities,
reference targets, required value sets, code hierarchies, invariants, search parameters and
the patient compartment.
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from apps.patient.definitions.generator.hl7_source import (
    PACKAGE,
    SHA512,
    VERSION,
    Json,
    read_source,
    structures_of,
)
from apps.patient.definitions.generator.parameters import SERVED_TYPES, parameters_of
from apps.patient.definitions.generator.types import primitives_of, summary_of, types_of
from apps.patient.definitions.generator.value_sets import ValueSets

# Not stored, but read and answered.
EXCHANGED_TYPES = ("Bundle", "OperationOutcome", "Parameters")

DATA = Path(__file__).parents[1] / "data"


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
    hierarchies = render({"systems": value_sets.hierarchies()})
    digests = {
        "package": PACKAGE,
        "version": VERSION,
        "sha512": SHA512,
        "generator": generator_digest(),
        "contained": digest(contained),
        "hierarchies": digest(hierarchies),
        "definitions": digest(body.removeprefix("{\n")),
    }
    whole = "{\n" + f'"source":{_compact(digests)},\n' + body.removeprefix("{\n")
    return {
        "definitions.json": whole,
        "contained.json": contained,
        "hierarchies.json": hierarchies,
    }


def render(content: Json) -> str:
    """Returns JSON with a line for each type, parameter list and value set, so that
    differences can be read.
    """
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
    """Returns the SHA-256 of a generated file."""
    return hashlib.sha256(text.encode()).hexdigest()


def generator_digest() -> str:
    """Returns the SHA-256 of this package's files: a changed generator must run again."""
    return digest("".join(path.read_text() for path in sorted(Path(__file__).parent.glob("*.py"))))


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
    """Compares the digests that the data records with its generator and itself;
    needs no network.
    """
    definitions = (DATA / "definitions.json").read_text()
    recorded = json.loads(definitions)["source"]
    contained = digest((DATA / "contained.json").read_text())
    hierarchies = digest((DATA / "hierarchies.json").read_text())
    body = definitions[definitions.index('"served":') :]
    made = {
        "package": PACKAGE,
        "version": VERSION,
        "sha512": SHA512,
        "generator": generator_digest(),
        "contained": contained,
        "hierarchies": hierarchies,
        "definitions": digest(body),
    }
    if recorded == made:
        return 0
    print("apps/patient/definitions/data is not what its generator wrote: run scripts/definitions")
    return 1


if __name__ == "__main__":
    sys.exit(main())
