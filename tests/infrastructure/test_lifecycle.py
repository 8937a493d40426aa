"""How a stack ends: outside production wholly, by one command; in production only what nobody can
miss.
"""

import json

import pytest

from infrastructure.config.files import read_config
from infrastructure.config.naming import PROJECT
from infrastructure.ecs.image_source import IMAGES
from infrastructure.plan.paper import Paper
from infrastructure.plan.record import record
from infrastructure.recording import Recording

pytestmark = pytest.mark.infrastructure
BUCKET = "aws:s3/bucket:Bucket"
DATABASE = "aws:rds/instance:Instance"
KEY = "aws:kms/key:Key"
REPOSITORY = "aws:ecr/repository:Repository"
SECRET = "aws:secretsmanager/secret:Secret"
# What cannot be made again as it was.
IRREPLACEABLE = {DATABASE, KEY, SECRET, "aws:msk/cluster:Cluster", "aws:msk/topic:Topic"}
SHORTEST_DAYS, LONGEST_DAYS = 7, 30


@pytest.mark.parametrize("name", ["dev", "staging", "pr-1"])
def test_nothing_outside_production_holds_up_the_end_of_its_stack(
    stacks: dict[str, Recording], name: str
) -> None:
    stack = stacks[name]
    assert [each.urn for each in stack.resources if each.protect] == []
    for each in stack.resources:
        assert not each.inputs.get("deletionProtection"), each.urn
        assert not each.inputs.get("enableDeletionProtection"), each.urn
    assert all(each.inputs["forceDestroy"] for each in stack.of(BUCKET))
    assert all(each.inputs.get("forceDelete") or each.retain for each in stack.of(REPOSITORY))
    for each in stack.of(DATABASE):
        assert each.inputs["skipFinalSnapshot"]
        assert each.inputs["deleteAutomatedBackups"]


def test_what_is_left_for_a_while_outside_production_is_left_for_a_week(
    stacks: dict[str, Recording],
) -> None:
    for name in ("dev", "staging"):
        assert {each.inputs["deletionWindowInDays"] for each in stacks[name].of(KEY)} == {
            SHORTEST_DAYS
        }
        assert {each.inputs["recoveryWindowInDays"] for each in stacks[name].of(SECRET)} == {
            SHORTEST_DAYS
        }
    assert {each.inputs["recoveryWindowInDays"] for each in stacks["pr-1"].of(SECRET)} == {0}


def test_production_lets_nothing_go_that_cannot_be_made_again(prod: Recording) -> None:
    guarded = {each.type for each in prod.resources if each.protect}
    assert guarded == IRREPLACEABLE
    assert [
        each.urn for each in prod.resources if each.type in IRREPLACEABLE and not each.protect
    ] == []
    assert not any(each.inputs["forceDestroy"] for each in prod.of(BUCKET))
    assert prod.of("aws:lb/loadBalancer:LoadBalancer")[0].inputs["enableDeletionProtection"]
    assert {each.inputs["deletionWindowInDays"] for each in prod.of(KEY)} == {LONGEST_DAYS}
    assert {each.inputs["recoveryWindowInDays"] for each in prod.of(SECRET)} == {LONGEST_DAYS}
    for each in prod.of(DATABASE):
        assert each.inputs["deletionProtection"]
        assert not each.inputs["skipFinalSnapshot"]
        assert not each.inputs["deleteAutomatedBackups"]


def test_previews_state_ends_with_its_base(open_dev: Recording) -> None:
    assert open_dev.one(BUCKET, "preview-state").inputs["forceDestroy"]
    assert open_dev.one(KEY, "preview-state").inputs["deletionWindowInDays"] == SHORTEST_DAYS


def test_the_key_of_productions_last_snapshots_outlives_the_stack(
    prod: Recording, dev: Recording
) -> None:
    key = prod.one(KEY, "data")
    assert key.retain
    assert {each.inputs["kmsKeyId"] for each in prod.of(DATABASE)} == {key.outputs["arn"]}
    assert not dev.one(KEY, "data").retain


def test_kept_images_are_kept_from_the_end_of_the_environments_key(dev: Recording) -> None:
    kept = {each.inputs["name"]: each for each in dev.of(REPOSITORY) if each.retain}
    assert set(kept) == {f"patient-management/{image}" for image in IMAGES}
    for each in kept.values():
        assert [one["encryptionType"] for one in each.inputs["encryptionConfigurations"]] == [
            "AES256"
        ]
        assert "forceDelete" not in each.inputs
    # Docker's provider deletes from the registry what its stack no longer has.
    images = dev.of("docker-build:index:Image")
    assert len(images) == len(IMAGES)
    assert all(each.retain for each in images)


def test_another_life_takes_over_the_repositories(dev: Recording) -> None:
    assert not any(each.imported for each in dev.resources)
    config = {**read_config("dev"), f"{PROJECT}:images-life": json.dumps(2)}
    again = record("dev", config, Paper())
    imported = {each.imported for each in again.of(REPOSITORY) if each.imported}
    assert imported == {f"patient-management/{image}" for image in IMAGES}


def test_each_source_an_image_is_built_of_gets_a_tag_of_its_own_and_one_that_returns_another(
    dev: Recording,
) -> None:
    """ECR moves no tag, and two builds of one source are not the same bytes."""
    tags = set()
    for image in dev.of("docker-build:index:Image"):
        source = dev.outputs["images"][image.name.removeprefix("image-")]["source"]
        # Replaced whenever its keeper changes, also back to what it was.
        build = dev.one("random:index/randomId:RandomId", image.name)
        assert build.inputs["keepers"] == {"source": source}
        (tag,) = image.inputs["tags"]
        assert tag.endswith(f":source-{source[:20]}-{build.outputs['hex']}")
        tags.add(tag)
    assert len(tags) == len(IMAGES)


def test_the_measures_of_containers_have_an_end_and_our_key(stacks: dict[str, Recording]) -> None:
    """Container Insights would make the group itself, with the cluster: without either."""
    for name in ("staging", "prod"):
        group = stacks[name].one("aws:cloudwatch/logGroup:LogGroup", f"patient-{name}-insights")
        cluster = stacks[name].one("aws:ecs/cluster:Cluster", f"patient-{name}")
        label = cluster.outputs["name"]
        assert group.inputs["name"] == f"/aws/ecs/containerinsights/{label}/performance"
        assert group.inputs["retentionInDays"]
        assert group.inputs["kmsKeyId"] == stacks[name].one(KEY, "data").outputs["arn"]
        assert group.urn in cluster.dependencies
        # A stack from before keeps its cluster: another would replace every service.
        assert cluster.ignored == group.ignored == ["name"]
