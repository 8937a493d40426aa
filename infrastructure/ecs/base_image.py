"""The image that every service's is built on: named in `apps/Dockerfile`, by its digest.

`python -m infrastructure.ecs.base_image` writes the digest that the tag has now into the
Dockerfile, so that what it fixes is built, tested and shipped as a change of every service. With
`--check` it only tells whether that is due.
"""

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

# Of its own: the local platform reads images' sources without the packages of the program.
ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = Path("apps/Dockerfile")
# Another base, such as a mirror's: by its digest as well.
VARIABLE = "BASE_IMAGE"
ARGUMENT = re.compile(r"^ARG PYTHON=(\S+)$", re.MULTILINE)
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
INSPECT_SECONDS = 120


class BaseImageError(Exception):
    """The base image has no digest, or its registry cannot tell it."""


def read_base(dockerfile: str) -> str:
    found = ARGUMENT.search(dockerfile)
    if found is None:
        raise BaseImageError(f"{DOCKERFILE} has no line ARG PYTHON=")
    return found[1]


def replace_base(dockerfile: str, image: str) -> str:
    return ARGUMENT.sub(lambda found: f"ARG PYTHON={image}", dockerfile, count=1)


def dockerfile_text(root: Path = ROOT, environ: Mapping[str, str] = os.environ) -> str:
    """Returns the Dockerfile, on the base that `BASE_IMAGE` names where it is set."""
    text = (root / DOCKERFILE).read_text(encoding="utf-8")
    return replace_base(text, environ[VARIABLE]) if environ.get(VARIABLE) else text


def check_pinned(root: Path = ROOT, environ: Mapping[str, str] = os.environ) -> None:
    """Raises BaseImageError unless the base is named by its digest: a tag moves, and nobody would
    know what ran.
    """
    image = read_base(dockerfile_text(root, environ))
    _, _, digest = image.partition("@")
    if not DIGEST.fullmatch(digest):
        raise BaseImageError(
            f"{DOCKERFILE}: {image} has no digest. Run scripts/base-image and commit what it writes"
        )


def ask_registry(tag: str) -> str:
    """Returns the digest that the tag has now. Raises BaseImageError."""
    command = ["docker", "buildx", "imagetools", "inspect", tag, "--format", "{{.Manifest.Digest}}"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=INSPECT_SECONDS, check=False
        )
    except (FileNotFoundError, subprocess.TimeoutExpired) as error:
        raise BaseImageError(f"docker buildx cannot be asked for {tag}: {error}") from error
    digest = done.stdout.strip()
    if done.returncode != 0 or not DIGEST.fullmatch(digest):
        told = (done.stderr.strip() or digest or "nothing").splitlines()[-1]
        raise BaseImageError(f"the registry told no digest of {tag}: {told}")
    return digest


def main(arguments: list[str], root: Path = ROOT, ask: Callable[[str], str] = ask_registry) -> int:
    """Returns the exit status: 1 where a check finds that the base has moved,
    2 where nobody tells.
    """
    parser = argparse.ArgumentParser(
        prog="scripts/base-image",
        description="Pins the base of all images to the digest that its tag has now.",
    )
    parser.add_argument("--check", action="store_true", help="only tells whether that is due")
    options = parser.parse_args(arguments)

    path = root / DOCKERFILE
    text = path.read_text(encoding="utf-8")
    try:
        image = read_base(text)
        tag = image.partition("@")[0]
        pinned = f"{tag}@{ask(tag)}"
    except BaseImageError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    if image == pinned:
        sys.stdout.write(f"{image} is up to date\n")
        return 0
    if options.check:
        sys.stderr.write(f"{image} is now {pinned}: run scripts/base-image and commit\n")
        return 1
    path.write_text(replace_base(text, pinned), encoding="utf-8")
    sys.stdout.write(f"{DOCKERFILE}: {pinned}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
