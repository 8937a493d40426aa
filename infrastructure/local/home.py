"""The folders of a platform on this machine: `.local/` for the lasting one, a temporary folder for
throwaway ones.
"""

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from infrastructure.local.postgres import write_private
from infrastructure.local.postgres_place import remove_place
from infrastructure.local.process import StartError

ROOT = Path(__file__).parents[2]
# Elsewhere in tests of the runner itself.
LOCAL = Path(os.environ.get("PLATFORM_LOCAL") or ROOT / ".local")
JARS = ROOT / ".local" / "maven"
THROWAWAY = "platform-run-"
LEAST_FREE_BYTES = 500 * 2**20
# A killed runner's processes end with it; PostgreSQL takes its shutdown's time.
PREVIOUS_SECONDS = 20.0
# Of throwaway platforms that ended with an error.
KEPT_LOGS = 10
# Among the secrets: the version that they are to have.
VERSION = "SECRETS_VERSION"


@dataclass(slots=True)
class Home:
    """The folders of one platform.

    `lock` is held while the runner or a process that it started lives: they inherit it.

    Only the runner holds `lock.runner` beside it.
    """

    directory: Path
    logs: Path
    lock: int
    keep_logs: bool = True

    @property
    def postgres(self) -> Path:
        return self.directory / "postgres"

    @property
    def kafka(self) -> Path:
        return self.directory / "kafka"


class LocalSecrets:
    """Keeps values by name in a file that only its owner may read; each is generated when it is
    first needed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._values: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}

    def read(self, name: str) -> str | None:
        return self._values.get(name)

    def version(self, name: str) -> int:
        return int(self._values.get(f"{name}_VERSION", "1"))

    def write(self, name: str, value: str, version: int = 1) -> None:
        self._values[name] = value
        if version > 1:
            self._values[f"{name}_VERSION"] = str(version)
        write_private(self._path, json.dumps(self._values, indent=1, sort_keys=True) + "\n")

    def write_all(self, values: Mapping[str, str], version: int = 1) -> None:
        for name, value in values.items():
            self.write(name, value, version)

    def make(self, name: str) -> str:
        """Returns the value; if there is none yet, generates 24 random bytes in base64url."""
        if name not in self._values:
            self.write(name, secrets.token_urlsafe(24))
        return self._values[name]


def wanted_version(secrets: LocalSecrets) -> int:
    """Returns the version of the services' secrets that the next start makes."""
    return int(secrets.read(VERSION) or "1")


def ask_rotation(secrets: LocalSecrets) -> int:
    """Has the next start give every secret of the services a new value; returns its version."""
    version = wanted_version(secrets) + 1
    secrets.write(VERSION, str(version))
    return version


@contextlib.contextmanager
def open_home(*, fresh: bool) -> Iterator[Home]:
    """Opens the lasting platform's folders in `.local/`, emptied if `fresh`.

    Raises StartError if another runner has them.
    """
    directory = LOCAL / "data"
    make_private(LOCAL)
    sweep(Path(tempfile.gettempdir()))
    with held_lock(LOCAL / "lock") as lock:
        check_disk(LOCAL)
        if fresh:
            remove_place(directory / "postgres")
            shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(exist_ok=True)
        logs = LOCAL / "logs"
        logs.mkdir(exist_ok=True)
        yield Home(directory, logs, lock)


@contextlib.contextmanager
def open_throwaway() -> Iterator[Home]:
    """Opens folders that are removed at the end; logs stay in `.local/logs/` unless `keep_logs` is
    false.
    """
    make_private(LOCAL)
    sweep(Path(tempfile.gettempdir()))
    check_disk(Path(tempfile.gettempdir()))
    directory = Path(tempfile.mkdtemp(prefix=THROWAWAY))
    # PostgreSQL's own user must be able to pass.
    directory.chmod(0o711)
    logs = LOCAL / "logs" / f"run-{os.getpid()}"
    shutil.rmtree(logs, ignore_errors=True)
    logs.mkdir(parents=True)
    for old in sorted(logs.parent.glob("run-*"), key=lambda path: path.stat().st_mtime)[
        :-KEPT_LOGS
    ]:
        shutil.rmtree(old, ignore_errors=True)
    try:
        with held_lock(directory / "lock") as lock:
            home = Home(directory, logs, lock)
            yield home
            if not home.keep_logs:
                shutil.rmtree(logs, ignore_errors=True)
    finally:
        remove_place(directory / "postgres")
        shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def environment_in_use() -> Iterator[None]:
    """Shares a lock that scripts/setup wants alone before it replaces packages."""
    folder = ROOT / ".local"
    folder.mkdir(exist_ok=True)
    descriptor = os.open(folder / "environment.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def make_private(directory: Path) -> None:
    directory.mkdir(exist_ok=True)
    # Others may pass, as PostgreSQL's own user must, but not look around.
    directory.chmod(0o711)


@contextlib.contextmanager
def held_lock(path: Path) -> Iterator[int]:
    """Locks the file and yields its descriptor, for children to inherit.

    Raises StartError if it cannot be locked.
    """
    with held_alone(path.with_name(f"{path.name}.runner")):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            deadline = time.monotonic() + PREVIOUS_SECONDS
            while not try_lock(descriptor):
                if time.monotonic() > deadline:
                    raise StartError(
                        f"processes of a runner that was killed still hold {path}: end them and "
                        f"try again"
                    )
                time.sleep(0.1)
            yield descriptor
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def held_alone(path: Path) -> Iterator[None]:
    """Locks a file with this runner's pid that no child inherits.

    Raises StartError if another runner holds it.

    The kernel releases the lock with the runner; a pid alone may be a zombie's or by now another
    process's.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not try_lock(descriptor):
            holder = os.pread(descriptor, 20, 0).decode().strip()
            raise StartError(
                f"the platform already runs here (process {holder}): stop it with Ctrl-C, or `kill "
                f"{holder}`"
            )
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """Tells whether a process holds the lock of this file."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        return not try_lock(descriptor)
    finally:
        os.close(descriptor)


def try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def sweep(folder: Path) -> None:
    """Removes the folders of throwaway platforms whose runner was killed."""
    for left in folder.glob(f"{THROWAWAY}*"):
        try:
            descriptor = os.open(left / "lock", os.O_RDWR)
        except OSError:
            # It belongs to another user, or is just being made.
            continue
        try:
            if try_lock(descriptor):
                remove_place(left / "postgres")
                shutil.rmtree(left, ignore_errors=True)
        finally:
            os.close(descriptor)


def check_disk(directory: Path) -> None:
    free = shutil.disk_usage(directory).free
    if free < LEAST_FREE_BYTES:
        raise StartError(
            f"the disk is full: {free // 2**20} MiB are free at {directory}, "
            f"{LEAST_FREE_BYTES // 2**20} are needed"
        )
