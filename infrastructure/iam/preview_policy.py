"""The policy of a pull request's code while it brings its preview up and takes it down.

Every name ends at its delimiter or is a preview's by tag: `pr-*` is a preview's, whosever it is.
Previews are not kept from each other here, only from everything else; docs/previews.md says so.
"""

from dataclasses import dataclass

import pulumi

from infrastructure.config.naming import PREVIEW_PATH, PROJECT, STACK_TAG
from infrastructure.iam.boundaries import AwsAccount, allow
from infrastructure.iam.roles import Statement
from infrastructure.iam.service_roles import PULL, kafka_arn

Text = pulumi.Input[str]
OURS = {"StringLike": {f"aws:ResourceTag/{STACK_TAG}": "pr-*"}}
ASKED = {"StringLike": {f"aws:RequestTag/{STACK_TAG}": "pr-*"}}
# Only resources without this tag, or with a preview's, may be tagged: no other resource can be
# taken over so.
TAGGED = {**ASKED, "StringLikeIfExists": {f"aws:ResourceTag/{STACK_TAG}": "pr-*"}}


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewResources:
    """Names of the base's. `state_bucket_arn` and `state_key_arn` are the previews' own.

    `connect_role_arn`: by which ECS gives proxies their certificates, where the base has TLS
    between services.
    """

    region: str
    account_id: Text
    cluster_name: Text
    listener_arn: Text
    stream_arn: Text
    data_key_arn: Text
    boundary_arn: Text
    runner_name: Text
    state_bucket_arn: Text
    state_key_arn: Text
    connect_role_arn: Text | None = None


def preview_statements(resources: PreviewResources) -> list[Statement]:
    return [
        *state_statements(resources),
        *named_statements(resources),
        *network_statements(resources),
        *role_statements(resources),
        *unnamed_statements(),
    ]


def arn(resources: PreviewResources, service: str, *rest: Text) -> pulumi.Output[str]:
    return AwsAccount(resources.region, resources.account_id).arn(service, *rest)


def state_statements(resources: PreviewResources) -> list[Statement]:
    """Returns the rights on the previews' state: to read all of it and to write what is a
    preview's.
    """
    bucket = resources.state_bucket_arn
    return [
        allow(["s3:ListBucket", "s3:GetBucketLocation"], bucket),
        allow(["s3:GetObject"], pulumi.Output.concat(bucket, "/.pulumi/*")),
        allow(
            ["s3:PutObject", "s3:DeleteObject"],
            pulumi.Output.concat(bucket, f"/.pulumi/*/{PROJECT}/pr-*"),
        ),
        allow(
            ["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey", "kms:DescribeKey"],
            resources.state_key_arn,
        ),
    ]


def named_statements(resources: PreviewResources) -> list[Statement]:
    """Returns the rights on resources whose ARN has a preview's name.

    One statement, for IAM counts characters.
    """
    own = [
        arn(resources, "ecs", "service/", resources.cluster_name, "/pr-*"),
        arn(resources, "ecs", "task-definition/pr-*"),
        arn(resources, "ecr", "repository/preview/*"),
        # Pulumi calls it by a qualifier, `$LATEST`, which is a name of its own to IAM.
        *(
            arn(resources, "lambda", "function:", resources.runner_name, version)
            for version in ("", ":*")
        ),
        arn(resources, "logs", f"log-group:/{PROJECT}/pr-*"),
        arn(resources, "secretsmanager", f"secret:{PREVIEW_PATH.strip('/')}/pr-*"),
        kafka_arn(resources.stream_arn, "topic", "pr-*"),
    ]
    actions = [
        "ecr:*Image*",
        "ecr:*Layer*",
        "ecs:*eService",
        "ecs:TagResource",
        # MSK makes a topic in its caller's name. Nothing here reads or writes what is in one.
        "kafka-cluster:*Topic*",
        "kafka:*Topic",
        "lambda:InvokeFunction",
        "logs:*KmsKey",
        "logs:*Log*",
        "logs:*RetentionPolicy",
        "logs:*Tag*",
        "secretsmanager:*Secret*",
        "secretsmanager:GetResourcePolicy",
        "secretsmanager:TagResource",
    ]
    through_secrets = {
        "StringEquals": {"kms:ViaService": f"secretsmanager.{resources.region}.amazonaws.com"}
    }
    return [
        allow(actions, own),
        allow(PULL, arn(resources, "ecr", f"repository/{PROJECT}/*")),
        allow(["kms:Decrypt", "kms:GenerateDataKey"], resources.data_key_arn, through_secrets),
        allow(
            ["kafka:ListTopics", "kafka:Describe*", "kafka-cluster:Connect"], resources.stream_arn
        ),
        allow(
            ["servicediscovery:CreateHttpNamespace", "servicediscovery:TagResource"], "*", TAGGED
        ),
        allow(["servicediscovery:DeleteNamespace"], "*", OURS),
    ]


