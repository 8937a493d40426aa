"""What the code of a pull request may do in the account while it brings its preview up and takes it away.

Every name ends at its delimiter or is a preview's by tag: `pr-*` is a preview's, whosever it is. Previews are not kept
from each other here, only from everything else; docs/previews.md says so.
"""

from dataclasses import dataclass
from typing import Any

import pulumi

from infrastructure.roles import PREVIEW_PATH, Statement

Text = pulumi.Input[str]
STACK_TAG = "patient-management:stack"
OURS = {"StringLike": {f"aws:ResourceTag/{STACK_TAG}": "pr-*"}}
ASKED = {"StringLike": {f"aws:RequestTag/{STACK_TAG}": "pr-*"}}
PROJECT = "patient-management"


@dataclass(frozen=True, slots=True)
class PreviewReach:
    """Names of the base's. `state_bucket_arn` and `state_key_arn` are the previews' own."""

    region: str
    account_id: Text
    cluster_name: Text
    stream_arn: Text
    data_key_arn: Text
    boundary_arn: Text
    runner_name: Text
    state_bucket_arn: Text
    state_key_arn: Text


def preview_statements(reach: PreviewReach) -> list[Statement]:
    return [*state(reach), *tasks(reach), *doors(reach), *roles(reach), *things(reach), *looks()]


def arn(reach: PreviewReach, service: str, *rest: Text) -> pulumi.Output[str]:
    return pulumi.Output.concat(f"arn:aws:{service}:{reach.region}:", reach.account_id, ":", *rest)


def allow(actions: list[str], resource: Any, condition: dict[str, Any] | None = None) -> Statement:
    return {
        "Effect": "Allow",
        "Action": actions,
        "Resource": resource,
        **({"Condition": condition} if condition else {}),
    }


def state(reach: PreviewReach) -> list[Statement]:
    """Reads the previews' backend, where the base's outputs are shown; writes what is a preview's in it."""
    bucket = reach.state_bucket_arn
    return [
        allow(["s3:ListBucket", "s3:GetBucketLocation"], bucket),
        allow(["s3:GetObject"], pulumi.Output.concat(bucket, "/.pulumi/*")),
        allow(["s3:PutObject", "s3:DeleteObject"], pulumi.Output.concat(bucket, f"/.pulumi/*/{PROJECT}/pr-*")),
        allow(["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey", "kms:DescribeKey"], reach.state_key_arn),
    ]


def tasks(reach: PreviewReach) -> list[Statement]:
    services = arn(reach, "ecs", "service/", reach.cluster_name, "/pr-*")
    return [
        # These three name no resource by their nature.
        allow(
            ["ecs:RegisterTaskDefinition", "ecs:DeregisterTaskDefinition", "ecs:DescribeTaskDefinition"],
            "*",
        ),
        allow(["ecs:CreateService", "ecs:UpdateService", "ecs:DeleteService"], services),
        allow(
            ["ecs:TagResource"],
            [services, arn(reach, "ecs", "task-definition/pr-*")],
        ),
        allow(["lambda:InvokeFunction"], arn(reach, "lambda", "function:", reach.runner_name)),
        allow(["servicediscovery:CreateHttpNamespace", "servicediscovery:TagResource"], "*", ASKED),
        allow(["servicediscovery:DeleteNamespace"], "*", OURS),
    ]


def doors(reach: PreviewReach) -> list[Statement]:
    """A rule on the shared listener, a target group, security groups: made with the tag, changed by it."""
    group, rule = arn(reach, "ec2", "security-group/*"), arn(reach, "ec2", "security-group-rule/*")
    balancing = ["CreateRule", "CreateTargetGroup", "AddTags"]
    made = {"StringLike": {"ec2:CreateAction": "*SecurityGroup*"}}
    return [
        allow([f"elasticloadbalancing:{action}" for action in balancing], "*", ASKED),
        allow(["elasticloadbalancing:Delete*", "elasticloadbalancing:Modify*"], "*", OURS),
        allow(["ec2:CreateSecurityGroup"], group, ASKED),
        allow(["ec2:CreateSecurityGroup"], arn(reach, "ec2", "vpc/*")),
        allow(["ec2:*SecurityGroup*"], group, OURS),
        # Of a group that is ours: the rule itself has no tag when it is asked for.
        allow(["ec2:AuthorizeSecurityGroup*", "ec2:RevokeSecurityGroup*"], rule),
        allow(["ec2:CreateTags"], [group, rule], made),
    ]


def roles(reach: PreviewReach) -> list[Statement]:
    """Only under the previews' path, only within their boundary: a role of any other kind cannot be made or changed."""
    path = pulumi.Output.concat("arn:aws:iam::", reach.account_id, f":role{PREVIEW_PATH}*")
    bounded = {"StringEquals": {"iam:PermissionsBoundary": reach.boundary_arn}}
    return [
        allow(["iam:CreateRole", "iam:PutRolePolicy", "iam:DeleteRolePolicy"], path, bounded),
        allow(["iam:DeleteRole", "iam:Get*", "iam:List*", "iam:TagRole"], path),
        allow(["iam:PassRole"], path, {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}}),
        allow(["iam:ListRoles"], "*"),
    ]


def things(reach: PreviewReach) -> list[Statement]:
    secrets = arn(reach, "secretsmanager", f"secret:{PREVIEW_PATH.strip('/')}/pr-*")
    logs = arn(reach, "logs", f"log-group:/{PROJECT}/pr-*")
    topics = pulumi.Output.from_input(reach.stream_arn).apply(lambda text: text.replace(":cluster/", ":topic/", 1))
    through_secrets = {"StringEquals": {"kms:ViaService": f"secretsmanager.{reach.region}.amazonaws.com"}}
    repositories = arn(reach, "ecr", "repository/preview/*")
    pulls = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    return [
        # All that a thing of its own can be asked.
        allow(["secretsmanager:*"], secrets),
        allow(["logs:*"], logs),
        allow(["kafka:*Topic"], pulumi.Output.concat(topics, "/pr-*")),
        allow(["ecr:*Image", "ecr:*Images", "ecr:*Layer*"], repositories),
        allow(pulls, arn(reach, "ecr", f"repository/{PROJECT}/*")),
        allow(["kms:Decrypt", "kms:GenerateDataKey"], reach.data_key_arn, through_secrets),
        allow(["kafka:ListTopics", "kafka:Describe*"], reach.stream_arn),
    ]


def looks() -> list[Statement]:
    """What names no resource, and tells of names alone."""
    return [
        allow(
            [
                "ec2:DescribeSecurityGroup*",
                "ec2:DescribeVpcs",
                "ec2:DescribeNetworkInterfaces",
                "ecr:DescribeRepositories",
                "ecr:GetAuthorizationToken",
                "ecs:Describe*",
                "ecs:List*",
                "elasticloadbalancing:Describe*",
                "logs:DescribeLogGroups",
                "servicediscovery:Get*",
                "servicediscovery:List*",
                "tag:GetResources",
            ],
            "*",
        )
    ]
