"""Each rule passes on our stacks, and fails on a resource broken in just that way."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from infrastructure.policies.data import DATA_RULES
from infrastructure.policies.examine import (
    Finding,
    examine,
    examine_resources,
    examine_stack,
)
from infrastructure.policies.running import RUNNING_RULES
from infrastructure.policies.stacks import STACK_RULES
from infrastructure.recording import Recording, Resource

pytestmark = pytest.mark.infrastructure
RULES = (*DATA_RULES, *RUNNING_RULES)
Break = Callable[[dict[str, Any]], None]


def without(key: str) -> Break:
    return lambda inputs: inputs.update({key: None})


def put(**values: Any) -> Break:
    return lambda inputs: inputs.update(values)


def container(**values: Any) -> Break:
    def change(inputs: dict[str, Any]) -> None:
        (found,) = json.loads(inputs["containerDefinitions"])
        inputs["containerDefinitions"] = json.dumps([{**found, **values}])

    return change


def statement(**values: Any) -> Break:
    def change(inputs: dict[str, Any]) -> None:
        policy = json.loads(inputs["policy"])
        policy["Statement"][0] |= values
        inputs["policy"] = json.dumps(policy)

    return change


BROKEN: dict[str, Break] = {
    "database-not-public": put(publiclyAccessible=True),
    "database-encrypted": put(storageEncrypted=False),
    "database-iam": put(iamDatabaseAuthenticationEnabled=False),
    "database-managed-password": put(manageMasterUserPassword=None, password="it was a test"),
    "database-backups": put(backupRetentionPeriod=0),
    "database-logs": without("enabledCloudwatchLogsExports"),
    "database-monitoring": put(monitoringInterval=0),
    "database-tls": without("parameters"),
    "brokers-tls": lambda inputs: inputs["encryptionInfo"]["encryptionInTransit"].update(
        clientBroker="TLS_PLAINTEXT"
    ),
    "brokers-authenticated": lambda inputs: inputs["clientAuthentication"].update(
        unauthenticated=True
    ),
    "brokers-encrypted": lambda inputs: inputs["encryptionInfo"].pop("encryptionAtRestKmsKeyArn"),
    "group-closed": put(cidrIpv4="0.0.0.0/0", fromPort=5432, toPort=5432),
    "group-one-port": put(toPort=65535),
    "group-without-rules": put(ingress=[{"fromPort": 0}]),
    "group-inline": put(ingress=[{"fromPort": 22, "cidrBlocks": ["0.0.0.0/0"]}]),
    "balancer-headers": put(dropInvalidHeaderFields=False),
    "balancer-log": without("accessLogs"),
    "balancer-tls": put(protocol="HTTPS", sslPolicy="ELBSecurityPolicy-2016-08"),
    "task-read-only": container(readonlyRootFilesystem=False),
    "task-not-root": container(user="root"),
    "task-capabilities": container(linuxParameters={}),
    "task-log": container(logConfiguration=None),
    "task-secrets": container(
        environment=[{"name": "AUTH_CLIENT_SECRET", "value": "it was a test"}]
    ),
    "task-digest": container(image="registry/gateway:latest"),
    "task-size": put(cpu="512", memory="512"),
    "service-private": put(networkConfiguration={"assignPublicIp": True}),
    "service-rollback": without("deploymentCircuitBreaker"),
    "key-rotates": put(enableKeyRotation=False),
    "registry-scan": without("imageScanningConfiguration"),
    "registry-immutable": put(imageTagMutability="MUTABLE"),
    "bucket-private": put(blockPublicAcls=False),
    "log-kept": put(retentionInDays=42),
    "log-encrypted": without("kmsKeyId"),
    "alarm-acts": put(alarmActions=[]),
    "notices-encrypted": without("kmsMasterKeyId"),
    "secret-key": without("kmsKeyId"),
    "least-privilege": statement(Action="kms:*", Resource="*"),
    "role-bounded": without("permissionsBoundary"),
}


def test_every_stack_passes_every_rule(stacks: dict[str, Recording]) -> None:
    assert {name: examine(stack) for name, stack in stacks.items()} == {name: [] for name in stacks}


def test_an_environment_open_to_github_passes_every_rule(open_dev: Recording) -> None:
    made = {each.name for each in open_dev.of("aws:iam/role:Role")}
    assert made >= {"github-deploy", "github-look", "github-preview"}
    assert examine(open_dev) == []


@pytest.mark.parametrize(
    "action", ["kms:Decrypt", "s3:GetObject", "secretsmanager:GetSecretValue", "ecs:RunTask"]
)
def test_on_every_resource_stands_only_what_names_none(dev: Recording, action: str) -> None:
    whole = dev.one("aws:iam/rolePolicy:RolePolicy", "dev-gateway-execution-start")
    given = changed(whole, statement(Action=[action, "ecr:GetAuthorizationToken"], Resource="*"))
    assert [finding.message for finding in examine_resources([given])] == [
        f"[IAM.1, IAM.21, HIPAA.Security-IAMPolicyNoStatementsWithAdminAccess] {action} on every "
        f"resource"
    ]


@pytest.mark.parametrize(
    "broken",
    [
        put(fromPort=443, toPort=444),
        put(ipProtocol="udp"),
        put(ipProtocol="-1"),
        put(ipProtocol="-1", fromPort=None, toPort=None),
        put(fromPort=None, toPort=None),
    ],
)
@pytest.mark.parametrize("side", ["Ingress", "Egress"])
def test_everything_passes_within_a_group_only(dev: Recording, side: str, broken: Break) -> None:
    kind = f"aws:vpc/securityGroup{side}Rule:SecurityGroup{side}Rule"
    assert dev.one(kind, "patient-dev-among").inputs["ipProtocol"] == "-1"
    found = examine_resources([changed(dev.one(kind, "patient-dev"), broken)])
    assert rules_of(found) == {"group-one-port"}


def test_every_rule_has_its_broken_resource() -> None:
    assert set(BROKEN) == {rule.name for rule in RULES}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_finds_what_it_is_for(dev: Recording, rule: Any) -> None:
    whole = next(each for each in dev.resources if each.type in rule.types)
    broken = changed(whole, BROKEN[rule.name])
    assert rule.name not in {finding.rule for finding in examine_resources([whole])}
    assert rule.name in {finding.rule for finding in examine_resources([broken])}


def changed(resource: Resource, change: Break) -> Resource:
    broken = copy.deepcopy(resource)
    broken.inputs = dict(broken.inputs)
    change(broken.inputs)
    return broken


def break_stack(dev: Recording, kind: str, name: str, change: Break) -> list[Finding]:
    resources = [
        changed(each, change) if each.type == kind and each.name.startswith(name) else each
        for each in dev.resources
    ]
    return examine_stack(resources)


def lose(dev: Recording, *kinds: str) -> list[Finding]:
    return examine_stack([each for each in dev.resources if each.type not in kinds])


def rules_of(findings: list[Finding]) -> set[str]:
    return {finding.rule for finding in findings}


def test_stack_rules_find_what_they_are_for(dev: Recording) -> None:
    public = dev.one("aws:lb/loadBalancer:LoadBalancer", "patient-dev").inputs["subnets"]
    another = dev.one("aws:iam/rolePolicy:RolePolicy", "dev-auth-execution-start").inputs["policy"]
    foreign = [{"name": "AUTH_KEY_ENCRYPTION_KEY", "valueFrom": "arn"}]
    long = "x" * 40
    found = {
        "vpc-flows": lose(dev, "aws:ec2/flowLog:FlowLog"),
        "balancer-firewall": lose(dev, "aws:wafv2/webAclAssociation:WebAclAssociation"),
        "registry-lifecycle": lose(dev, "aws:ecr/lifecyclePolicy:LifecyclePolicy"),
        "data-isolated": break_stack(
            dev, "aws:rds/subnetGroup:SubnetGroup", "", put(subnetIds=public)
        ),
        "order": examine_stack([forget(each) for each in dev.resources]),
        "secrets-own": break_stack(
            dev, "aws:ecs/taskDefinition:TaskDefinition", "dev-billing", container(secrets=foreign)
        ),
        "secrets-readable": break_stack(
            dev, "aws:iam/rolePolicy:RolePolicy", "dev-billing-execution", put(policy=another)
        ),
        "log-keys": break_stack(
            dev, "aws:cloudwatch/logGroup:LogGroup", "dev-auth", put(name="/elsewhere/auth")
        ),
        "names": break_stack(dev, "aws:lb/targetGroup:TargetGroup", "", put(name=long)),
    }
    assert set(found) == {rule.name for rule in STACK_RULES}
    assert {rule for rule, findings in found.items() if rules_of(findings) != {rule}} == set()


def forget(resource: Resource) -> Resource:
    if resource.type != "aws:ecs/service:Service":
        return resource
    forgotten = copy.copy(resource)
    forgotten.dependencies = []
    return forgotten


def test_a_switch_that_is_called_after_a_secret_is_none(preview: Recording) -> None:
    gateway = preview.one("aws:ecs/taskDefinition:TaskDefinition", "pr-1-gateway")
    switches = [{"name": "AUTH_PASSWORD_LOGIN_ENABLED", "value": "true"}]
    secrets = [{"name": "AUTH_PASSWORD_LOGIN_ENABLED", "value": "it was a test"}]
    assert examine_resources([changed(gateway, container(environment=switches))]) == []
    found = rules_of(examine_resources([changed(gateway, container(environment=secrets))]))
    assert found == {"task-secrets"}
