"""Runs verbs against the platform of `scripts/up`, which its state file describes."""

import json
import os
import re
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen

from apps.catalogue import SECRETS, SERVICES
from apps.kit.probe import probe_grpc
from apps.operations import Verb, command_of
from apps.verbs import VERBS
from infrastructure.local.accounts import read_accounts
from infrastructure.local.backup import BackupError, back_up, restore
from infrastructure.local.home import LOCAL, ROOT, LocalSecrets, ask_rotation, is_held
from infrastructure.local.postgres_place import wheel_binaries
from infrastructure.local.state import State, read_state
from infrastructure.operate.answers import Answer, RefusedError, answer_of

TIMEOUT_SECONDS = 900
PROBE_SECONDS = 5
DEFAULT_LINES = 100
MAX_LINES = 100_000
TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\.\d+")


def run(verb: Verb, values: Mapping[str, Any], service: str | None) -> Answer:
    """Runs the verb in its service or, if none runs it, here.

    Raises RefusedError and NotRunningError.
    """
    if not verb.services:
        return HERE[verb.name](values)
    state = read_state()
    answer = run_in_service(state, verb, values, service)
    if verb.name == "clients rotate-secret" and isinstance(answer, Mapping):
        keep_secret(state, answer)
    return answer


def run_in_service(
    state: State, verb: Verb, values: Mapping[str, Any], service: str | None
) -> Answer:
    """Runs the service's code in a process of its own, with the running service's environment."""
    command = command_of(VERBS, verb.name, values, service)
    try:
        done = subprocess.run(
            [sys.executable, "-m", f"apps.{command.service}", *command.words],
            env=dict(state.environments[command.service]),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise RefusedError(f"{verb.name} took longer than {TIMEOUT_SECONDS} s") from None
    lines = done.stdout.splitlines()
    try:
        return answer_of(json.loads(lines[-1]))
    except (IndexError, ValueError, KeyError):
        reason = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()[-1]
        raise RefusedError(f"{verb.name} failed with status {done.returncode}: {reason}") from None


def keep_secret(state: State, answer: Mapping[str, Any]) -> None:
    """Notes the first client's new secret where the loader and the banner read it."""
    if answer.get("id") == state.client_id:
        LocalSecrets(Path(state.secrets_file)).write(
            "PLATFORM_CLIENT_SECRET", str(answer["secret"])
        )


def show_status(values: Mapping[str, Any]) -> Answer:
    state = read_state()
    rows = []
    for name, entry in SERVICES.items():
        target = state.targets[name]
        if entry.protocol == "grpc":
            ready, trouble = probe_grpc(target), ""
        else:
            ready, trouble = probe_readiness(target + entry.readiness.path)
        rows.append(
            {
                "service": name,
                "address": target,
                "state": "ready" if ready else "not ready",
                "trouble": trouble,
            }
        )
    return rows


def probe_readiness(url: str) -> tuple[bool, str]:
    """Returns whether the service is ready, and what it says is degraded."""
    try:
        with urlopen(url, timeout=PROBE_SECONDS) as response:  # noqa: S310 - the state file's own
            body = json.loads(response.read())
            return True, ", ".join(body.get("degraded", ()))
    except HTTPError as error:
        error.close()
        return False, f"HTTP {error.code}"
    except (OSError, ValueError) as error:
        return False, str(getattr(error, "reason", error))


def show_sign_in(values: Mapping[str, Any]) -> Answer:
    state = read_state()
    secrets = LocalSecrets(Path(state.secrets_file))
    accounts = read_accounts(state.database_urls["auth"], secrets)
    return {
        "url": state.url,
        "sign in": f"{state.url}/oauth2/sign-in",
        "user": accounts.user,
        "password": accounts.password,
        "client": accounts.client_id,
        "client secret": accounts.client_secret,
    }


def show_logs(values: Mapping[str, Any]) -> Answer:
    folder = Path(read_state().logs)
    known = sorted(path.stem for path in folder.glob("*.log"))
    service = values.get("service")
    if service is not None and service not in known:
        raise RefusedError(f"there is no log of {service}: there are {', '.join(known)}")
    count = min(int(values.get("lines", DEFAULT_LINES)), MAX_LINES)
    request_id = values.get("request_id")
    found = []
    for name in [service] if service else known:
        for time, line in last_lines(folder / f"{name}.log", count, request_id):
            found.append((time, f"{name:<9} | {line}"))
    # Stable: lines of one service stay in their order.
    return "\n".join(line for _, line in sorted(found, key=lambda each: each[0]))


def last_lines(path: Path, count: int, request_id: str | None) -> list[tuple[str, str]]:
    """Returns the last lines with their times; a line without one, as in a traceback, has that of
    the line before.
    """
    wanted: deque[tuple[str, str]] = deque(maxlen=count)
    time = ""
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            if found := TIME.match(line):
                # PostgreSQL writes a space in place of the T.
                time = found[0].replace(" ", "T")
            if request_id is None or request_id in line:
                wanted.append((time, line.rstrip("\n")))
    return list(wanted)


def open_psql(values: Mapping[str, Any]) -> Answer:
    state = read_state()
    service = values["service"]
    if service not in state.database_urls:
        raise RefusedError(f"{service} has no database: there are {', '.join(state.database_urls)}")
    url = urlsplit(state.database_urls[service])
    # The password goes by the environment: a command line is visible to every user.
    environment = {**os.environ, "PGPASSWORD": url.password or ""}
    bare = url._replace(netloc=f"{url.username}@{url.hostname}:{url.port}").geturl()
    words = [str(wheel_binaries() / "psql"), "--no-psqlrc", bare]
    if "command" in values:
        words += ["--command", values["command"]]
    status = subprocess.run(words, env=environment, check=False).returncode
    if status:
        raise RefusedError(f"psql ended with status {status}")
    return ""


def make_backup(values: Mapping[str, Any]) -> Answer:
    state = read_state()
    port = urlsplit(next(iter(state.database_urls.values()))).port
    target = Path(values["directory"]).absolute()
    try:
        back_up(Path(state.secrets_file).parent, int(port or 0), target)
    except BackupError as error:
        raise RefusedError(str(error)) from error
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    return {"backup": str(target), "MB": round(size / 10**6)}


def restore_backup(values: Mapping[str, Any]) -> Answer:
    if is_held(LOCAL / "lock.runner"):
        raise RefusedError("a platform runs here: stop it first, then restore, then start it")
    try:
        kept = restore(LOCAL / "data", Path(values["directory"]).absolute())
    except BackupError as error:
        raise RefusedError(str(error)) from error
    return {
        "restored": values["directory"],
        "databases of before": str(kept) if kept else "there were none",
        "next": "scripts/up, then reconcile and figures rebuild: Kafka may hold later events",
    }


def list_secrets(values: Mapping[str, Any]) -> Answer:
    store = open_secrets()
    return [
        {
            "secret": name,
            "version": store.version(name),
            "state": "made" if store.read(name) else "empty",
        }
        for name in sorted(SECRETS)
    ]


def rotate_secrets(values: Mapping[str, Any]) -> Answer:
    version = ask_rotation(open_secrets())
    return {"version": version, "next": "the next scripts/up makes the new values"}


def open_secrets() -> LocalSecrets:
    return LocalSecrets(Path(read_state().secrets_file))


HERE: Mapping[str, Callable[[Mapping[str, Any]], Answer]] = {
    "status": show_status,
    "sign-in": show_sign_in,
    "logs": show_logs,
    "psql": open_psql,
    "backup": make_backup,
    "restore": restore_backup,
    "secrets list": list_secrets,
    "secrets rotate": rotate_secrets,
}
