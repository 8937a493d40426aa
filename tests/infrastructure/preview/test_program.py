"""The preview program in moto: two previews beside their base, then gone; and what a preview never
brings along.
"""

import collections
import json

import pytest

from infrastructure.config.naming import PREVIEW_PATH, STACK_TAG
from infrastructure.preview.names import Preview
from infrastructure.preview.sweep import ELSEWHERE, KINDS, kind_of
from infrastructure.program import tags
from infrastructure.recording import Recording
from tests.infrastructure.conftest import Account
from tests.infrastructure.preview.full_preview import everything
from tests.infrastructure.preview.leftover_inventory import count, destroy

pytestmark = pytest.mark.infrastructure

# What is slow to make or dear to keep: a preview has its base's.
SHARED = (
    "Vpc",
    "NatGateway",
    "LoadBalancer",
    "Instance",
    "Repository",
    "Key",
    "Certificate",
    "WebAcl",
    "Function",
)


def test_two_previews_come_and_go_and_the_base_is_as_before(
    account: Account, dev: Recording
) -> None:
    before, whole_before = count(account.cloud, [dev]), everything()
    one = account.up("pr-7")
    whole_with_one = everything()
    other = account.up("pr-77")
    both, others = count(account.cloud, [dev, one, other]), everything() - whole_with_one
    for kind, there in before.items():
        assert there < both[kind], f"previews brought no {kind}, or took the base's"
    assert whole_before <= whole_with_one
    destroy(account.cloud, one)
    left = count(account.cloud, [dev, other])
    assert others <= everything(), "the one took of the other's"
    destroy(account.cloud, other)
    for name in ("pr-7", "pr-77"):
        del account.recordings[name], account.outputs[name]
    assert count(account.cloud, [dev]) == before
    assert everything() == whole_before
    assert any("pr-77" in name for name in left["log groups"])
    assert not any("pr-7/" in name for name in left["log groups"])


def test_nothing_that_has_a_name_of_its_own_shares_it(
    dev: Recording, preview: Recording, other_preview: Recording
) -> None:
    for kind, key in (
        ("aws:cloudwatch/logGroup:LogGroup", "name"),
        ("aws:msk/topic:Topic", "name"),
        ("aws:ecs/taskDefinition:TaskDefinition", "family"),
        ("aws:servicediscovery/httpNamespace:HttpNamespace", "name"),
        ("aws:lb/listenerRule:ListenerRule", "priority"),
        ("aws:secretsmanager/secret:Secret", "namePrefix"),
    ):
        names = collections.Counter(
            str(resource.inputs[key])
            for stack in (dev, preview, other_preview)
            for resource in stack.of(kind)
        )
        assert [name for name, times in names.items() if times > 1] == [], kind


def test_host_and_priority_follow_from_the_number(
    preview: Recording, other_preview: Recording
) -> None:
    for recording, number in ((preview, 1), (other_preview, 12)):
        rule = recording.of("aws:lb/listenerRule:ListenerRule")[0].inputs
        assert rule["priority"] == 1000 + number
        assert rule["conditions"] == [{"hostHeader": {"values": [f"pr-{number}.dev.example.org"]}}]


def test_preview_brings_nothing_that_is_slow_or_dear(preview: Recording) -> None:
    kinds = {resource.type.rpartition(":")[2] for resource in preview.resources}
    assert not kinds & set(SHARED)
    assert not [
        each.type
        for each in preview.resources
        if each.type in ("aws:msk/cluster:Cluster", "aws:ecs/cluster:Cluster")
    ]


def test_preview_runs_on_spot_one_of_each_and_forgets_soon(preview: Recording) -> None:
    for service in preview.of("aws:ecs/service:Service"):
        assert service.inputs["desiredCount"] == 1
        assert service.inputs["capacityProviderStrategies"][0]["capacityProvider"] == "FARGATE_SPOT"
    for log in preview.of("aws:cloudwatch/logGroup:LogGroup"):
        assert log.inputs["retentionInDays"] <= 7


