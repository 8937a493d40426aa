"""HL7's packages, fetched by npm once and kept beside the checkout; never committed."""

import hashlib
import json
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from apps.patient.codec import decode

CACHE = Path(__file__).parents[2] / ".local" / "fhir"


@dataclass(frozen=True, slots=True)
class Package:
    name: str
    version: str
    sha512: str

    @property
    def path(self) -> Path:
        return CACHE / f"{self.name}-{self.version}.tgz"


R4_EXAMPLES = Package(
    "hl7.fhir.r4.examples",
    "4.0.1",
    "0d705d21939e41a48a220094ef0e87382eecc3fe81cf29668a92e4056e1ffffa"
    "53f8173de31fbc2c89b04ddbda35384f2683b3a41cefc40ccdaa37aedd7ff32f",
)
IPS = Package(
    "hl7.fhir.uv.ips",
    "2.0.0",
    "e0f593a09f5bd45817b26f4322f1e253a1cef59e66ef98f19347b43173a68459"
    "5fda6dac964fdde91a2249820284a265be6b49ec66d17edb7b3e9865c2665c6d",
)


@cache
def fetch(package: Package) -> Path:
    """Returns the package's archive; raises ValueError if it is not the pinned one."""
    if not package.path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            [
                *("npm", "pack", "--silent", "--pack-destination", str(CACHE)),
                f"{package.name}@{package.version}",
            ],
            check=True,
            stdout=subprocess.DEVNULL,
        )
    if hashlib.sha512(package.path.read_bytes()).hexdigest() != package.sha512:
        raise ValueError(f"{package.path} is not the pinned archive")
    return package.path


def resources_in(
    package: Package, *, folder: str = "", largest: int = 2**30
) -> Iterator[tuple[str, bytes]]:
    """Yields the file name and text of each resource in a folder of the package."""
    with tarfile.open(fetch(package)) as archive:
        for member in archive:
            name = member.name.removeprefix(f"package/{folder}")
            if not name.endswith(".json") or "/" in name or member.size > largest:
                continue
            file = archive.extractfile(member)
            if file is not None:
                yield name, file.read()


def entries_of(text: bytes) -> list[Any]:
    """Returns the resources of a Bundle, or the one resource, with numbers as they are written."""
    content = decode(text)
    if content.get("resourceType") != "Bundle":
        return [content]
    return [entry["resource"] for entry in content.get("entry", ()) if "resource" in entry]


def type_of(text: bytes) -> str:
    content: dict[str, Any] = json.loads(text)
    return str(content.get("resourceType", ""))
