"""What the base's runner does for a preview, and for whoever asks in its name: a number, and
nothing else.
"""

import pytest

from infrastructure.runner.handler import plan
from infrastructure.runner.tasks import RefusedError

pytestmark = pytest.mark.infrastructure


@pytest.mark.parametrize(
    "event",
    [
        {"action": "drop", "pr": "patient"},
        {"action": "drop", "pr": "1; DROP DATABASE patient"},
        {"action": "drop", "database": "patient"},
        {"action": "drop", "pr": 1, "prefix": ""},
        {"action": "drop", "pr": 0},
        {"action": "drop", "pr": -1},
        {"action": "drop", "pr": 1.0},
        {"action": "drop", "pr": None},
        {"action": "drop", "pr": "1"},
        {"action": "drop", "pr": True},
        {"action": "drop", "pr": 49_000},
        {"action": "drop"},
        {"action": "databases", "pr": 1},
        {"action": "list", "pr": 1},
        {"action": "up", "pr": 1, "definition": "dev-release"},
        {},
    ],
)
def test_runner_of_previews_refuses_what_is_no_number(event: dict[str, object]) -> None:
    with pytest.raises(RefusedError):
        plan({"MODE": "preview", "DEFINITION": "dev-release"}, event)


def test_runner_of_previews_names_only_the_previews_databases() -> None:
    steps = plan({"MODE": "preview", "DEFINITION": "dev-release"}, {"action": "drop", "pr": 1})
    assert steps == [("dev-release", ["drop", "--prefix", "pr_1_"])]
