"""What the code of a pull request cannot reach, door by door, by IAM; the runner's are in test_runner_doors.py."""

import json
from typing import Any

import pytest

from apps.catalogue import DATABASES
from infrastructure.plan.paper import ACCOUNT, REGION
from infrastructure.plan.record import Recording, Resource
from infrastructure.preview.settings import state_bucket
from tests.infrastructure.preview.policies import allowed

pytestmark = pytest.mark.infrastructure

BUCKET = f"arn:aws:s3:::{state_bucket(ACCOUNT, REGION)}"
STATES = f"{BUCKET}/.pulumi/stacks/patient-management"


@pytest.fixture(scope="module")
def base(open_dev: Recording) -> Recording:
    return open_dev


def policy(recording: Recording, kind: str, name: str) -> Any:
    return json.loads(recording.one(f"aws:iam/{kind}", name).inputs["policy"])


@pytest.fixture(scope="module")
def runs(base: Recording) -> list[Any]:
    """What a pull request's workflow may do."""
    return [policy(base, "policy:Policy", "github-preview-all")]


def secret(name: str) -> str:
    return f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{name}-a1b2c3"


def user(role: str) -> str:
    return f"arn:aws:rds-db:{REGION}:{ACCOUNT}:dbuser:patient-dev-main/{role}"


THROUGH_SECRETS = {"kms:ViaService": f"secretsmanager.{REGION}.amazonaws.com"}
OURS = {"aws:ResourceTag/patient-management:stack": "pr-1"}
BASES = {"aws:ResourceTag/patient-management:stack": "dev"}
ASKED = {"aws:RequestTag/patient-management:stack": "pr-1"}
BALANCING = f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}"
LISTENER = f"{BALANCING}:listener/app/patient-dev-https"
RULE = f"{BALANCING}:listener-rule/app/patient-dev-https/3"
TARGETS = f"{BALANCING}:targetgroup/pr-1-gateway-1234567/1"
NAMESPACE = f"arn:aws:servicediscovery:{REGION}:{ACCOUNT}:namespace/1"
GROUP = f"arn:aws:ec2:{REGION}:{ACCOUNT}:security-group/sg-1"
PREVIEW_ROLE = f"arn:aws:iam::{ACCOUNT}:role/preview/pr-1-gateway-task-1234567"
DEV_ROLE = f"arn:aws:iam::{ACCOUNT}:role/patient-management/dev/dev-gateway-task-1234567"