def test_environment_of_a_preview_names_its_own_and_nothing_of_the_base(preview: Recording) -> None:
    for task in preview.of("aws:ecs/taskDefinition:TaskDefinition"):
        for container in json.loads(task.inputs["containerDefinitions"]):
            values = {each["name"]: each["value"] for each in container["environment"]}
            assert values.get("ENVIRONMENT") == "preview"
            for name, value in values.items():
                if name.endswith("_DATABASE_URL"):
                    role, database = (
                        value.partition("//")[2].partition("@")[0],
                        value.rpartition("/")[2],
                    )
                    assert role == database == f"pr_1_{name.removesuffix('_DATABASE_URL').lower()}"
                if name.startswith("TOPIC_") or name == "KAFKA_CONSUMER_GROUP":
                    assert value.startswith("pr-1.")
                if name.endswith("_DATABASE_POOL_SIZE") or name == "DATABASE_POOL_SIZE":
                    assert int(value) <= 3


def test_visitor_of_a_preview_signs_in_by_one_call(preview: Recording) -> None:
    """The system tests do, and a reviewer:
    the gateway opens that door, and auth answers behind it.
    """
    opened = {
        task.inputs["family"]
        for task in preview.of("aws:ecs/taskDefinition:TaskDefinition")
        for container in json.loads(task.inputs["containerDefinitions"])
        if {"name": "AUTH_PASSWORD_LOGIN_ENABLED", "value": "true"} in container["environment"]
    }
    assert opened == {"pr-1-gateway", "pr-1-auth"}


def test_unchanged_service_runs_the_bases_image_and_builds_nothing(
    dev: Recording, preview: Recording
) -> None:
    assert preview.outputs["changed"] == []
    assert preview.of("docker-build:index:Image") == []
    assert preview.outputs["images"] == dev.outputs["images"]


def test_only_what_changed_is_built_and_only_into_the_previews_repositories(
    account: Account, dev: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported = dict(dev.outputs["images"])
    exported["billing"] = {**exported["billing"], "source": "what main had before"}
    monkeypatch.setitem(account.outputs, "dev", {**dev.outputs, "images": exported})
    changed = account.up("pr-8")
    destroy(account.cloud, changed)
    del account.recordings["pr-8"], account.outputs["pr-8"]
    assert changed.outputs["changed"] == ["billing"]
    images = changed.of("docker-build:index:Image")
    assert [image.name for image in images] == ["image-billing"]
    for tag in images[0].inputs["tags"]:
        repository, _, name = tag.partition("/")[2].partition(":")
        assert repository == "preview/billing"
        assert name.startswith(Preview(8).image_tag_prefix)
    # The cache is main's to write.
    assert not images[0].inputs.get("cacheTo")
    assert changed.outputs["images"]["auth"] == dev.outputs["images"]["auth"]


def test_outputs_tell_the_driver_what_it_reports(preview: Recording) -> None:
    assert {"url", "base", "expires", "keep", "changed"} <= set(preview.outputs)
    assert preview.outputs["base"] == "dev"


def test_everything_carries_the_tag_that_a_sweep_goes_by(preview: Recording) -> None:
    assert tags(preview.stack)[STACK_TAG] == "pr-1"
    for role in preview.of("aws:iam/role:Role"):
        assert role.inputs["path"] == PREVIEW_PATH


def test_whatever_a_preview_makes_a_sweep_can_take_away(preview: Recording) -> None:
    arns = {
        str(each.outputs["arn"])
        for each in preview.resources
        if str(each.outputs.get("arn", "")).startswith("arn:aws:")
    }
    # On paper, so its ARN is nobody's: the release runs again at each change, and leaves nothing.
    kinds = {kind_of(arn) for arn in arns if ":lambda:" not in arn and ":msk:" not in arn}
    assert kinds
    assert kinds <= {*KINDS, *ELSEWHERE}
