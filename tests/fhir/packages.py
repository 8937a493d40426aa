"""HL7's packages and repositories, fetched by npm and git once and kept beside the checkout;
never committed.
"""

import hashlib
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from apps.patient.codec import decode

FETCH_SECONDS = 120
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


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository at one commit. The variable names the git directory of a copy where `url`
    is out of reach.
    """

    name: str
    url: str
    commit: str
    variable: str

    @property
    def path(self) -> Path:
        return CACHE / f"{self.name}.git"


# No registry has this package.
US_CORE = Repository(
    "us-core",
    "https://github.com/HL7/US-Core",
    "85bf4af6eec4beed9f2bb0ac317964fc029e1970",
    "US_CORE_REPOSITORY",
)


class UnreachableError(Exception):
    """The repository cannot be fetched from here."""


def files_in(repository: Repository, folder: str) -> Iterator[tuple[str, bytes]]:
    """Yields the name and text of each JSON file in a folder; raises UnreachableError without
    the repository.
    """
    # What git gives under a commit's name is that commit: the name is its hash.
    archive = subprocess.run(
        [
            *("git", "--git-dir", str(git_directory(repository))),
            *("archive", "--format=tar", repository.commit, folder),
        ],
        check=True,
        capture_output=True,
    )
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as opened:
        for member in opened:
            file = opened.extractfile(member) if member.name.endswith(".json") else None
            if file is not None:
                yield Path(member.name).name, file.read()


def git_directory(repository: Repository) -> Path:
    """Returns the directory of the copy that the variable names, or of one that is fetched."""
    if repository.variable in os.environ:
        return Path(os.environ[repository.variable])
    git = ("git", "--git-dir", str(repository.path))
    subprocess.run((*git, "init", "--quiet", "--bare"), check=True)
    is_there = subprocess.run(
        (*git, "cat-file", "-e", repository.commit), check=False, capture_output=True
    )
    if is_there.returncode != 0:
        try:
            subprocess.run(
                (*git, "fetch", "--quiet", "--depth", "1", repository.url, repository.commit),
                check=True,
                capture_output=True,
                text=True,
                timeout=FETCH_SECONDS,
            )
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            told = str(error.stderr or "no answer").strip()[-200:]
            raise UnreachableError(f"{repository.url}: {told}") from None
    return repository.path


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
