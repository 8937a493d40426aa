"""`pulumi-resource-awsx`: `awsx.ec2.Vpc` as the plan draws it, with children that the real engine
knows.
"""

import os
import signal
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import pulumi
from pulumi.provider import ConstructResult, Provider
from pulumi.provider.server import main

from infrastructure.plan.vpc import make_vpc


class Vpc(pulumi.ComponentResource):
    def __init__(
        self, name: str, inputs: Mapping[str, Any], opts: pulumi.ResourceOptions | None
    ) -> None:
        super().__init__("awsx:ec2:Vpc", name, None, opts)
        _, self.outputs = make_vpc(name, dict(inputs), self.child)
        self.register_outputs(self.outputs)

    def child(self, kind: str, name: str, inputs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        made = pulumi.CustomResource(kind, name, inputs, pulumi.ResourceOptions(parent=self))
        return made.id, {}


class Awsx(Provider):
    def __init__(self) -> None:
        super().__init__(version("pulumi-awsx"))

    def construct(
        self,
        name: str,
        resource_type: str,
        inputs: Mapping[str, Any],
        options: pulumi.ResourceOptions | None = None,
    ) -> ConstructResult:
        made = Vpc(name, inputs, options)
        return ConstructResult(made.urn, made.outputs)


if __name__ == "__main__":
    # So the engine ends it; an event loop would have much to say to that.
    signal.signal(signal.SIGINT, lambda *_: os._exit(0))
    main(Awsx(), [])
