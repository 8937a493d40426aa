"""The program is broken on purpose, once each way that the design fears, and something says so."""

import dataclasses
import itertools
import json
from collections.abc import Callable
from typing import Any

import boto3
import pulumi_aws as aws
import pytest
from botocore.exceptions import ClientError

from apps import catalogue
from apps.catalogue import SERVICES, Resources
from infrastructure import app, app_network
from infrastructure.config.files import preview_config, read_config
from infrastructure.config.limits import LimitError
from infrastructure.data.databases import PORT as DATABASE_PORT
from infrastructure.data.msk import PORT as BROKER_PORT
from infrastructure.ecs import service
from infrastructure.ecs.images import ImageSet
from infrastructure.network import security_groups, vpc
from infrastructure.network.edges import Edge, calls, edges
from infrastructure.network.subnets import SubnetSpec
from infrastructure.plan.graph import reached
from infrastructure.plan.paper import Paper
from infrastructure.plan.record import record
from infrastructure.policies.examine import examine
from infrastructure.recording import Recording
from tests.infrastructure.conftest import Account
from tests.infrastructure.fake_aws.moto_resources import Moto

pytestmark = pytest.mark.infrastructure
TAGGED = "123456789012.dkr.ecr.us-east-1.amazonaws.com/patient-management/it:latest"


def dev() -> Recording:
    return record("dev", read_config("dev"), Paper())


def findings() -> set[str]:
    return {finding.rule for finding in examine(dev())}


def with_arguments(original: Callable[..., Any], **changes: Any) -> Callable[..., Any]:
    return lambda *given, **named: original(*given, **{**named, **changes})


def test_a_database_in_a_public_subnet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        vpc.Network,
        "isolated_subnet_ids",
        property(lambda self: self.public_subnet_ids, lambda self, _: None),
        False,
    )
    assert "data-isolated" in findings()


def test_a_group_open_to_the_world(monkeypatch: pytest.MonkeyPatch) -> None:
    original = security_groups.allow_traffic

    def opened(name: str, *, target_id: Any, port: int, opts: Any, **named: Any) -> Any:
        security_groups.open_ingress(
            f"{name}-world", target_id, port, "World", opts, cidr="0.0.0.0/0"
        )
        return original(name, target_id=target_id, port=port, opts=opts, **named)

    monkeypatch.setattr("infrastructure.data.databases.allow_traffic", opened)
    assert "group-closed" in findings()


@pytest.mark.parametrize(
    ("kind", "port"),
    [
        ("SecurityGroupIngressRule", DATABASE_PORT),
        ("SecurityGroupEgressRule", DATABASE_PORT),
        # Towards AWS's APIs, and in from the internet.
        ("SecurityGroupEgressRule", 443),
        ("SecurityGroupIngressRule", 443),
    ],
)
def test_a_rule_for_all_ports_from_its_own_on(
    monkeypatch: pytest.MonkeyPatch, kind: str, port: int
) -> None:
    original = getattr(aws.vpc, kind)

    def wide(*given: Any, from_port: int, to_port: int, **named: Any) -> Any:
        return original(
            *given, from_port=from_port, to_port=65535 if from_port == port else to_port, **named
        )

    monkeypatch.setattr(aws.vpc, kind, wide)
    # With endpoints: a rule towards all addresses would meet the services' own.
    stack = record(
        "dev", read_config("dev") | {"patient-management:interface-endpoints": "true"}, Paper()
    )
    assert "group-one-port" in {finding.rule for finding in examine(stack)}
    with pytest.raises(ValueError, match=f"opens tcp {port} to 65535"):
        reached(stack, stack)


def test_a_service_that_may_read_anothers_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    original = app.App.service_args

    def generous(self: app.App, entry: Any, group: Any, locate: Any) -> Any:
        return dataclasses.replace(original(self, entry, group, locate), secrets=dict(self.secrets))

    monkeypatch.setattr(app.App, "service_args", generous)
    assert "secrets-own" in findings()


def test_an_unencrypted_volume(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        aws.rds, "Instance", with_arguments(aws.rds.Instance, storage_encrypted=False)
    )
    assert "database-encrypted" in findings()


def test_a_missing_depends_on(monkeypatch: pytest.MonkeyPatch) -> None:
    original = service.EcsService

    def hasty(name: str, args: Any, after: Any, opts: Any) -> Any:
        return original(name, args, [], opts)

    monkeypatch.setattr("infrastructure.app.EcsService", hasty)
    assert "order" in findings()


