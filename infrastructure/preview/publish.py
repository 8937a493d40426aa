"""A base's outputs, laid where previews may read them: what runs a pull request's code never reads the base's state.

A `StackReference` looks in the backend of its own stack. So the previews' backend has a stack of the base's name that
owns nothing and only carries the two outputs that a preview needs; just the base's own deployment may write it.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

from infrastructure.config import PROJECT
from infrastructure.preview.faults import Missing
from infrastructure.preview.stacks import Stacks

SHOWN = ("platform", "images")


class Writes(Stacks, Protocol):
    def write_outputs(self, name: str, deployment: Mapping[str, Any]) -> None: ...


def publish(base: str, source: Stacks, target: Writes) -> None:
    """Raises Missing where the base was never brought up."""
    outputs = source.outputs(base)
    if missing := [name for name in SHOWN if name not in outputs]:
        raise Missing(f"{base} has no output {', '.join(missing)}: bring it up first")
    target.open(base)
    target.write_outputs(base, deployment(base, {name: outputs[name] for name in SHOWN}))


def deployment(base: str, outputs: Mapping[str, Any]) -> dict[str, Any]:
    """A deployment in Pulumi's format 3: one root, no resource, nothing secret."""
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
