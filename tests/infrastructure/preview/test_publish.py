"""A base's outputs come to the previews' backend as a copy that owns nothing, and over nothing that
owns something.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from infrastructure.preview.publish import Writes, deployment, project_alone, publish

pytestmark = pytest.mark.infrastructure

ROOT = Path(__file__).parents[3]


class Backend:
    """A stack of the base's name: `resources` of its state, its root among them."""

    def __init__(self, resources: int) -> None:
        self.resources = resources
        self.written: list[Mapping[str, Any]] = []

    def outputs(self, name: str) -> Mapping[str, Any]:
        return {"platform": {"domain": "dev.example.org"}, "images": {}, "github_roles": {}}

    def open(self, name: str) -> None:
        pass

    def held(self, name: str) -> int:
        return self.resources

    def write_outputs(self, name: str, deployment: Mapping[str, Any]) -> None:
        self.written.append(deployment)


@pytest.mark.parametrize("resources", [0, 1])
def test_copy_is_made_and_written_over_by_the_next(resources: int) -> None:
    target = Backend(resources)
    assert publish("dev", cast(Writes, target), cast(Writes, target))
    (written,) = target.written
    assert len(written["resources"]) == 1
    assert set(written["resources"][0]["outputs"]) == {"platform", "images"}


def test_base_itself_is_never_written_over_by_its_copy() -> None:
    target = Backend(len(deployment("dev", {})["resources"]) + 1)
    assert not publish("dev", cast(Writes, target), cast(Writes, target))
    assert target.written == []


def test_copy_is_made_where_no_stacks_settings_can_be_changed() -> None:
    with project_alone(ROOT) as folder:
        assert [path.name for path in folder.iterdir()] == ["Pulumi.yaml"]
