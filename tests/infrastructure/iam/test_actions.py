"""Every action that a policy allows is written in full, or named with what it stands for."""

import json
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

import pytest

from infrastructure.iam import actions
from infrastructure.recording import Recording
from tests.infrastructure.needed_calls import NEEDED

pytestmark = pytest.mark.infrastructure
POLICIES = ("policy", "assumeRolePolicy")


def allowed(stack: Recording) -> Iterator[tuple[str, str]]:
    """Yields (resource, action) of each statement that allows something."""
    for resource in stack.resources:
        for key in POLICIES:
            document = resource.inputs.get(key)
            if not isinstance(document, str) or '"Statement"' not in document:
                continue
            statements: list[Any] = json.loads(document)["Statement"]
            for statement in statements:
                if statement["Effect"] != "Allow":
                    continue
                given = statement["Action"]
                for action in [given] if isinstance(given, str) else given:
                    yield resource.name, action


def test_an_abbreviated_action_has_a_name_and_a_reason(
    open_dev: Recording, open_prod: Recording, preview: Recording
) -> None:
    named = {*actions.READ_ANYTHING, actions.READ_BUCKET, actions.DATA_KEYS}
    found = {
        (resource, action)
        for stack in (open_dev, open_prod, preview)
        for resource, action in allowed(stack)
        if "*" in action
    }
    bare = {
        (resource, action)
        for resource, action in found
        if action not in named
        and not (action in actions.PREVIEW_ACTIONS and resource == "github-preview-all")
        # The account's own right to its key, without which nobody could change its policy.
        and not (action == actions.WHOLE_KEY and resource in ("data", "preview-state"))
    }
    assert len(found) > 20
    assert bare == set()


def test_a_previews_pattern_is_for_the_actions_that_it_names_and_covers_them() -> None:
    for pattern, names in actions.PREVIEW_ACTIONS.items():
        service, _, _ = pattern.partition(":")
        for name in names:
            assert fnmatchcase(f"{service}:{name}", pattern), (pattern, name)


def test_a_previews_pattern_leaves_no_needed_action_unnamed() -> None:
    # Reading has patterns of its own, and MSK's and the log's deliveries name no resource of a
    # preview.
    reading = ("Describe", "Get", "List", "BatchGet")
    needed = {
        f"{row.service.rstrip(':').partition('>')[0]}:{action.rstrip('!')}"
        for row in NEEDED
        for action in row.actions.split()
    }
    for pattern, names in actions.PREVIEW_ACTIONS.items():
        service, _, _ = pattern.partition(":")
        unnamed = {
            action
            for action in needed
            if fnmatchcase(action, pattern)
            and action not in {f"{service}:{name}" for name in names}
            and not action.partition(":")[2].startswith(reading)
        }
        assert unnamed <= NOT_OF_PREVIEWS, pattern


# Made by an environment alone: on resources that no preview has a right to.
NOT_OF_PREVIEWS = {
    "ecr:PutImageScanningConfiguration",
    "ecr:PutImageTagMutability",
    "elasticloadbalancing:DeleteListener",
    "elasticloadbalancing:DeleteLoadBalancer",
    "elasticloadbalancing:ModifyListener",
    "elasticloadbalancing:ModifyListenerAttributes",
    "elasticloadbalancing:ModifyLoadBalancerAttributes",
    "logs:CreateLogDelivery",
    "logs:DeleteLogDelivery",
}
