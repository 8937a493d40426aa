"""What the code of a pull request cannot reach, door by door, by IAM; the runner's are in
test_runner_doors.py.
"""

import json
from typing import Any

import pytest

from apps.catalogue import DATABASES
from infrastructure.config.naming import PROJECT, state_bucket
from infrastructure.iam.deploy_policy import DEPLOY_PARTS
from infrastructure.plan.paper import ACCOUNT, REGION
from infrastructure.recording import Recording, Resource
from tests.infrastructure.aws_calls import SUFFIX, arn
from tests.infrastructure.preview.denied_actions import (
    ASKED,
    BOUNDARY,
    GROUP,
    NAMESPACE,
    NOBODYS,
    OURS,
    PREVIEW_ROLE,
    PULL_REQUESTS,
    TARGETS,
    TASKS,
    THROUGH_SECRETS,
    names,
)
from tests.infrastructure.preview.policies import allowed, widened

pytestmark = pytest.mark.infrastructure

OWN_SECRET = arn("secretsmanager", "secret:preview/pr-1/AUTH_KEY_ENCRYPTION_KEY-a1b2c3")
OWN_LOG = arn("logs", f"log-group:/{PROJECT}/pr-1/gateway")


@pytest.fixture(scope="module")
def base(open_dev: Recording) -> Recording:
    return open_dev


def policy(recording: Recording, kind: str, name: str) -> Any:
    return json.loads(recording.one(f"aws:iam/{kind}", name).inputs["policy"])


@pytest.fixture(scope="module")
def runs(base: Recording) -> list[Any]:
    """What a pull request's workflow may do."""
    return [policy(base, "policy:Policy", "github-preview-all")]


@pytest.fixture(scope="module")
def known(base: Recording, open_prod: Recording) -> dict[str, str]:
    return names(base, open_prod)


@pytest.fixture(scope="module")
def everybodys(base: Recording, open_prod: Recording) -> list[Any]:
    """Each policy and boundary of dev and prod."""
    return [
        json.loads(each.inputs["policy"])
        for stack in (base, open_prod)
        for kind in ("policy:Policy", "rolePolicy:RolePolicy")
        for each in stack.of(f"aws:iam/{kind}")
    ]


@pytest.mark.parametrize(("action", "resource", "context"), PULL_REQUESTS)
def test_pull_requests_workflow_cannot(
    runs: list[Any], known: dict[str, str], action: str, resource: str, context: dict[str, str]
) -> None:
    assert not allowed(runs, action, resource.format(**known), context)


def test_each_door_opens_where_somebodys_statement_is_widened(
    everybodys: list[Any], known: dict[str, str]
) -> None:
    """So that none is shut by a misspelt action alone.

    Names are the recordings'; contexts open what is a preview's.
    """
    wide = [widened(document) for document in everybodys]
    shut = {
        action
        for action, resource, context in (*PULL_REQUESTS, *BOUNDARY)
        if not allowed(wide, action, resource.format(**known), context)
    }
    assert shut == NOBODYS


def test_the_states_that_are_out_of_reach_are_where_deployments_have_them(
    base: Recording, open_prod: Recording, known: dict[str, str]
) -> None:
    for stack in (base, open_prod):
        deploys = [policy(stack, "policy:Policy", f"github-deploy-{part}") for part in DEPLOY_PARTS]
        assert allowed(deploys, "s3:GetObject", f"{known['states']}/{stack.stack.name}.json")


