"""The upper bound of every role: wide enough for what the program's own policies say, and no way
out of its stack.
"""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from infrastructure.config.files import read_config
from infrastructure.plan.paper import Paper
from infrastructure.plan.record import record
from infrastructure.recording import Recording, Resource
from tests.infrastructure.conftest import Account
from tests.infrastructure.preview.policies import Context, allowed, listed

pytestmark = pytest.mark.infrastructure

REGION, ACCOUNT = "us-east-1", "123456789012"
ROLE, POLICY, ATTACHED = (
    "aws:iam/role:Role",
    "aws:iam/rolePolicy:RolePolicy",
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment",
)
STACKS = ("dev", "staging", "prod", "pr-1")


def bound(stacks: dict[str, Recording], role: Resource) -> Any:
    """A preview's lies in its base."""
    arn = role.inputs["permissionsBoundary"]
    made = [each for stack in stacks.values() for each in stack.of("aws:iam/policy:Policy")]
    return json.loads(next(each.inputs["policy"] for each in made if each.outputs["arn"] == arn))


def own(stack: Recording, role: Resource) -> list[dict[str, Any]]:
    attached = [
        of_aws(each.inputs["policyArn"])
        for each in stack.of(ATTACHED)
        if each.inputs["role"] == role.id
    ]
    return [
        *written(stack, role),
        *(statement for document in attached for statement in document["Statement"]),
    ]


def written(stack: Recording, role: Resource) -> list[dict[str, Any]]:
    documents = [
        json.loads(each.inputs["policy"])
        for each in stack.of(POLICY)
        if each.inputs["role"] == role.id
    ]
    return [statement for document in documents for statement in document["Statement"]]


def of_aws(arn: str) -> Any:
    iam = boto3.client("iam", region_name=REGION)
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    return iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]


def asked(statement: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for action in listed(statement["Action"]):
        for resource in listed(statement["Resource"]):
            yield action, resource.replace(":*:*:", f":{REGION}:{ACCOUNT}:", 1)


def fulfilled(statement: dict[str, Any], stack: Recording) -> Context:
    """What the statement's own conditions ask for, on a thing of its own stack."""
    met = {
        key: listed(value)[0]
        for keys in statement.get("Condition", {}).values()
        for key, value in keys.items()
    }
    return {"aws:ResourceTag/patient-management:stack": stack.stack.name, **met}


def placed(action: str, resource: str) -> str:
    # AWS's own policy for proxies' certificates names every authority in one star.
    if resource == "*" and action.startswith("acm-pca:"):
        return f"arn:aws:acm-pca:{REGION}:{ACCOUNT}:certificate-authority/1"
    return resource


@pytest.mark.parametrize("name", STACKS)
def test_no_boundary_takes_what_a_role_of_the_program_needs(
    account: Account, stacks: dict[str, Recording], name: str
) -> None:
    stack = stacks[name]
    lost = {
        (role.name, action, resource)
        for role in stack.of(ROLE)
        for statement in own(stack, role)
        for action, resource in asked(statement)
        if not allowed(
            [bound(stacks, role)], action, placed(action, resource), fulfilled(statement, stack)
        )
    }
    assert lost == set()


@pytest.mark.parametrize("name", STACKS)
def test_every_role_has_a_boundary_and_its_stacks_path(
    stacks: dict[str, Recording], name: str
) -> None:
    path = "/preview/" if name == "pr-1" else f"/patient-management/{name}/"
    for role in stacks[name].of(ROLE):
        assert role.inputs["path"] == path, role.name
        assert role.inputs["permissionsBoundary"].rpartition("/")[0].endswith(path.rstrip("/")), (
            role.name
        )


def test_what_a_role_may_be_given_ends_at_its_environment(stacks: dict[str, Recording]) -> None:
    """Whatever a deployment of dev writes into its roles' policies, prod's data and everything else
    stay shut.
    """
    dev, prod = stacks["dev"], stacks["prod"]
    bounds = {json.dumps(bound(stacks, role)) for role in dev.of(ROLE)}
    assert len(bounds) == 2
    platform = prod.outputs["platform"]
    key, stream = platform["key_arn"], platform["stream_arn"]
    # Moto gives every instance one id.
    user = f"arn:aws:rds-db:{REGION}:{ACCOUNT}:dbuser:db-OFPRODUCTION/patient"
    (secret,) = {
        each.outputs["arn"]
        for each in prod.of("aws:secretsmanager/secret:Secret")
        if "auth-key-encryption-key" in each.name
    }
    through = {"kms:ViaService": f"secretsmanager.{REGION}.amazonaws.com"}
    master = prod.of("aws:rds/instance:Instance")[0].outputs["masterUserSecrets"][0]["secretArn"]
    tasks = {
        "ecs:cluster": platform["cluster_arn"],
        "iam:PassedToService": "ecs-tasks.amazonaws.com",
    }
    for text in bounds:
        for action, resource, context in (
            ("rds-db:connect", user, {}),
            ("kafka-cluster:Connect", stream, {}),
            ("kafka-cluster:ReadData", stream.replace(":cluster/", ":topic/") + "/patient", {}),
            ("secretsmanager:GetSecretValue", secret, {}),
            ("secretsmanager:GetSecretValue", master, {}),
            ("kms:Decrypt", key, through),
            ("kms:Decrypt", dev.outputs["platform"]["key_arn"], {}),
            (
                "logs:FilterLogEvents",
                f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/patient-management/prod/release:*",
                {},
            ),
            (
                "ecs:RunTask",
                f"arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/prod-release:1",
                tasks,
            ),
            ("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/patient-management/prod/x", tasks),
            ("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/github-deploy-1", tasks),
            ("iam:CreateRole", f"arn:aws:iam::{ACCOUNT}:role/patient-management/dev/x", {}),
            ("sts:AssumeRole", f"arn:aws:iam::{ACCOUNT}:role/anything", {}),
            ("s3:GetObject", "arn:aws:s3:::states/.pulumi/stacks/patient-management/prod.json", {}),
            (
                "ecr:PutImage",
                f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/patient-management/gateway",
                {},
            ),
        ):
            assert not allowed([json.loads(text)], action, resource, context), action


@pytest.mark.parametrize("name", STACKS)
def test_the_data_key_opens_through_aws_services_only(
    account: Account, stacks: dict[str, Recording], name: str
) -> None:
    """Proxies' certificates are the one exception: ECS opens them in its role's name."""
    stack = stacks[name]
    key = stacks["dev" if name == "pr-1" else name].outputs["platform"]["key_arn"]
    direct = {
        role.name
        for role in stack.of(ROLE)
        if allowed([{"Statement": own(stack, role)}], "kms:Decrypt", key)
    }
    assert direct == ({f"patient-{name}-connect"} if name in ("staging", "prod") else set())


def test_what_another_account_promotes_may_be_pulled(open_dev: Recording) -> None:
    elsewhere = json.loads(json.dumps(open_dev.outputs).replace(ACCOUNT, "210987654321"))
    prod = record("prod", read_config("prod"), Paper(), {"dev": elsewhere})
    pulls = [
        (statement["Resource"], bound({"prod": prod}, role))
        for role in prod.of(ROLE)
        for statement in written(prod, role)
        if "ecr:BatchGetImage" in listed(statement["Action"])
    ]
    assert pulls
    for (repository,), document in pulls:
        assert ":210987654321:" in repository
        assert allowed([document], "ecr:BatchGetImage", repository)
