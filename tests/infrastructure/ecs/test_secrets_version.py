"""A version of secrets in the configuration: the release runs again, and the services that hold one
roll after it.
"""

import pytest

from apps.catalogue import SERVICES
from infrastructure.config.files import read_config
from infrastructure.plan.paper import Paper
from infrastructure.plan.record import record
from infrastructure.recording import Recording
from tests.infrastructure.tasks import TASK, environment_of

pytestmark = pytest.mark.infrastructure
KEY = "patient-management:secrets-version"


def dev(**config: str) -> Recording:
    return record("dev", read_config("dev") | config, Paper())


def test_a_higher_version_runs_the_release_and_rolls_who_holds_a_secret() -> None:
    rotated = dev(**{KEY: "2"})
    told = environment_of(rotated.one(TASK, "app-release"))
    assert told["SECRETS_VERSION"] == "2"
    for name, entry in SERVICES.items():
        variables = environment_of(rotated.one(TASK, f"dev-{name}"))
        assert ("SECRETS_VERSION" in variables) == bool(entry.secrets)


def test_the_first_version_says_nothing() -> None:
    first = dev()
    for task in first.of(TASK):
        assert "SECRETS_VERSION" not in environment_of(task)
