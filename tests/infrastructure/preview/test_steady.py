"""A preview's services start at once; the command waits until each runs what was brought up."""

from typing import Any

import pytest

from infrastructure.preview import preview_tests
from infrastructure.preview.errors import PreviewError

pytestmark = pytest.mark.infrastructure
STEADY = {
    "url": "https://pr-7.dev.example.org",
    "cluster": "arn:aws:ecs:us-east-1:123456789012:cluster/it",
    "services": {"patient": {"name": "pr-7-patient-1", "definition": "pr-7-patient:2"}},
}


class Ecs:
    """One service, which runs a definition in a state."""

    def __init__(self, definition: str, state: str) -> None:
        self.deployment = {
            "status": "PRIMARY",
            "taskDefinition": definition,
            "rolloutState": state,
        }

    def describe_services(self, **wanted: Any) -> dict[str, Any]:
        assert wanted == {"cluster": STEADY["cluster"], "services": ["pr-7-patient-1"]}
        service = {
            "serviceName": "pr-7-patient-1",
            "deployments": [self.deployment],
            "runningCount": 1,
            "desiredCount": 1,
        }
        return {"failures": [], "services": [service]}


def test_a_preview_is_up_once_every_service_runs_what_was_brought_up() -> None:
    preview_tests.wait_until_steady(Ecs("pr-7-patient:2", "COMPLETED"), STEADY)
    with pytest.raises(PreviewError, match="--on-demand"):
        preview_tests.wait_until_steady(Ecs("pr-7-patient:1", "COMPLETED"), STEADY)
    with pytest.raises(PreviewError, match="its deployment failed"):
        preview_tests.wait_until_steady(Ecs("pr-7-patient:2", "FAILED"), STEADY)


def test_a_preview_that_starts_is_awaited(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    ecs = Ecs("pr-7-patient:2", "IN_PROGRESS")

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        ecs.deployment["rolloutState"] = "COMPLETED"

    monkeypatch.setattr("infrastructure.smoke.time.sleep", sleep)
    preview_tests.wait_until_steady(ecs, STEADY)
    assert len(waited) == 1
    with pytest.raises(PreviewError, match="services"):
        preview_tests.wait_until_steady(ecs, {"url": "", "cluster": ""})
