"""A preview from outside, as its reviewer has it: where it listens, who signs in, and what is run
against it.
"""

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from apps.release.secret_places import read_filled_place
from infrastructure.preview.errors import PreviewError
from infrastructure.preview.leftovers import translated_aws_errors
from infrastructure.smoke import BrokenError, check_services, read_running, wait_for

ROOT = Path(__file__).resolve().parents[2]
# Made up: never anybody's data, and never the base's.
PEOPLE = "apps/client/people"
LIMIT_SECONDS = 20 * 60
# All services start at once, while the gateway does.
STEADY_SECONDS = 10 * 60.0


@dataclass(frozen=True, slots=True)
class PreviewAccess:
    url: str
    user: str
    client_id: str
    password: str = field(repr=False)
    client_secret: str = field(repr=False)

    def environment(self) -> dict[str, str]:
        """Returns what the loader and the system tests go by."""
        return {
            "PLATFORM_URL": self.url,
            "PLATFORM_USER": self.user,
            "PLATFORM_PASSWORD": self.password,
            "PLATFORM_CLIENT_ID": self.client_id,
            "PLATFORM_CLIENT_SECRET": self.client_secret,
        }


def open_access(outputs: Mapping[str, Any], secrets: Any) -> PreviewAccess:
    """Returns who may enter. `outputs`: the stack's; `secrets`: a client of Secrets
    Manager. Raises Fault.
    """
    sign_in = outputs.get("sign_in")
    if not isinstance(sign_in, dict) or "url" not in outputs:
        raise PreviewError(
            "this preview is not up: its stack does not say yet where it listens and who signs in"
        )

    def read(key: str) -> str:
        with translated_aws_errors(f"read {sign_in[key]}"):
            return read_filled_place(secrets, sign_in[key])

    return PreviewAccess(
        url=str(outputs["url"]),
        user=sign_in["user"],
        client_id=sign_in["client_id"],
        password=read("password_arn"),
        client_secret=read("client_secret_arn"),
    )


def wait_until_steady(ecs: Any, outputs: Mapping[str, Any]) -> None:
    """Waits until every service runs what was brought up: `up` itself waited for the gateway alone.

    Raises PreviewError.
    """
    try:
        running = read_running({**outputs, "platform": {"cluster_arn": outputs["cluster"]}})
        wait_for(lambda: check_services(ecs, running), STEADY_SECONDS)
    except KeyError as error:
        raise PreviewError(f"the preview's outputs lack {error}") from error
    except BrokenError as error:
        raise PreviewError(
            f"{error}. Spot may have no capacity: scripts/preview up --on-demand takes other"
        ) from error


def seed(access: PreviewAccess) -> None:
    """Loads the synthetic people. Safe to repeat: who is there already is left alone."""
    people = sorted(str(path.relative_to(ROOT)) for path in (ROOT / PEOPLE).glob("*.json"))
    run(["scripts/load", *people], access, "the synthetic people were not all loaded")


def run_system_tests(access: PreviewAccess) -> None:
    """Runs those that go by what a visitor knows; the others are skipped.

    Raises Fault, also where every one was.
    """
    run(["scripts/test", "system", "tests/system"], access, "the system tests failed")


def run(command: Sequence[str], access: PreviewAccess, failure: str) -> None:
    # Of another platform, such as one on this machine, nothing may be taken for this one's.
    others = {name: value for name, value in os.environ.items() if not name.startswith("PLATFORM_")}
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**others, **access.environment()},
            timeout=LIMIT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise PreviewError(
            f"{failure}: {command[0]} did not end within {LIMIT_SECONDS} s"
        ) from error
    if done.returncode:
        raise PreviewError(f"{failure}: {' '.join(command[:2])} ended with {done.returncode}")