@pytest.mark.parametrize(
    "module", ["data.databases", "data.msk", "network.vpc", "network.balancer"]
)
def test_a_task_that_does_not_wait_for_its_network_rules(
    monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    monkeypatch.setattr(f"infrastructure.{module}.id_when_open", lambda group, ways: group.id)
    found = [finding for finding in examine(dev()) if finding.rule == "order"]
    assert {"is open" in finding.message for finding in found} == {True}
    if module in ("data.databases", "network.vpc"):
        assert any(finding.resource.endswith("app-runner") for finding in found)


def test_an_image_by_tag(monkeypatch: pytest.MonkeyPatch) -> None:
    original = app.App.service_args

    def tagged(self: app.App, entry: Any, group: Any, locate: Any) -> Any:
        return dataclasses.replace(original(self, entry, group, locate), image=TAGGED)

    monkeypatch.setattr(app.App, "service_args", tagged)
    assert "task-digest" in findings()
    assert ImageSet({}, {}).exported() == {}


@pytest.fixture
def elsewhere(account: Account, monkeypatch: pytest.MonkeyPatch) -> Moto:
    """Another account in moto, so that what a broken run leaves there is in no other test's way."""
    arn = "arn:aws:iam::222222222222:role/elsewhere"
    keys = boto3.client("sts").assume_role(RoleArn=arn, RoleSessionName="elsewhere")["Credentials"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys["SecretAccessKey"])
    monkeypatch.setenv("AWS_SESSION_TOKEN", keys["SessionToken"])
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    boto3.client("route53").create_hosted_zone(Name="example.org", CallerReference="elsewhere")
    cloud = Moto()
    # The names of buckets are every account's.
    cloud.numbers = itertools.count(0x8000000)
    return cloud


def test_an_overlapping_cidr(monkeypatch: pytest.MonkeyPatch, elsewhere: Moto) -> None:
    def overlapping(cidr: str, zones: int) -> tuple[SubnetSpec, ...]:
        return (
            SubnetSpec("private", "Private", ("10.0.0.0/19", "10.0.64.0/19")),
            SubnetSpec("isolated", "Isolated", ("10.0.16.0/20", "10.0.96.0/20")),
            SubnetSpec("public", "Public", ("10.0.48.0/21", "10.0.112.0/21")),
        )

    monkeypatch.setattr("infrastructure.network.subnets.plan_subnets", overlapping)
    with pytest.raises(ClientError, match=r"InvalidSubnet\.Conflict"):
        record("dev", read_config("dev"), elsewhere)


def test_a_fargate_size_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = dataclasses.replace(SERVICES["auth"], resources=Resources(512, 512))
    monkeypatch.setattr(app, "SERVICES", {**SERVICES, "auth": entry})
    with pytest.raises(LimitError, match="Fargate has no size of 512 CPU units with 512 MiB"):
        dev()


def test_a_name_over_awss_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    original = service.EcsService.make_public_route

    def long(self: Any, name: str, args: Any) -> Any:
        return original(self, name + "-that-is-longer-than-it-may-be", args)

    monkeypatch.setattr(service.EcsService, "make_public_route", long)
    assert "names" in findings()


def test_an_edge_that_the_catalogue_does_not_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_network, "calls", lambda: (*calls(), Edge("billing", "patient", 4000)))
    stack = dev()
    found = {edge for edge in reached(stack, stack) if edge.source != "release"}
    assert found - set(edges(database_port=DATABASE_PORT, broker_port=BROKER_PORT)) == {
        Edge("billing", "patient", 4000)
    }


def test_a_secret_in_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    original = catalogue.environment

    def leaking(entry: Any, locate: Any) -> Any:
        return {**original(entry, locate), "GATEWAY_CLIENT_SECRET": "it was a test"}

    monkeypatch.setattr("infrastructure.app.environment", leaking)
    assert "task-secrets" in findings()


def test_assertions_run_in_preview_mode_too() -> None:
    """With `preview=True` an `apply` over unknowns never runs: count what was looked at, so that
    none passes unseen.
    """
    references = {"dev": dev().outputs}
    for name, config in (("dev", read_config("dev")), ("pr-7", preview_config("dev", "us-east-1"))):
        stack = record(name, config, Paper(), references, preview=True)
        tasks = stack.of("aws:ecs/taskDefinition:TaskDefinition")
        seen = sum(
            json.loads(each.inputs["containerDefinitions"])[0]["readonlyRootFilesystem"]
            for each in tasks
        )
        assert seen == len(SERVICES) + 1
        assert examine(stack) == []
