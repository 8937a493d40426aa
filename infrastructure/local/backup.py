"""Backs the databases of this machine's platform up while it runs, and restores them while it does
not.

With PostgreSQL's own base backup, which brings the write-ahead log of its own time, so that it is
consistent by itself (https://www.postgresql.org/docs/18/app-pgbasebackup.html). The keys that the
databases are encrypted with go along: without them a backup cannot be used. Events in Kafka are not
in it: what was counted is checked after a restore.
"""

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infrastructure.local.postgres import environment, read_passwords, write_private
from infrastructure.local.postgres_place import MAJOR, place, unprivileged, wheel_binaries

BACKUP_SECONDS = 1800
BASE = "base"
# Of a platform's folder: the services' secrets, and PostgreSQL's own passwords.
SECRETS = "secrets.json"
PASSWORDS = "postgres/passwords.json"


class BackupError(Exception):
    """The backup cannot be made or used; the message says why."""


def back_up(home: Path, port: int, target: Path) -> Path:
    """Writes a backup of the server on `port` into the new folder `target`. Raises BackupError.

    `home`: the folder of the platform's data.
    """
    if target.exists():
        raise BackupError(f"{target} is there already: a backup is a folder of its own")
    unfinished = target.with_name(f"{target.name}.part")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        unfinished.mkdir(mode=0o700, parents=True)
        password = read_passwords(home / "postgres")["superuser"]
        words = [
            "--host=127.0.0.1", f"--port={port}", "--username=postgres", "--no-password",
            f"--pgdata={unfinished / BASE}", "--wal-method=stream", "--checkpoint=fast",
            "--manifest-checksums=SHA256",
        ]  # fmt: skip
        run("pg_basebackup", words, {"PGPASSWORD": password})
        for name in (SECRETS, PASSWORDS):
            write_private(unfinished / Path(name).name, (home / name).read_text())
        unfinished.rename(target)
    except OSError as error:
        raise BackupError(f"{target} cannot be written: {error.strerror}") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return target


def check_backup(source: Path) -> None:
    """Raises BackupError unless the folder holds a whole backup of this version of PostgreSQL."""
    version = source / BASE / "PG_VERSION"
    if not version.exists():
        raise BackupError(f"{source} is no backup of scripts/operate local backup")
    if (found := version.read_text().strip()) != MAJOR:
        raise BackupError(f"{source} is of PostgreSQL {found}, not {MAJOR}")
    check_files(source / BASE)


def check_files(base: Path) -> None:
    """Raises BackupError unless each file has the size and the checksum that the server wrote down.

    As pg_verifybackup does, which crashes in the wheel that the binaries come from.
    """
    try:
        manifest = json.loads((base / "backup_manifest").read_text())
        for entry in manifest["Files"]:
            path = base / file_name(entry)
            content = path.read_bytes()
            if len(content) != entry["Size"]:
                raise BackupError(f"{path} has {len(content)} bytes, not {entry['Size']}")
            if hashlib.sha256(content).hexdigest() != entry["Checksum"]:
                raise BackupError(f"{path} is not what the server sent")
    except (OSError, ValueError, KeyError) as error:
        raise BackupError(f"{base} is not whole: {error}") from error


def file_name(entry: Mapping[str, Any]) -> str:
    """Returns the path of a manifest's entry; one that is no UTF-8 stands there in hexadecimal."""
    if "Encoded-Path" in entry:
        return os.fsdecode(bytes.fromhex(entry["Encoded-Path"]))
    return str(entry["Path"])


def restore(home: Path, source: Path, now: datetime | None = None) -> Path | None:
    """Puts the backup in place of the platform's databases, which must not run.

    Returns the folder of the databases of before, which are kept; None where there were none.
    Raises BackupError.
    """
    check_backup(source)
    identity = unprivileged()
    (home / "postgres").mkdir(parents=True, exist_ok=True)
    cluster = place(home / "postgres", identity) / "cluster"
    unfinished = cluster.with_name("cluster.part")
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.copytree(source / BASE, unfinished)
    unfinished.chmod(0o700)
    if identity is not None:
        for path in (unfinished, *unfinished.rglob("*")):
            os.chown(path, identity.uid, identity.gid)

    kept = None
    if cluster.exists():
        stamp = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
        kept = cluster.with_name(f"cluster.before-{stamp}")
        cluster.rename(kept)
    unfinished.rename(cluster)
    for name in (SECRETS, PASSWORDS):
        write_private(home / name, json_of(source / Path(name).name))
    return kept


def json_of(path: Path) -> str:
    text = path.read_text()
    json.loads(text)
    return text


def run(program: str, words: Sequence[str], variables: dict[str, str]) -> None:
    try:
        done = subprocess.run(
            [wheel_binaries() / program, *words],
            env={**environment(), **variables},
            capture_output=True,
            text=True,
            timeout=BACKUP_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise BackupError(f"{program} took longer than {BACKUP_SECONDS} s") from error
    if done.returncode:
        told = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        raise BackupError(f"{program}: {told[-1]}")