def test_pull_requests_workflow_can_do_its_work(
    base: Recording, runs: list[Any], known: dict[str, str]
) -> None:
    boundary = {"iam:PermissionsBoundary": known["boundary"]}
    for action, resource, context in (
        ("s3:GetObject", "{shown}/dev.json", {}),
        ("s3:PutObject", "{shown}/pr-1.json", {}),
        ("s3:PutObject", "{previews}/locks/organization/patient-management/pr-1/x.json", {}),
        ("s3:PutObject", "{previews}/history/patient-management/pr-1/pr-1-1.history.json", {}),
        ("kms:Decrypt", "{key}", THROUGH_SECRETS),
        ("lambda:InvokeFunction", "{runner_of_previews}", {}),
        # As Pulumi does.
        ("lambda:InvokeFunction", "{runner_of_previews}:$LATEST", {}),
        ("ecs:CreateService", arn("ecs", f"service/{{cluster}}/pr-1-gateway{SUFFIX}"), {}),
        ("elasticloadbalancing:CreateRule", "{listener}", ASKED),
        ("elasticloadbalancing:AddTags", "{rule}", ASKED),
        ("elasticloadbalancing:CreateTargetGroup", TARGETS, ASKED),
        ("elasticloadbalancing:AddTags", TARGETS, ASKED),
        ("elasticloadbalancing:DeleteTargetGroup", TARGETS, OURS),
        ("servicediscovery:CreateHttpNamespace", "*", ASKED),
        ("servicediscovery:TagResource", NAMESPACE, ASKED),
        ("servicediscovery:DeleteNamespace", NAMESPACE, OURS),
        ("ec2:CreateSecurityGroup", GROUP, ASKED),
        ("ec2:CreateTags", GROUP, {"ec2:CreateAction": "CreateSecurityGroup"}),
        ("elasticloadbalancing:DeleteRule", "{rule}", OURS),
        ("ec2:AuthorizeSecurityGroupIngress", GROUP, OURS),
        ("iam:CreateRole", PREVIEW_ROLE, boundary),
        ("iam:PutRolePolicy", PREVIEW_ROLE, boundary),
        ("iam:PassRole", PREVIEW_ROLE, TASKS),
        ("secretsmanager:CreateSecret", OWN_SECRET, {}),
        ("kafka:CreateTopic", "{topic}/pr-1.patient", {}),
        ("kafka-cluster:CreateTopic", "{topic}/pr-1.patient", {}),
        ("kafka-cluster:Connect", base.outputs["platform"]["stream_arn"], {}),
        ("ecs:RegisterTaskDefinition", "*", {}),
        ("secretsmanager:DeleteSecret", OWN_SECRET, {}),
        ("logs:PutRetentionPolicy", OWN_LOG, {}),
        ("ecr:PutImage", arn("ecr", "repository/preview/gateway"), {}),
        ("logs:CreateLogGroup", OWN_LOG, {}),
    ):
        assert allowed(runs, action, resource.format(**known), context), action


def test_policy_of_previews_is_their_boundary_too(base: Recording) -> None:
    role = base.one("aws:iam/role:Role", "github-preview")
    made = base.one("aws:iam/policy:Policy", "github-preview-all")
    assert role.inputs["permissionsBoundary"] == made.outputs["arn"]


def test_state_of_previews_lies_where_the_driver_looks_for_it(base: Recording) -> None:
    assert base.one("aws:s3/bucket:Bucket", "preview-state").inputs["bucket"] == state_bucket(
        ACCOUNT, REGION
    )
    encryption = base.of(
        "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
    )
    own = base.one("aws:kms/key:Key", "preview-state").outputs["arn"]
    keys = [
        each.inputs["rules"][0]["applyServerSideEncryptionByDefault"].get("kmsMasterKeyId")
        for each in encryption
    ]
    assert own in keys
    assert own != base.outputs["platform"]["key_arn"]


def tasks_of(preview: Recording) -> list[Resource]:
    return [role for role in preview.of("aws:iam/role:Role") if role.name.endswith("-task")]


def test_task_of_a_preview_enters_its_own_databases_and_no_others(
    dev: Recording, preview: Recording
) -> None:
    boundary = json.loads(
        next(
            each for each in dev.of("aws:iam/policy:Policy") if each.name == "patient-dev-preview"
        ).inputs["policy"]
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
                assert not (
                    allowed(own, "rds-db:connect", arn)
                    and allowed([boundary], "rds-db:connect", arn)
                )
            arn = f"arn:aws:rds-db:us-east-1:123456789012:dbuser:{resource_id}/pr_1_{database}"
            if allowed(own, "rds-db:connect", arn) and allowed([boundary], "rds-db:connect", arn):
                entered.add(database)
    assert entered == set(DATABASES)


def test_boundary_of_previews_opens_what_is_theirs_on_this_base(
    base: Recording, known: dict[str, str]
) -> None:
    """By the same names as what it shuts."""
    boundary = [policy(base, "policy:Policy", "patient-dev-preview")]
    assert set(base.outputs["platform"]["database_resource_ids"].values()) == {
        known["user"].rpartition(":")[2]
    }
    for action, resource in (
        ("rds-db:connect", "{user}/pr_1_patient"),
        ("kafka-cluster:ReadData", "{topic}/pr-1.patient"),
        ("kafka-cluster:AlterGroup", "{group}/pr-1.analytics"),
        ("secretsmanager:GetSecretValue", OWN_SECRET),
    ):
        assert allowed(boundary, action, resource.format(**known)), action


@pytest.mark.parametrize(("action", "resource", "context"), BOUNDARY)
def test_no_policy_that_a_pull_request_writes_opens_what_its_boundary_shuts(
    base: Recording, known: dict[str, str], action: str, resource: str, context: dict[str, str]
) -> None:
    assert not allowed(
        [policy(base, "policy:Policy", "patient-dev-preview")],
        action,
        resource.format(**known),
        context,
    )


def test_no_definition_that_a_pull_request_registers_runs_as_the_bases_release(
    base: Recording,
) -> None:
    release = base.one("aws:ecs/taskDefinition:TaskDefinition", "app-release").outputs["arn"]
    runners = base.of("aws:lambda/function:Function")
    assert {each.inputs["environment"]["variables"]["DEFINITION"] for each in runners} == {release}
    assert release.endswith(":1")
    assert len(runners) == 2
