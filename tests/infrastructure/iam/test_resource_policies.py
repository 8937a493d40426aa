"""What keys, buckets and topics say of who may come: AWS's services for this account, and nobody
from elsewhere.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from infrastructure.recording import Recording
from tests.infrastructure.preview.policies import listed

pytestmark = pytest.mark.infrastructure

ACCOUNT = "123456789012"
OWNER = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
KINDS = ("aws:kms/key:Key", "aws:s3/bucketPolicy:BucketPolicy", "aws:sns/topicPolicy:TopicPolicy")


@pytest.fixture(scope="module")
def environments(open_dev: Recording, open_prod: Recording) -> list[Recording]:
    return [open_dev, open_prod]


def grants(environments: list[Recording]) -> Iterator[tuple[str, dict[str, Any]]]:
    for stack in environments:
        for kind in KINDS:
            for each in stack.of(kind):
                # Without a policy of its own a key has AWS's: IAM decides.
                document = json.loads(each.inputs.get("policy") or '{"Statement": []}')
                for statement in document["Statement"]:
                    if statement["Effect"] == "Allow":
                        yield f"{stack.stack.name} {each.name}", statement


def test_each_grant_is_to_the_account_or_to_a_service_for_it(environments: list[Recording]) -> None:
    seen = list(grants(environments))
    assert len(seen) >= 10
    for name, statement in seen:
        principal = statement["Principal"]
        if principal == OWNER:
            continue
        assert set(principal) == {"Service"}, name
        assert all(each.endswith(".amazonaws.com") for each in listed(principal["Service"])), name
        limits = json.dumps([statement.get("Condition", {}), statement["Resource"]])
        assert ACCOUNT in limits, (name, statement)


def test_the_account_as_such_is_trusted_by_keys_alone(environments: list[Recording]) -> None:
    """There IAM decides further, and no role of the program's opens a key but through a service:
    test_boundary.
    """
    assert {
        name for name, statement in grants(environments) if statement["Principal"] == OWNER
    } == {
        "dev data",
        "prod data",
    }


def test_nothing_else_has_a_policy_of_its_own(environments: list[Recording]) -> None:
    """A registry, a secret or a queue that gets one is looked at here first."""
    known = {*KINDS, "aws:iam/policy:Policy", "aws:iam/rolePolicy:RolePolicy"}
    texts = {
        each.type
        for stack in environments
        for each in stack.resources
        if '"Principal"' in str(each.inputs.get("policy"))
    }
    assert texts <= known
    assert (
        not {
            each.type
            for stack in environments
            for each in stack.resources
            if "Policy:" in each.type
        }
        - known
        - {
            "aws:appautoscaling/policy:Policy",
            "aws:ecr/lifecyclePolicy:LifecyclePolicy",
        }
    )