def network_statements(resources: PreviewResources) -> list[Statement]:
    """Returns the rights on listener rules, target groups and security groups: created with the
    tag, changed by it.
    """
    group, rule = (
        arn(resources, "ec2", "security-group/*"),
        arn(resources, "ec2", "security-group-rule/*"),
    )
    listener = pulumi.Output.from_input(resources.listener_arn)
    entries = listener.apply(lambda text: text.replace(":listener/", ":listener-rule/", 1) + "/*")
    targets = arn(resources, "elasticloadbalancing", "targetgroup/pr-*")
    made = {"StringLike": {"ec2:CreateAction": "*SecurityGroup*"}}
    return [
        # Which host a rule takes is nothing that IAM can see.
        allow(["elasticloadbalancing:CreateRule"], listener, ASKED),
        allow(["elasticloadbalancing:CreateTargetGroup"], targets, ASKED),
        allow(["elasticloadbalancing:AddTags"], [entries, targets], TAGGED),
        allow(
            ["elasticloadbalancing:Delete*", "elasticloadbalancing:Modify*"],
            [entries, targets],
            OURS,
        ),
        allow(["ec2:CreateSecurityGroup"], group, ASKED),
        allow(["ec2:*SecurityGroup*"], group, OURS),
        # In whatever network; of a group that is ours: the rule itself has no tag when it is asked
        # for.
        allow(
            ["ec2:CreateSecurityGroup", "ec2:*SecurityGroup*es*"],
            [arn(resources, "ec2", "vpc/*"), rule],
        ),
        allow(["ec2:CreateTags"], [group, rule], made),
    ]


def role_statements(resources: PreviewResources) -> list[Statement]:
    """Returns the rights on roles: under the previews' path and within their boundary only."""
    path = pulumi.Output.concat("arn:aws:iam::", resources.account_id, f":role{PREVIEW_PATH}*")
    bounded = {"StringEquals": {"iam:PermissionsBoundary": resources.boundary_arn}}
    return [
        allow(["iam:CreateRole", "iam:PutRolePolicy", "iam:DeleteRolePolicy"], path, bounded),
        allow(["iam:DeleteRole", "iam:Get*", "iam:List*", "iam:TagRole"], path),
        passed(path, "ecs-tasks.amazonaws.com"),
        *(
            [passed(resources.connect_role_arn, "ecs.amazonaws.com")]
            if resources.connect_role_arn is not None
            else []
        ),
    ]


def passed(role_arn: Text, service: str) -> Statement:
    return allow(["iam:PassRole"], role_arn, {"StringEquals": {"iam:PassedToService": service}})


def unnamed_statements() -> list[Statement]:
    """Returns the rights to actions that take no resource."""
    return [
        allow(
            [
                "ec2:Describe*",
                "ecr:DescribeRepositories",
                "ecr:GetAuthorizationToken",
                # A definition alone runs nothing: that takes a service, and the right to hand over
                # its roles.
                "ecs:*TaskDefinition",
                "ecs:Describe*",
                "ecs:List*",
                "elasticloadbalancing:Describe*",
                "iam:ListRoles",
                "logs:DescribeLogGroups",
                "servicediscovery:Get*",
                "servicediscovery:List*",
                "tag:GetResources",
            ],
            "*",
        )
    ]
