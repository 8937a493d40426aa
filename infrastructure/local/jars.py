"""Kafka's jars: downloaded by `jgo` by their Maven coordinates, and used only if their sha256 is
that in kafka.lock.

`python -m infrastructure.local.jars` resolves the coordinates anew and writes the lock.
"""

import errno
import fcntl
import hashlib
import logging
import os
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from infrastructure.local.process import StartError

# A release line that Amazon MSK offers too, and the binding that makes its log readable.
# Resolved one by one: together, the second one's managed versions would rule the first's.
ENDPOINTS = (
    "org.apache.kafka:kafka_2.13:4.1.2",
    "org.apache.logging.log4j:log4j-slf4j-impl:2.25.3",
)
LOCK = Path(__file__).with_name("kafka.lock")
DOWNLOAD_SECONDS = 30
PARALLEL_DOWNLOADS = 8
REPORT_SECONDS = 5.0
PIP_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Jar:
    group: str
    artifact: str
    version: str
    sha256: str = ""

    def __str__(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version}"


def read_lock(text: str) -> tuple[Jar, ...]:
    """Parses lines of `group:artifact:version sha256`."""
    jars = []
    for line in text.splitlines():
        if line and not line.startswith("#"):
            coordinates, sha256 = line.split()
            group, artifact, version = coordinates.split(":")
            jars.append(Jar(group, artifact, version, sha256))
    return tuple(jars)


def resolve_jars(
    cache: Path, report: Callable[[str], None] = lambda message: None, lock: Path = LOCK
) -> tuple[Path, ...]:
    """Returns the paths of all jars of `lock`, each verified; missing ones are downloaded into
    `cache`.

    Raises StartError if one cannot be downloaded or differs from the pinned one.
    """
    jars = read_lock(lock.read_text())
    cache.mkdir(parents=True, exist_ok=True)
    # One at a time: two that download the same jar would each see the other's half.
    with (cache / "lock").open("w") as held, ThreadPoolExecutor(PARALLEL_DOWNLOADS) as pool:
        fcntl.flock(held, fcntl.LOCK_EX)
        missing = sum(not path_of(jar, cache).exists() for jar in jars)
        if missing:
            report(f"downloading {missing} jars of Kafka, 45 MB, once")
            trust_as_pip_does(os.environ)
        paths: list[Path] = []
        reported_at = time.monotonic()
        for path in pool.map(lambda jar: resolve_jar(jar, cache), jars):
            paths.append(path)
            if missing and time.monotonic() - reported_at > REPORT_SECONDS:
                reported_at = time.monotonic()
                report(f"{len(paths)} of {len(jars)} jars are there")
        return tuple(paths)


def trust_as_pip_does(environ: MutableMapping[str, str]) -> None:
    """Tells `environ` the authorities that pip trusts, where the library that downloads the jars
    looks for them.
    """
    if environ.get("REQUESTS_CA_BUNDLE"):
        return
    if found := environ.get("PIP_CERT") or cert_of_pip_conf() or environ.get("SSL_CERT_FILE"):
        environ["REQUESTS_CA_BUNDLE"] = found
        return
    # As pip, by the system's authorities: a company's own may be among them, and in no list that a
    # package carries.
    paths = ssl.get_default_verify_paths()
    system = paths.cafile or paths.capath
    if system and (Path(system).is_file() or any(Path(system).glob("*.0"))):
        environ["REQUESTS_CA_BUNDLE"] = system


def cert_of_pip_conf() -> str | None:
    """Returns `cert` of pip's configuration files, which pip itself finds and reads."""
    for section in ("global", "install"):
        command = [sys.executable, "-m", "pip", "config", "get", f"{section}.cert"]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=PIP_SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        if done.returncode == 0 and done.stdout.strip():
            return done.stdout.strip()
    return None


def resolve_jar(jar: Jar, cache: Path) -> Path:
    path = path_of(jar, cache)
    if path.exists() and sha256_of(path) == jar.sha256:
        return path
    # A download that was interrupted, or a file that was changed.
    path.unlink(missing_ok=True)
    download(jar, cache)
    found = sha256_of(path)
    if found != jar.sha256:
        path.unlink()
        raise StartError(
            f"{jar} has the sha256 {found}, not the pinned {jar.sha256}: it was not used"
        )
    return path


def path_of(jar: Jar, cache: Path) -> Path:
    """Returns the jar's path in Maven's own layout."""
    return cache.joinpath(
        *jar.group.split("."), jar.artifact, jar.version, f"{jar.artifact}-{jar.version}.jar"
    )


def download(jar: Jar, cache: Path) -> None:
    # Costs 0.2 s to import, and is only needed for a download.
    import requests
    from jgo.maven import MavenContext

    logging.getLogger("jgo").setLevel(logging.ERROR)
    context = MavenContext(repo_cache=cache, timeout=DOWNLOAD_SECONDS)
    try:
        context.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve()
    except (requests.RequestException, RuntimeError, OSError) as error:
        path_of(jar, cache).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise StartError("the disk is full: Kafka's jars need 45 MB") from error
        if isinstance(error, requests.exceptions.SSLError):
            raise StartError(
                f"could not download {jar}: its server is not trusted. Name your company's "
                f"authorities in"
                " PIP_CERT, SSL_CERT_FILE, REQUESTS_CA_BUNDLE or pip.conf"
            ) from error
        raise StartError(
            f"could not download {jar}: is there a network? ({type(error).__name__})"
        ) from error


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_lock(cache: Path) -> None:
    import jgo

    jars: dict[tuple[str, str], Jar] = {}
    for endpoint in ENDPOINTS:
        for found in jgo.resolve(endpoint):
            jars.setdefault(
                (found.groupId, found.artifactId),
                Jar(found.groupId, found.artifactId, found.version),
            )
    LOCK.write_text(format_lock(sorted(jars.values(), key=str), cache))


def format_lock(jars: Iterable[Jar], cache: Path) -> str:
    lines = ["# Made by `python -m infrastructure.local.jars`: group:artifact:version sha256"]
    for jar in jars:
        download(jar, cache)
        lines.append(f"{jar} {sha256_of(path_of(jar, cache))}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    write_lock(Path(".local/maven"))
