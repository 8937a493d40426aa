"""Copies a base's outputs to where previews may read them: a pull request's code never reads the
base's state.

A `StackReference` looks in the backend of its own stack. So the previews' backend has a stack of
the base's name that owns nothing and only carries the two outputs that a preview needs; just the
base's own deployment may write it.
"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from infrastructure.config.naming import PROJECT
from infrastructure.preview.errors import StackMissingError
from infrastructure.preview.stacks import Stacks

SHOWN = ("platform", "images")
# A copy is its root alone: what holds more owns resources, and would forget them.
COPY_RESOURCES = 1


class Writes(Stacks, Protocol):
    def held(self, name: str) -> int:
        """Tells how many resources its state knows, its root among them."""
        ...

    def write_outputs(self, name: str, deployment: Mapping[str, Any]) -> None: ...


@contextmanager
def project_alone(root: Path) -> Iterator[Path]:
    """Returns a folder with the project's name and no stack's settings: a stack opened in it leaves
    `Pulumi.<base>.yaml` alone.

    There the previews' key would take the place of the base's own, and the base's secrets come
    under it.
    """
    with TemporaryDirectory() as folder:
        yield Path(shutil.copy(root / "Pulumi.yaml", folder)).parent


def publish(base: str, source: Stacks, target: Writes) -> bool:
    """Tells whether there was anything to do: not where the base itself lies in `target`, which is
    never written over.

    Raises Missing where the base was never brought up.
    """
    try:
        outputs = source.outputs(base)
    except StackMissingError as error:
        raise StackMissingError(
            f"{base} is not there: bring it up first (pulumi up --stack {base})"
        ) from error
    if missing := [name for name in SHOWN if name not in outputs]:
        raise StackMissingError(f"{base} has no output {', '.join(missing)}: bring it up first")
    target.open(base)
    if target.held(base) > COPY_RESOURCES:
        return False
    target.write_outputs(base, deployment(base, {name: outputs[name] for name in SHOWN}))
    return True


def deployment(base: str, outputs: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a deployment in Pulumi's format 3: one root, no resource, nothing secret."""
    kind = "pulumi:pulumi:Stack"
    now = datetime.now(UTC).isoformat()
    return {
        "manifest": {"time": now, "magic": "", "version": ""},
        "resources": [
            {
                "urn": f"urn:pulumi:{base}::{PROJECT}::{kind}::{PROJECT}-{base}",
                "custom": False,
                "type": kind,
                "outputs": dict(outputs),
            }
        ],
    }
