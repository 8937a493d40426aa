"""The runner waits until all of an environment's services run what `pulumi up` declared."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from apps.catalogue import SERVICES
from infrastructure.recording import Recording
from infrastructure.runner import handler, steady
from infrastructure.runner.steady import DeploymentFailedError, find_unsteady, wait_until_steady
from infrastructure.runner.tasks import RefusedError
from infrastructure.runner.verbs import Clients

pytestmark = pytest.mark.infrastructure
INVOCATION = "aws:lambda/invocation:Invocation"
SERVICE = "aws:ecs/service:Service"
ENVIRONMENT = {"MODE": "environment", "CLUSTER": "c", "STACK": "dev"}
PREVIEW = {**ENVIRONMENT, "MODE": "preview", "DEFINITION": "dev-release"}
WANTED = {"dev-auth-1": "dev-auth:2", "dev-patient-1": "dev-patient:2"}


class Ecs:
    """Describes two services; each look is the next of `rollouts` of the service dev-patient-1."""

    def __init__(self, *rollouts: dict[str, Any]) -> None:
        self.rollouts: Iterator[dict[str, Any]] = iter(rollouts)
        self.looks = 0

    def describe_services(self, **wanted: Any) -> dict[str, Any]:
        assert wanted == {"cluster": "c", "services": ["dev-auth-1", "dev-patient-1"]}
        self.looks += 1
        told: dict[str, Any] = {"taskDefinition": "dev-patient:2", **next(self.rollouts)}
        return {
            "failures": [],
            "services": [
                service("dev-auth-1", taskDefinition="dev-auth:2"),
                service("dev-patient-1", **told),
            ],
        }


def service(
    name: str,
    *,
    taskDefinition: str,
    runningCount: int = 1,
    rolloutState: str = "COMPLETED",
    status: str = "PRIMARY",
) -> dict[str, Any]:
    deployment = {
        "status": status,
        "taskDefinition": taskDefinition,
        "rolloutState": rolloutState,
    }
    return {
        "serviceName": name,
        "deployments": [deployment],
        "runningCount": runningCount,
        "desiredCount": 1,
    }


def ask(ecs: Any, event: dict[str, Any], environment: dict[str, str] = ENVIRONMENT) -> Any:
    return handler.run(Clients(ecs=ecs, logs=None, secrets=None), environment, event)


def test_all_services_are_awaited_together() -> None:
    slept: list[float] = []
    ecs = Ecs({"rolloutState": "IN_PROGRESS"}, {"runningCount": 0}, {"status": "ACTIVE"}, {})
    assert find_unsteady(Ecs({}), "c", WANTED) == []
    assert find_unsteady(Ecs({"runningCount": 0}), "c", WANTED) == [
        "dev-patient-1: COMPLETED, 0 of 1 run"
    ]

    wait_until_steady(ecs, "c", WANTED, limit=100, clock=lambda: 0.0, sleep=slept.append)
    assert ecs.looks == 4
    assert slept == [steady.POLL_SECONDS] * 3


@pytest.mark.parametrize(
    ("rollout", "message"),
    [
        ({"taskDefinition": "dev-patient:1"}, "runs dev-patient:1, not dev-patient:2"),
        ({"rolloutState": "FAILED"}, "dev-patient-1: its deployment failed"),
    ],
)
def test_deployment_that_ecs_took_back_fails_the_update_at_once(
    rollout: dict[str, Any], message: str
) -> None:
    ecs = Ecs(rollout)
    with pytest.raises(DeploymentFailedError, match=message):
        ask(ecs, {"action": "steady", "services": WANTED})
    assert ecs.looks == 1


def test_deployment_without_an_end_fails_the_update_in_time() -> None:
    waiting = [{"rolloutState": "IN_PROGRESS"}] * 3
    times = iter([0.0, 4.0, 6.0])
    with pytest.raises(DeploymentFailedError, match=r"not steady in time.*dev-patient-1: IN_PRO"):
        wait_until_steady(
            Ecs(*waiting), "c", WANTED, limit=10, clock=lambda: next(times), sleep=lambda _: None
        )


@pytest.mark.parametrize("services", [WANTED, {"dev-auth-1": "dev-auth:2"}])
def test_services_that_go_are_not_awaited(services: dict[str, str]) -> None:
    event = {"action": "steady", "services": services, "tf": {"action": "delete"}}
    assert ask(None, event) == {"steady": sorted(services)}


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"services": {}},
        {"services": ["dev-auth-1"]},
        {"services": {"prod-auth-1": "it"}},
        {"services": {"dev-auth-1": 1}},
        {"services": {f"dev-{number}": "it" for number in range(11)}},
        {"services": WANTED, "cluster": "other"},
    ],
)
def test_runner_waits_for_services_of_its_environment_and_nothing_else(
    event: dict[str, Any],
) -> None:
    with pytest.raises(RefusedError):
        ask(None, {"action": "steady", **event})


def test_previews_runner_waits_for_no_service() -> None:
    with pytest.raises(RefusedError):
        ask(None, {"action": "steady", "services": WANTED}, PREVIEW)


def test_an_update_ends_once_every_service_runs_what_it_declared(
    stacks: dict[str, Recording],
) -> None:
    for name in ("dev", "staging", "prod"):
        stack = stacks[name]
        services = {each.name: each for each in stack.of(SERVICE)}
        # One wait of all together, in place of one after another.
        assert not any(each.inputs["waitForSteadyState"] for each in services.values())
        wait = stack.one(INVOCATION, "app-steady")
        assert json.loads(wait.inputs["input"]) == {
            "action": "steady",
            "services": {
                each.outputs["name"]: each.inputs["taskDefinition"] for each in services.values()
            },
        }
        assert len(services) == len(SERVICES)
        assert wait.inputs["functionName"] == f"patient-management-{name}-runner"
        assert "triggers" not in wait.inputs
        for each in services.values():
            assert each.urn in wait.dependencies
    assert len(stacks["pr-1"].of(INVOCATION)) == 1
