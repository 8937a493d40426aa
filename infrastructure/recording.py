"""The resources that a run of the program declared:
what the plan, the policies and the tests read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from infrastructure.config.model import Stack

# The first part of our components' type tokens.
COMPONENT = "patient:"


@dataclass(slots=True, kw_only=True)
class Resource:
    """`inputs` and `outputs` with Pulumi's own names (camel case).

    `dependencies` are URNs, explicit ones included.
    """

    type: str
    name: str
    urn: str
    parent: str
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]
    id: str
    dependencies: Sequence[str] = ()
    protect: bool = False
    retain: bool = False
    ignored: Sequence[str] = ()
    imported: str = ""

    @property
    def is_component(self) -> bool:
        return self.type.startswith(COMPONENT)


@dataclass(slots=True)
class Recording:
    stack: Stack
    resources: list[Resource] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)

    def of(self, kind: str) -> list[Resource]:
        return [resource for resource in self.resources if resource.type == kind]

    def one(self, kind: str, name: str) -> Resource:
        found = [resource for resource in self.of(kind) if resource.name == name]
        if len(found) != 1:
            raise KeyError(
                f"{len(found)} of {kind} called {name}: {[each.name for each in self.of(kind)]}"
            )
        return found[0]
