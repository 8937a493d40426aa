"""What a deployment from main may do: each thing that the program makes, and nothing of another's.

By evaluation.
"""

import json
from typing import Any

import pytest

from infrastructure.config.files import read_config
from infrastructure.iam.deploy_limits import PASSED_TO
from infrastructure.plan.paper import ACCOUNT, REGION, Paper
from infrastructure.plan.record import record
from infrastructure.recording import Recording, Resource
from tests.infrastructure.aws_calls import TAG, Call, arn, calls
from tests.infrastructure.denied_actions import DENIED_ACTIONS, KEY, OTHERS, ROLE, STATES
from tests.infrastructure.preview.policies import allowed, listed, matches

pytestmark = pytest.mark.infrastructure

# Made by a person: who may come, what bounds roles, and where the provider's identities are
# trusted.
BY_A_PERSON = {"aws:iam/policy:Policy", "aws:iam/openIdConnectProvider:OpenIdConnectProvider"}
KEPT = {
    "kafka-cluster:DeleteTopic", "kafka:DeleteCluster", "kafka:DeleteTopic", "rds:DeleteDBInstance",
    "secretsmanager:DeleteSecret",
}  # fmt: skip
PREVIEWS = f"arn:aws:s3:::patient-management-previews-{ACCOUNT}-{REGION}"
# What no single resource tells: the state, keys in services' hands, and roles that AWS makes.
BESIDE = {
    "s3:GetBucketLocation", "s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:DeleteObject",
    "kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey", "kms:CreateGrant", "kms:RetireGrant",
    "kms:RevokeGrant",
    # Of operators' answers: the smoke test's client.
    "secretsmanager:GetSecretValue",
    "iam:CreateServiceLinkedRole", "ec2:GetManagedPrefixListEntries",
    # Of the previews' repositories alone, which go with the stack.
    "ecr:DeleteRepository",
    # What a promotion is held against.
    "ecr:DescribeImageScanFindings",
    # Of tags and descriptions that change.
    "iam:UpdateRoleDescription", "rds:RemoveTagsFromResource",
}  # fmt: skip


@pytest.fixture(scope="module")
def both(open_dev: Recording, open_prod: Recording) -> dict[str, Recording]:
    return {"dev": open_dev, "prod": open_prod}


def policies(stack: Recording, part: str) -> list[Any]:
    made = [
        each
        for each in stack.of("aws:iam/policy:Policy")
        if each.name.startswith(f"github-{part}-")
    ]
    attached = {
        each.inputs["policyArn"]
        for each in stack.of("aws:iam/rolePolicyAttachment:RolePolicyAttachment")
    }
    assert made
    assert {each.outputs["arn"] for each in made} <= attached
    return [json.loads(each.inputs["policy"]) for each in made]


def boundary(stack: Recording, part: str) -> Resource:
    return stack.one("aws:iam/policy:Policy", f"patient-{stack.stack.name}-{part}")


def is_own(stack: Recording, resource: Resource) -> bool:
    """Whether a deployment makes it, and not a person."""
    role = resource.inputs.get("role") or resource.name
    of_github = resource.type.startswith("aws:iam/") and str(role).startswith("github-")
    made = resource.type.startswith(("aws:", "docker-build:")) and resource.type not in BY_A_PERSON
    return made and not of_github


def wanted(stack: Recording) -> list[tuple[Resource, Call]]:
    return [
        (resource, call)
        for resource in stack.resources
        if is_own(stack, resource)
        for call in calls(stack, resource)
    ]


def kept(stack: Recording, call: Call) -> bool:
    """Where data is protected, a person deletes it."""
    return stack.stack.name == "prod" and call.action in KEPT


@pytest.mark.parametrize("name", ["dev", "prod"])
def test_a_deployment_can_make_keep_and_take_away_all_that_the_program_declares(
    both: dict[str, Recording], name: str
) -> None:
    stack = both[name]
    deploys = policies(stack, "deploy")
    asked = wanted(stack)
    refused = {
        (resource.type, call.action, call.resource)
        for resource, call in asked
        if allowed(deploys, call.action, call.resource, call.context) == kept(stack, call)
    }
    assert len(asked) > 400
    assert refused == set()


