"""The file by which other commands find the platform that runs on this machine:
`.local/data/state.json`.

It holds every service's environment, secrets among them: only its owner may read it. It is removed
at the stop.
"""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from infrastructure.local.home import LOCAL, is_held
from infrastructure.local.postgres import write_private

# Set by `scripts/up --run` for its command: the state of the throwaway platform.
STATE_VARIABLE = "PLATFORM_STATE"


class NotRunningError(Exception):
    """No platform runs on this machine; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A running platform: each service's environment and address, and the URLs of the runtime roles
    by database.

    `secrets_file`: where the first accounts' password and secret are kept.
    """

    url: str
    logs: str
    secrets_file: str
    user: str
    client_id: str
    environments: Mapping[str, Mapping[str, str]]
    targets: Mapping[str, str]
    database_urls: Mapping[str, str]
    kafka: str


@contextlib.contextmanager
def published(state: State, path: Path) -> Iterator[None]:
    """Writes the file for as long as the block runs."""
    write_private(path, json.dumps(asdict(state), indent=1, sort_keys=True) + "\n")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def read_state(environ: Mapping[str, str] = os.environ) -> State:
    """Returns the running platform's state. Raises NotRunningError."""
    named = environ.get(STATE_VARIABLE)
    path = Path(named) if named else LOCAL / "data" / "state.json"
    # A runner that was killed leaves its file behind; the kernel frees its lock.
    if not named and not is_held(LOCAL / "lock.runner"):
        raise NotRunningError("no platform runs here: start one with scripts/up")
    try:
        values = json.loads(path.read_text())
    except (OSError, ValueError):
        raise NotRunningError(
            "the platform here is not ready, or belongs to another user: see scripts/up"
        ) from None
    return State(**values)
