"""Images go on by digest, also into another account: there they can be pulled, and nothing else."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from apps.catalogue import SERVICES
from infrastructure.config.files import read_config
from infrastructure.config.naming import PROJECT
from infrastructure.ecs.image_source import IMAGES
from infrastructure.iam.service_roles import arn_of_image
from infrastructure.plan import paper
from infrastructure.plan.paper import Paper
from infrastructure.plan.record import record
from infrastructure.recording import Recording

pytestmark = pytest.mark.infrastructure
PRODUCTION = "210987654321"
POLICY = "aws:ecr/repositoryPolicy:RepositoryPolicy"
PULL = {"ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"}


@pytest.fixture(scope="module")
def read_elsewhere() -> Recording:
    """Dev, whose images two other accounts may run."""
    readers = {f"{PROJECT}:image-readers": json.dumps([PRODUCTION, "111111111111"])}
    return record("dev", read_config("dev") | readers, Paper())


def statements(stack: Recording, role: str) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = json.loads(
        stack.one("aws:iam/rolePolicy:RolePolicy", role).inputs["policy"]
    )["Statement"]
    return found


def test_nobody_else_reads_the_images_unless_it_is_said(open_dev: Recording) -> None:
    assert open_dev.of(POLICY) == []


def test_accounts_that_are_named_pull_what_is_promoted_and_no_previews_images(
    read_elsewhere: Recording,
) -> None:
    policies = read_elsewhere.of(POLICY)
    assert {each.inputs["repository"] for each in policies} == {
        f"patient-management/{image}" for image in IMAGES
    }
    for each in policies:
        (statement,) = json.loads(each.inputs["policy"])["Statement"]
        assert statement["Effect"] == "Allow"
        assert set(statement["Action"]) == PULL
        assert statement["Principal"] == {
            "AWS": [f"arn:aws:iam::{it}:root" for it in ("111111111111", PRODUCTION)]
        }


def test_production_in_its_own_account_pulls_from_the_account_that_built(
    read_elsewhere: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    built_in = paper.ACCOUNT
    monkeypatch.setattr(paper, "ACCOUNT", PRODUCTION)
    prod = record("prod", read_config("prod"), Paper(), {"dev": read_elsewhere.outputs})
    assert prod.outputs["platform"]["account_id"] == PRODUCTION
    assert prod.outputs["images"] == read_elsewhere.outputs["images"]
    for role, image in [(f"prod-{service}-execution-start", service) for service in SERVICES] + [
        ("app-release-execution-start", "release")
    ]:
        (pull,) = [each for each in statements(prod, role) if each["Sid"] == "Image"]
        assert pull["Resource"] == [
            f"arn:aws:ecr:us-east-1:{built_in}:repository/patient-management/{image}"
        ]
        assert set(pull["Action"]) == PULL


def test_an_image_that_is_not_in_ecr_has_no_arn() -> None:
    with pytest.raises(ValueError, match="is no image in ECR"):
        arn_of_image("registry.example.org/it@sha256:0")