def test_a_deployment_may_ask_for_nothing_that_the_program_does_not_need(
    both: dict[str, Recording],
) -> None:
    needed = {call.action for stack in both.values() for _, call in wanted(stack)} | BESIDE
    # What is tagged is untagged too.
    needed |= {action.replace(":TagResource", ":UntagResource") for action in needed}
    idle = {
        pattern
        for stack in both.values()
        for document in policies(stack, "deploy")
        for statement in document["Statement"]
        if statement["Effect"] == "Allow"
        for pattern in listed(statement["Action"])
        if not any(matches(pattern.lower(), action.lower()) for action in needed)
    }
    assert idle == set()


@pytest.mark.parametrize(("action", "resource", "context"), DENIED_ACTIONS)
def test_a_deployment_of_dev_cannot(
    open_dev: Recording, action: str, resource: str, context: Any
) -> None:
    bounded = {"iam:PermissionsBoundary": boundary(open_dev, "app").outputs["arn"]}
    place = open_dev.outputs["platform"]["key_arn"] if resource == "data" else resource
    given = bounded if context == "bounded" else context
    assert not allowed(policies(open_dev, "deploy"), action, place, given)


def test_the_doors_are_shut_by_what_they_say_and_open_to_its_own(open_dev: Recording) -> None:
    """Each denial above has its counterpart, so that none passes by a misspelt name."""
    deploys = policies(open_dev, "deploy")
    bounded = {"iam:PermissionsBoundary": boundary(open_dev, "app").outputs["arn"]}
    own = {f"aws:ResourceTag/{TAG}": "dev"}
    key = open_dev.outputs["platform"]["key_arn"]
    opened: list[tuple[str, str, dict[str, Any]]] = [
        ("iam:CreateRole", ROLE, bounded),
        ("iam:PutRolePermissionsBoundary", ROLE, bounded),
        (
            "iam:CreateRole",
            ROLE,
            {"iam:PermissionsBoundary": boundary(open_dev, "platform").outputs["arn"]},
        ),
        ("iam:PassRole", ROLE, {"iam:PassedToService": "ecs-tasks.amazonaws.com"}),
        ("s3:PutObject", f"{STATES}/stacks/patient-management/dev.json", {}),
        ("s3:PutObject", f"{STATES}/locks/organization/patient-management/dev/1.json", {}),
        ("s3:PutObject", f"{STATES}/history/patient-management/dev/dev-1.history.json", {}),
        ("s3:GetObject", f"{STATES}/meta.yaml", {}),
        ("s3:ListBucket", "arn:aws:s3:::states", {}),
        ("kms:Decrypt", KEY, {"kms:ResourceAliases": ["alias/patient-management/state-dev"]}),
        ("kms:Decrypt", key, {"kms:ViaService": f"secretsmanager.{REGION}.amazonaws.com"}),
        ("kms:CreateGrant", key, {"kms:GrantIsForAWSResource": "true"}),
        ("kms:RetireGrant", key, {}),
        ("ec2:DeleteVpc", arn("ec2", "vpc/vpc-1"), own),
        ("kms:TagResource", KEY, own),
        ("ecr:PutImage", arn("ecr", "repository/patient-management/gateway"), own),
        # As `scripts/preview publish` lays dev's outputs where previews read them.
        ("s3:PutObject", f"{PREVIEWS}/.pulumi/stacks/patient-management/dev.json", {}),
    ]
    assert [call for call in opened if not allowed(deploys, *call)] == []


def test_what_is_anothers_by_name_or_tag_opens_to_the_other(open_prod: Recording) -> None:
    anothers = [
        door
        for door in DENIED_ACTIONS
        if door[2] == OTHERS or ("prod" in door[1] and door[2] != "bounded")
    ]
    deploys = policies(open_prod, "deploy")
    shut = {
        action
        for action, resource, context in anothers
        if not allowed(deploys, action, resource, context)
    }
    assert len(anothers) > 30
    assert shut == KEPT


