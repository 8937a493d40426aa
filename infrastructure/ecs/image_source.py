"""What an image is made of: one list of files a service, its digest, and the build context that
holds just these.

The digest alone says whether a service changed. An unchanged one is neither built nor rolled.
"""

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from apps.catalogue import SERVICES
from infrastructure.ecs.base_image import DOCKERFILE, dockerfile_text

# Of its own: the local platform reads this file without the packages of the program.
ROOT = Path(__file__).resolve().parents[2]
RELEASE = "release"
IMAGES = (*SERVICES, RELEASE)
# The release runs every service's migrations and registers the services' clients with auth's code.
RELEASE_FOLDERS = ("apps/auth", *(f"apps/{name}/migrations" for name in SERVICES if name != "auth"))
VERSION_DIGITS = 12
LEFT_OUT = {"__pycache__", ".mypy_cache", ".ruff_cache"}


def parts(service: str) -> tuple[str, ...]:
    """Returns the paths, relative to the repository, that make the image of `service`."""
    if service not in IMAGES:
        raise ValueError(f"{service} has no image")
    own = (
        "apps/Dockerfile",
        "apps/__init__.py",
        "apps/catalogue.py",
        "apps/operations.py",
        "apps/verbs.py",
        "apps/kit",
        f"apps/{service}",
        "protos",
    )
    return (*own, *RELEASE_FOLDERS) if service == RELEASE else own


def source_files(service: str, root: Path = ROOT) -> Iterator[Path]:
    """Returns paths, sorted, relative to `root`. Files that a run leaves behind are no source."""
    found = set()
    for part in parts(service):
        path = root / part
        for file in [path] if path.is_file() else path.rglob("*"):
            if file.is_file() and not LEFT_OUT.intersection(file.parts) and file.suffix != ".pyc":
                found.add(file.relative_to(root))
    yield from sorted(found)


def read_source(file: Path, root: Path = ROOT) -> bytes:
    """Returns the content of a file of an image; the Dockerfile with the base that is asked for."""
    return dockerfile_text(root).encode() if file == DOCKERFILE else (root / file).read_bytes()


def source_digest(service: str, root: Path = ROOT) -> str:
    """Returns SHA-256 in hexadecimal over the names and contents: no times, no commit, no order of
    the file system.
    """
    digest = hashlib.sha256()
    for file in source_files(service, root):
        content = read_source(file, root)
        digest.update(f"{file.as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def version_of(digest: str) -> str:
    """Returns what a service shows as its version: the first digits of its source's digest, which
    its image's tag has too.
    """
    return digest[:VERSION_DIGITS]


def stage(service: str, destination: Path, root: Path = ROOT) -> Path:
    """Lays the service's files out as a build context, so that the builder sees no other service's
    change.
    """
    context = destination / service
    shutil.rmtree(context, ignore_errors=True)
    for file in source_files(service, root):
        target = context / file
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(read_source(file, root))
        # The builder hashes modes too, and a checkout's depend on whose it is.
        target.chmod(0o644)
    return context