@pytest.mark.parametrize(
    ("action", "resource", "context"),
    [
        ("s3:GetObject", "arn:aws:s3:::state-of-environments/.pulumi/stacks/patient-management/dev.json", {}),
        ("s3:GetObject", "arn:aws:s3:::state-of-environments/.pulumi/stacks/patient-management/prod.json", {}),
        ("s3:PutObject", f"{STATES}/dev.json", {}),
        ("s3:DeleteObject", f"{STATES}/dev.json", {}),
        ("s3:PutObject", f"{BUCKET}/.pulumi/meta.yaml", {}),
        ("secretsmanager:GetSecretValue", secret("patient-management/prod/AUTH_KEY_ENCRYPTION_KEY"), {}),
        ("secretsmanager:GetSecretValue", secret("patient-management/dev/AUTH_KEY_ENCRYPTION_KEY"), {}),
        ("secretsmanager:GetSecretValue", secret("rds!db-master"), {}),
        ("kms:Decrypt", f"arn:aws:kms:{REGION}:{ACCOUNT}:key/prod", THROUGH_SECRETS),
        ("rds-db:connect", user("patient"), {}),
        ("rds-db:connect", user("pr_1_patient"), {}),
        ("lambda:InvokeFunction", f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:patient-management-dev-runner", {}),
        ("ecs:DeleteService", f"arn:aws:ecs:{REGION}:{ACCOUNT}:service/platform/dev-gateway", {}),
        ("ecs:RunTask", f"arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/dev-release:1", {}),
        ("ecs:ExecuteCommand", f"arn:aws:ecs:{REGION}:{ACCOUNT}:task/platform/1", {}),
        ("elasticloadbalancing:DeleteRule", RULE, BASES),
        ("elasticloadbalancing:ModifyRule", RULE, BASES),
        # Not made its own by a tag of its own.
        ("elasticloadbalancing:AddTags", RULE, {**BASES, **ASKED}),
        ("elasticloadbalancing:AddTags", LISTENER, ASKED),
        ("elasticloadbalancing:ModifyListener", LISTENER, OURS),
        ("elasticloadbalancing:DeleteLoadBalancer", f"{BALANCING}:loadbalancer/app/patient-dev-1/1", OURS),
        ("elasticloadbalancing:CreateRule", f"{BALANCING}:listener/app/somebodys/1/2", ASKED),
        ("elasticloadbalancing:CreateRule", LISTENER, {}),
        ("elasticloadbalancing:CreateTargetGroup", f"{BALANCING}:targetgroup/dev-gateway-1/1", ASKED),
        ("elasticloadbalancing:ModifyTargetGroup", f"{BALANCING}:targetgroup/dev-gateway-1/1", BASES),
        ("servicediscovery:TagResource", NAMESPACE, {**BASES, **ASKED}),
        ("servicediscovery:DeleteNamespace", NAMESPACE, BASES),
        ("ec2:CreateTags", GROUP, ASKED),
        ("ec2:DeleteSecurityGroup", GROUP, BASES),
        ("ec2:AuthorizeSecurityGroupIngress", GROUP, BASES),
        ("iam:CreateRole", DEV_ROLE, {}),
        ("iam:CreateRole", PREVIEW_ROLE, {}),
        ("iam:CreateRole", PREVIEW_ROLE, {"iam:PermissionsBoundary": "arn:aws:iam::aws:policy/AdministratorAccess"}),
        ("iam:PutRolePolicy", PREVIEW_ROLE, {}),
        ("iam:DeleteRolePermissionsBoundary", PREVIEW_ROLE, {}),
        ("iam:PutRolePermissionsBoundary", PREVIEW_ROLE, {}),
        ("iam:AttachRolePolicy", PREVIEW_ROLE, {}),
        ("iam:UpdateAssumeRolePolicy", PREVIEW_ROLE, {}),
        ("iam:PassRole", DEV_ROLE, {"iam:PassedToService": "ecs-tasks.amazonaws.com"}),
        ("iam:PassRole", PREVIEW_ROLE, {"iam:PassedToService": "lambda.amazonaws.com"}),
        ("iam:CreatePolicyVersion", f"arn:aws:iam::{ACCOUNT}:policy/preview/boundary", {}),
        ("ecr:PutImage", f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/patient-management/gateway", {}),
        ("ecr:BatchDeleteImage", f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/patient-management/gateway", {}),
        ("logs:DeleteLogGroup", f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/patient-management/dev/gateway", {}),
        ("logs:GetLogEvents", f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/patient-management/dev/gateway:*", {}),
        ("kafka:DeleteTopic", "arn:aws:kafka:us-east-1:123456789012:topic/patient-dev/id/patient", {}),
        ("kafka-cluster:DeleteTopic", "arn:aws:kafka:us-east-1:123456789012:topic/patient-dev/id/patient", {}),
        ("kafka-cluster:ReadData", "arn:aws:kafka:us-east-1:123456789012:topic/patient-dev/id/pr-1.patient", {}),
        ("sts:AssumeRole", DEV_ROLE, {}),
    ],
)
def test_pull_requests_workflow_cannot(runs: list[Any], action: str, resource: str, context: dict[str, str]) -> None:
    assert not allowed(runs, action, resource, context)


def test_pull_requests_workflow_can_do_its_work(base: Recording, runs: list[Any]) -> None:
    stream = str(base.outputs["platform"]["stream_arn"]).replace(":cluster/", ":topic/")
    runner = base.outputs["platform"]["preview_runner_name"]
    boundary = {"iam:PermissionsBoundary": base.outputs["platform"]["preview_boundary_arn"]}
    cluster = base.outputs["platform"]["cluster_name"]
    for action, resource, context in (
        ("s3:GetObject", f"{STATES}/dev.json", {}),
        ("s3:PutObject", f"{STATES}/pr-1.json", {}),
        ("s3:PutObject", f"{BUCKET}/.pulumi/locks/organization/patient-management/pr-1/x.json", {}),
        ("s3:PutObject", f"{BUCKET}/.pulumi/history/patient-management/pr-1/pr-1-1.history.json", {}),
        ("lambda:InvokeFunction", f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{runner}", {}),
        # As Pulumi does.
        ("lambda:InvokeFunction", f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{runner}:$LATEST", {}),
        ("ecs:CreateService", f"arn:aws:ecs:{REGION}:{ACCOUNT}:service/{cluster}/pr-1-gateway-1234567", {}),
        ("elasticloadbalancing:CreateRule", LISTENER, ASKED),
        ("elasticloadbalancing:AddTags", RULE, ASKED),
        ("elasticloadbalancing:CreateTargetGroup", TARGETS, ASKED),
        ("elasticloadbalancing:AddTags", TARGETS, ASKED),
        ("elasticloadbalancing:DeleteTargetGroup", TARGETS, OURS),
        ("servicediscovery:CreateHttpNamespace", "*", ASKED),
        ("servicediscovery:TagResource", NAMESPACE, ASKED),
        ("servicediscovery:DeleteNamespace", NAMESPACE, OURS),
        ("ec2:CreateSecurityGroup", GROUP, ASKED),
        ("ec2:CreateTags", GROUP, {"ec2:CreateAction": "CreateSecurityGroup"}),
        ("elasticloadbalancing:DeleteRule", RULE, OURS),
        ("ec2:AuthorizeSecurityGroupIngress", GROUP, OURS),
        ("iam:CreateRole", PREVIEW_ROLE, boundary),
        ("iam:PassRole", PREVIEW_ROLE, {"iam:PassedToService": "ecs-tasks.amazonaws.com"}),
        ("secretsmanager:CreateSecret", secret("preview/pr-1/AUTH_KEY_ENCRYPTION_KEY"), {}),
        ("kafka:CreateTopic", f"{stream}/pr-1.patient", {}),
        ("kafka-cluster:CreateTopic", f"{stream}/pr-1.patient", {}),
        ("kafka-cluster:Connect", base.outputs["platform"]["stream_arn"], {}),
        ("ecs:RegisterTaskDefinition", "*", {}),
        ("secretsmanager:DeleteSecret", secret("preview/pr-1/AUTH_KEY_ENCRYPTION_KEY"), {}),
        ("logs:PutRetentionPolicy", f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/patient-management/pr-1/gateway", {}),
        ("ecr:PutImage", f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/preview/gateway", {}),
        ("logs:CreateLogGroup", f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/patient-management/pr-1/gateway", {}),
    ):
        assert allowed(runs, action, resource, context), action


def test_policy_of_previews_is_their_boundary_too(base: Recording) -> None:
    role = base.one("aws:iam/role:Role", "github-preview")
    made = base.one("aws:iam/policy:Policy", "github-preview-all")
    assert role.inputs["permissionsBoundary"] == made.outputs["arn"]


def test_state_of_previews_lies_where_the_driver_looks_for_it(base: Recording) -> None:
    assert base.one("aws:s3/bucket:Bucket", "preview-state").inputs["bucket"] == state_bucket(ACCOUNT, REGION)
    encryption = base.of("aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration")
    own = base.one("aws:kms/key:Key", "preview-state").outputs["arn"]
    keys = [each.inputs["rules"][0]["applyServerSideEncryptionByDefault"].get("kmsMasterKeyId") for each in encryption]
    assert own in keys
    assert own != base.outputs["platform"]["key_arn"]


def tasks_of(preview: Recording) -> list[Resource]:
    return [role for role in preview.of("aws:iam/role:Role") if role.name.endswith("-task")]


def test_task_of_a_preview_enters_its_own_databases_and_no_others(dev: Recording, preview: Recording) -> None:
    boundary = json.loads(
        next(each for each in dev.of("aws:iam/policy:Policy") if each.name == "patient-dev-preview").inputs["policy"]
    )
    entered = set()
    for role in tasks_of(preview):
        own = [
            json.loads(each.inputs["policy"])
            for each in preview.of("aws:iam/rolePolicy:RolePolicy")
            if each.inputs["role"] == role.id
        ]
        for database in DATABASES:
            resource_id = dev.outputs["platform"]["database_resource_ids"][database]
            for name in (database, f"{database}_owner", f"pr_12_{database}", "master"):
                arn = f"arn:aws:rds-db:us-east-1:123456789012:dbuser:{resource_id}/{name}"
                assert not (allowed(own, "rds-db:connect", arn) and allowed([boundary], "rds-db:connect", arn))
            arn = f"arn:aws:rds-db:us-east-1:123456789012:dbuser:{resource_id}/pr_1_{database}"
            if allowed(own, "rds-db:connect", arn) and allowed([boundary], "rds-db:connect", arn):
                entered.add(database)
    assert entered == set(DATABASES)


def test_boundary_of_previews_opens_what_is_theirs_on_this_base(base: Recording) -> None:
    """By the same names as what it shuts: a name that is nobody's would be shut by itself."""
    boundary = [policy(base, "policy:Policy", "patient-dev-preview")]
    hosts = set(base.outputs["platform"]["database_resource_ids"].values())
    assert {user("pr_1_patient")} == {f"arn:aws:rds-db:{REGION}:{ACCOUNT}:dbuser:{host}/pr_1_patient" for host in hosts}
    for action, resource in (
        ("rds-db:connect", user("pr_1_patient")),
        ("kafka-cluster:ReadData", f"arn:aws:kafka:{REGION}:{ACCOUNT}:topic/patient-dev/id/pr-1.patient"),
        ("kafka-cluster:AlterGroup", f"arn:aws:kafka:{REGION}:{ACCOUNT}:group/patient-dev/id/pr-1.analytics"),
        ("secretsmanager:GetSecretValue", secret("preview/pr-1/AUTH_KEY_ENCRYPTION_KEY")),
    ):
        assert allowed(boundary, action, resource), action


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("rds-db:connect", user("patient")),
        ("rds-db:connect", user("patient_owner")),
        ("rds-db:connect", user("master")),
        ("kafka-cluster:ReadData", f"arn:aws:kafka:{REGION}:{ACCOUNT}:topic/patient-dev/id/patient"),
        ("kafka-cluster:AlterGroup", f"arn:aws:kafka:{REGION}:{ACCOUNT}:group/patient-dev/id/analytics"),
        ("secretsmanager:GetSecretValue", secret("patient-management/prod/AUTH_KEY_ENCRYPTION_KEY")),
        ("secretsmanager:GetSecretValue", secret("rds!db-master")),
        ("s3:GetObject", f"{STATES}/dev.json"),
        ("s3:GetObject", f"{STATES}/pr-1.json"),
        ("lambda:InvokeFunction", f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:patient-management-dev-preview-runner"),
        ("iam:CreateRole", PREVIEW_ROLE),
    ],
)
def test_no_policy_that_a_pull_request_writes_opens_what_its_boundary_shuts(
    base: Recording, action: str, resource: str
) -> None:
    assert not allowed([policy(base, "policy:Policy", "patient-dev-preview")], action, resource)


def test_no_definition_that_a_pull_request_registers_runs_as_the_bases_release(base: Recording) -> None:
    release = base.one("aws:ecs/taskDefinition:TaskDefinition", "app-release").outputs["arn"]
    runners = base.of("aws:lambda/function:Function")
    assert {each.inputs["environment"]["variables"]["DEFINITION"] for each in runners} == {release}
    assert release.endswith(":1")
    assert len(runners) == 2
