"""What stands in a recorded task definition."""

import json
from typing import Any

from infrastructure.recording import Resource

TASK = "aws:ecs/taskDefinition:TaskDefinition"


def container_of(definition: Resource) -> dict[str, Any]:
    (container,) = json.loads(definition.inputs["containerDefinitions"])
    return dict(container)


def environment_of(definition: Resource) -> dict[str, str]:
    return {
        variable["name"]: variable["value"] for variable in container_of(definition)["environment"]
    }
