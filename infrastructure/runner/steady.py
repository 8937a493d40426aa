"""Waits until ECS services run what a deployment declared.

All services roll at once: `pulumi up` waits for them together instead of one after another.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

POLL_SECONDS = 5
# What ECS describes in one call.
MOST_SERVICES = 10


class DeploymentFailedError(Exception):
    """A service does not run what was declared, and waiting will not change that."""


def find_unsteady(ecs: Any, cluster: str, definitions: Mapping[str, str]) -> list[str]:
    """Returns what is still missing, one sentence a service; empty if every service is steady.

    `definitions`: the task definition's ARN by the ECS service's name, MOST_SERVICES at most.
    Raises DeploymentFailedError.
    """
    found = ecs.describe_services(cluster=cluster, services=sorted(definitions))
    if found["failures"]:
        missing = ", ".join(each["arn"] for each in found["failures"])
        raise DeploymentFailedError(f"not there: {missing}")
    return [
        message
        for service in found["services"]
        for message in look(service, definitions[service["serviceName"]])
    ]


def look(service: Mapping[str, Any], wanted: str) -> list[str]:
    """Returns what is missing until the service is steady, or raises DeploymentFailedError."""
    name = service["serviceName"]
    primary = next((each for each in service["deployments"] if each["status"] == "PRIMARY"), None)
    if primary is None:
        return [f"{name} has no deployment"]
    if primary["taskDefinition"] != wanted:
        runs = primary["taskDefinition"]
        raise DeploymentFailedError(
            f"{name} runs {runs}, not {wanted}: the deployment was taken back (pulumi up --refresh)"
        )
    if primary["rolloutState"] == "FAILED":
        reason = primary.get("rolloutStateReason", "its deployment failed")
        raise DeploymentFailedError(f"{name}: {reason}")
    running, desired = service["runningCount"], service["desiredCount"]
    if primary["rolloutState"] != "COMPLETED" or running < desired:
        return [f"{name}: {primary['rolloutState']}, {running} of {desired} run"]
    return []


def wait_until_steady(
    ecs: Any,
    cluster: str,
    definitions: Mapping[str, str],
    limit: float,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Waits for all services together. Raises DeploymentFailedError, also at the
    clock's `limit`.
    """
    while missing := find_unsteady(ecs, cluster, definitions):
        if clock() + POLL_SECONDS > limit:
            raise DeploymentFailedError(
                f"not steady in time, bring the stack up again to wait on: {'; '.join(missing)}"
            )
        sleep(POLL_SECONDS)
