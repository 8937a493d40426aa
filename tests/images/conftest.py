"""A base image made here by debootstrap, and each service's image on it, once a session; buildah
needs no engine.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infrastructure.ecs.image_source import stage

BASE = "localhost/patient-management-base:test"
BUILD_SECONDS = 900
SUITE = "bookworm"
# As the public image of Python has it.
PYTHON = "python3,python3-venv,ca-certificates"


def buildah(*arguments: str) -> str:
    command = ["buildah", *arguments]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=BUILD_SECONDS
    )
    assert done.returncode == 0, (
        f"{' '.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    )
    return done.stdout.strip()


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Python on Debian, as the Dockerfile's own base has it; skips where it cannot be
    made, and says why.
    """
    if os.geteuid() != 0:
        pytest.skip(
            "images: could not be built: buildah's chroot isolation and debootstrap need root here"
        )
    for tool in ("buildah", "debootstrap", "unshare"):
        if not shutil.which(tool):
            pytest.skip(f"images: could not be built: there is no {tool}")
    if BASE in buildah("images", "--format", "{{.Name}}:{{.Tag}}").splitlines():
        return BASE
    root = tmp_path_factory.mktemp("base") / "root"
    made = subprocess.run(
        ["debootstrap", "--variant=minbase", f"--include={PYTHON}", SUITE, str(root), *mirror()],
        check=False,
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
    )
    if made.returncode != 0:
        pytest.skip(
            f"images: could not be built: debootstrap made no base image: {made.stdout[-300:]}"
        )
    (root / "usr/bin/python").symlink_to("python3")
    container = buildah("from", "scratch")
    buildah("copy", "--quiet", container, str(root), "/")
    buildah("commit", "--quiet", container, BASE)
    buildah("rm", container)
    shutil.rmtree(root)
    return BASE


def mirror() -> list[str]:
    """Where this machine's own packages come from."""
    for source in [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*")]:
        for line in source.read_text(encoding="utf-8").splitlines() if source.is_file() else []:
            words = line.split()
            if words[:1] == ["URIs:"] and words[1].endswith("/debian"):
                return [words[1]]
            if words[:1] == ["deb"] and SUITE in words:
                return [next(word for word in words if "://" in word)]
    return []


@dataclass(frozen=True)
class Image:
    """A built image, mounted: `config` as the OCI image has it."""

    name: str
    root: Path
    config: dict[str, Any]


Build = Callable[[str], Image]


@pytest.fixture(scope="session")
def build(base: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Build]:
    """`build(service)`: built and mounted once."""
    directory = tmp_path_factory.mktemp("contexts")
    (directory / "pip.conf").write_text(
        "[global]\ncert = /etc/pip-authorities.crt\n", encoding="utf-8"
    )
    with ExitStack() as stack:
        built: dict[str, Image] = {}

        def make(service: str) -> Image:
            if service not in built:
                name = build_image(base, service, directory)
                stack.callback(buildah, "rmi", "--force", name)
                container = buildah("from", "--pull-never", name)
                stack.callback(buildah, "rm", container)
                root = Path(buildah("mount", container))
                stack.callback(buildah, "umount", container)
                config = json.loads(buildah("inspect", "--type", "image", name))["OCIv1"]["config"]
                built[service] = Image(name, root, config)
            return built[service]

        yield make


def build_image(base: str, service: str, directory: Path) -> str:
    context = stage(service, directory)
    name = f"localhost/patient-management-{service}:test"
    buildah(
        "build",
        "--isolation=chroot",
        "--network=host",
        "--quiet",
        f"--build-arg=PYTHON={base}",
        f"--build-arg=SERVICE={service}",
        f"--volume={directory / 'pip.conf'}:/etc/pip.conf:ro",
        "--volume=/etc/ssl/certs/ca-certificates.crt:/etc/pip-authorities.crt:ro",
        f"--file={context / 'apps/Dockerfile'}",
        f"--tag={name}",
        str(context),
    )
    return name
