"""Each image is really built, and each service really started from it: nobody's user, a root that
cannot be written.
"""

import dataclasses
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from apps.catalogue import SECRETS, SERVICES, Service, Topic, environment
from apps.release.secrets import generate
from infrastructure.ecs.image_source import IMAGES, RELEASE
from infrastructure.ecs.task import USER, probe_url
from tests.images.conftest import Build, Image
from tests.ports import free_port

pytestmark = pytest.mark.images
START_SECONDS = 60
STOP_SECONDS = 5
# Nobody listens there: a service starts, and says that it lives, without its neighbours.
NOBODY = "127.0.0.1:9"


class Alone:
    """Where a service finds its things when it has none: the shapes are AWS's."""

    def common(self, entry: Service) -> dict[str, str]:
        return {
            "ENVIRONMENT": "dev",
            "HOST": "127.0.0.1",
            "PORT": str(entry.port),
            "PUBLIC_URL": "https://dev.example.org",
            "LOG_FORMAT": "json",
        }

    def database(self, entry: Service, name: str) -> str:
        return f"postgresql://{name}@{NOBODY}/{name}"

    def broker(self, entry: Service) -> dict[str, str]:
        return {"KAFKA_BOOTSTRAP_SERVERS": NOBODY, "KAFKA_SECURITY": "plaintext"}

    def topic(self, topic: Topic) -> str:
        return topic.name

    def consumer_group(self, entry: Service) -> str:
        return entry.name

    def service(self, entry: Service) -> str:
        return NOBODY if entry.protocol == "grpc" else f"http://{NOBODY}"

    def setting(self, entry: Service, name: str) -> str | None:
        return {"TLS_SELF_SIGNED": "true", "TRUSTED_PROXIES": "10.0.48.0/21"}.get(name)


def secrets(entry: Service) -> dict[str, str]:
    return {name: generate(SECRETS[name]) for name in entry.secrets}


SCRIPT = """
set -e
mount --bind "$1" "$1"
mount -t proc proc "$1/proc"
mount --bind /dev "$1/dev"
mount -t tmpfs -o mode=1777 tmpfs "$1/tmp"
mount -o remount,ro,bind "$1"
root=$1
shift
exec chroot --userspec=USER "$root" "$@"
""".replace("USER", USER)


def command(root: Path, variables: dict[str, str], *arguments: str) -> list[str]:
    """As ECS would: its own mounts, a read-only root, /tmp to write to, the user without a name."""
    given = [f"{key}={value}" for key, value in variables.items()]
    path = "PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin"
    start = ["/usr/bin/env", "-i", "-C", "/srv", path, *given, *arguments]
    return [
        "unshare",
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        "sh",
        "-c",
        SCRIPT,
        "start",
        str(root),
        *start,
    ]


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_starts_from_its_image(build: Build, service: str) -> None:
    entry = dataclasses.replace(SERVICES[service], port=free_port())
    image = build(service)
    variables = {"SERVICE": service, **environment(entry, Alone()), **secrets(entry)}
    with started(command(image.root, variables, *image.config["Entrypoint"])) as process:
        wait_until_alive(process, image.root, entry)
        uids = (
            Path(f"/proc/{inner(process)}/status")
            .read_text(encoding="utf-8")
            .partition("Uid:")[2]
            .split()[:4]
        )
        assert set(uids) == {USER.split(":")[0]}


@contextmanager
def started(arguments: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            arguments, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            yield process
        except BaseException:
            log.seek(0)
            sys.stderr.write(log.read()[-3000:].decode(errors="replace"))
            raise
        finally:
            # `unshare` passes no signal on, and who changes its user outlives it.
            for stop in (signal.SIGTERM, signal.SIGKILL):
                if process.poll() is None:
                    # It may end before it is found.
                    with suppress(IndexError, ProcessLookupError, FileNotFoundError):
                        os.kill(inner(process), stop)
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(timeout=STOP_SECONDS)


def inner(process: subprocess.Popen[bytes]) -> int:
    """The first process of the namespaces: the service."""
    return int(
        Path(f"/proc/{process.pid}/task/{process.pid}/children")
        .read_text(encoding="utf-8")
        .split()[0]
    )


def wait_until_alive(process: subprocess.Popen[bytes], root: Path, entry: Service) -> None:
    probe = command(root, {}, "python", "-m", "apps.kit.probe", probe_url(entry, entry.liveness))
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, f"{entry.name} ended with {process.returncode}"
        if (
            subprocess.run(
                probe, check=False, capture_output=True, timeout=START_SECONDS
            ).returncode
            == 0
        ):
            return
        time.sleep(0.5)
    pytest.fail(f"{entry.name} did not say within {START_SECONDS} seconds that it lives")


def run(image: Image, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(image.root, {}, *arguments),
        check=False,
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
    )


@pytest.mark.parametrize("service", SERVICES)
def test_its_root_cannot_be_written(build: Build, service: str) -> None:
    tried = run(build(service), "python", "-c", "open('/srv/written', 'w')")
    assert "Read-only file system" in tried.stderr
    done = run(build(service), "python", "-c", "open('/tmp/written', 'w')")
    assert done.returncode == 0, done.stderr


def test_the_release_runs_from_its_image(build: Build) -> None:
    image = build(RELEASE)
    told = run(image, "python", "-m", "apps.release", "--help")
    assert told.returncode == 0, told.stderr
    assert "migrate" in told.stdout
    found = {
        path.parent.parent.name for path in (image.root / "srv/apps").glob("*/migrations/versions")
    }
    assert found == {name for name, entry in SERVICES.items() if entry.databases}


def test_what_the_task_is_told_follows_the_entry_point(build: Build) -> None:
    image = build(RELEASE)
    told = subprocess.run(
        command(image.root, {"SERVICE": RELEASE}, *image.config["Entrypoint"], "nonsense"),
        check=False,
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
    )
    assert "invalid choice: 'nonsense'" in told.stderr


@pytest.mark.parametrize("service", IMAGES)
def test_an_image_holds_its_own_service_only(build: Build, service: str) -> None:
    image = build(service)
    code = {
        path.name for path in (image.root / "srv/apps").iterdir() if (path / "__init__.py").exists()
    }
    assert code == ({service, "kit", "auth"} if service == RELEASE else {service, "kit"})
    assert not (image.root / "opt/venv/bin/pip").exists()
    assert image.config["User"] == USER
    assert not [entry for entry in image.config["Env"] if "SECRET" in entry or "TOKEN" in entry]