def test_production_reads_which_images_to_run_and_touches_none(open_prod: Recording) -> None:
    deploys = policies(open_prod, "deploy")
    decrypt = {"kms:ResourceAliases": ["alias/patient-management/state-dev"]}
    assert allowed(deploys, "s3:GetObject", f"{STATES}/stacks/patient-management/dev.json")
    assert allowed(deploys, "kms:Decrypt", KEY, decrypt)
    assert not allowed(deploys, "s3:PutObject", f"{STATES}/stacks/patient-management/dev.json")
    assert not allowed(deploys, "ecr:PutImage", arn("ecr", "repository/patient-management/gateway"))
    for action, where in (
        ("rds:DeleteDBInstance", arn("rds", "db:patient-prod-main")),
        ("kafka:DeleteCluster", arn("kafka", "cluster/patient-prod/1")),
        ("kafka-cluster:DeleteTopic", arn("kafka", "topic/patient-prod/1/patient")),
    ):
        assert not allowed(deploys, action, where, {f"aws:ResourceTag/{TAG}": "prod"})


def test_roles_are_passed_to_the_services_that_take_them_on(both: dict[str, Recording]) -> None:
    trusted = {
        statement["Principal"]["Service"]
        for stack in both.values()
        for role in stack.of("aws:iam/role:Role")
        for statement in json.loads(role.inputs["assumeRolePolicy"])["Statement"]
        if "Service" in statement["Principal"]
    }
    assert trusted == set(PASSED_TO)


def test_without_a_bucket_for_states_no_object_is_in_reach(open_dev: Recording) -> None:
    config = read_config("staging") | {
        "patient-management:github": json.dumps({"repository": "a/b"})
    }
    stack = record("staging", config, Paper(), {"dev": open_dev.outputs})
    asked = json.dumps([policies(stack, "deploy"), policies(stack, "look")])
    assert "s3:PutObject" not in asked
    assert "s3:::/" not in asked


def test_every_policy_fits_into_what_aws_takes(both: dict[str, Recording]) -> None:
    for stack in both.values():
        inline: dict[str, int] = {}
        for each in stack.of("aws:iam/policy:Policy"):
            # AWS counts no white space. On paper the names are shorter than AWS's own.
            assert len("".join(each.inputs["policy"].split())) <= 5_500, each.name
        for each in stack.of("aws:iam/rolePolicy:RolePolicy"):
            role = each.inputs["role"]
            inline[role] = inline.get(role, 0) + len("".join(each.inputs["policy"].split()))
        assert max(inline.values()) <= 9_000, inline


@pytest.mark.parametrize(
    ("action", "resource", "context"),
    [
        ("iam:PutRolePolicy", f"arn:aws:iam::{ACCOUNT}:role/github-deploy-1234567", {}),
        (
            "iam:CreatePolicyVersion",
            f"arn:aws:iam::{ACCOUNT}:policy/patient-management/dev/patient-dev-app-1",
            {},
        ),
        ("iam:AddClientIDToOpenIDConnectProvider", f"arn:aws:iam::{ACCOUNT}:oidc-provider/any", {}),
        ("iam:DeleteRolePermissionsBoundary", ROLE, {}),
        ("secretsmanager:GetSecretValue", arn("secretsmanager", "secret:any"), {}),
        ("kafka-cluster:ReadData", arn("kafka", "topic/any/1/patient"), {}),
        ("rds-db:connect", arn("rds-db", "dbuser:db-1/patient"), {}),
        ("kms:PutKeyPolicy", KEY, {}),
        ("kms:ScheduleKeyDeletion", KEY, {}),
        ("rds:DeleteDBInstance", arn("rds", "db:any"), {f"aws:ResourceTag/{TAG}": "prod"}),
    ],
)
def test_whatever_a_deployments_role_is_given_one_day_stays_shut(
    open_dev: Recording, action: str, resource: str, context: Any
) -> None:
    widest = {"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    assert not allowed([widest, *policies(open_dev, "deploy")], action, resource, context)
    assert allowed([widest], action, resource, context)
