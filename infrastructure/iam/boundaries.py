"""Permissions boundaries: the most that roles may ever do.

A deployment writes the roles' own policies, within these.

A boundary is changed by a person with rights of their own, never by a deployment
(docs/decisions/0603).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infrastructure.config.naming import MASTER, PREVIEW_PATH, STACK_TAG, environment_path
from infrastructure.iam.actions import DATA_KEYS
from infrastructure.iam.roles import PermissionsBoundary, Statement, document
from infrastructure.iam.service_roles import PULL, answers_arn, kafka_arn

Text = pulumi.Input[str]
KAFKA = [
    "kafka-cluster:AlterGroup",
    "kafka-cluster:DescribeGroup",
    "kafka-cluster:DescribeTopic",
    "kafka-cluster:ReadData",
    "kafka-cluster:WriteData",
]


@dataclass(frozen=True, slots=True)
class AwsAccount:
    region: str
    account_id: Text

    def arn(self, service: str, *rest: Text) -> pulumi.Output[str]:
        return pulumi.Output.concat(
            f"arn:aws:{service}:{self.region}:", self.account_id, ":", *rest
        )

    def users(self, resource_ids: Mapping[str, Text], role: str) -> pulumi.Output[list[str]]:
        """Returns the ARNs by which the database role `role` signs in on each instance."""
        return pulumi.Output.all(
            self.account_id, pulumi.Output.all(*resource_ids.values()).apply(unique)
        ).apply(
            lambda both: [
                f"arn:aws:rds-db:{self.region}:{both[0]}:dbuser:{host}/{role}" for host in both[1]
            ]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AppResources:
    """The resources of an environment's app.

    `resource_ids` of RDS and `masters` (ARNs of secrets) are by database.
    """

    key_arn: Text
    stream_arn: Text
    cluster_arn: Text
    cluster_name: Text
    resource_ids: Mapping[str, Text]
    masters: Mapping[str, Text]
    previews: bool


def preview_boundary(
    name: str, account: AwsAccount, resources: AppResources, opts: pulumi.ResourceOptions
) -> pulumi.Output[str]:
    """Returns the ARN of the boundary of all previews on this environment: it allows only resources
    named `pr-*`.
    """
    statements = [
        allow(["rds-db:connect"], account.users(resources.resource_ids, "pr_*")),
        allow(
            ["kafka-cluster:Connect", "kafka-cluster:WriteDataIdempotently"], resources.stream_arn
        ),
        allow(
            KAFKA,
            [
                kafka_arn(resources.stream_arn, "topic", "pr-*"),
                kafka_arn(resources.stream_arn, "group", "pr-*"),
            ],
        ),
        *secrets(
            account,
            resources.key_arn,
            account.arn("secretsmanager", f"secret:{PREVIEW_PATH.strip('/')}/*"),
        ),
        allow(
            ["logs:CreateLogStream", "logs:PutLogEvents"],
            account.arn("logs", "log-group:/patient-management/pr-*"),
        ),
        *images(account, "patient-management", "preview"),
    ]
    return aws.iam.Policy(name, path=PREVIEW_PATH, policy=document(statements), opts=opts).arn


def platform_boundary(
    name: str,
    account: AwsAccount,
    environment: str,
    key_arn: Text,
    *,
    proxies_tls: bool,
    opts: pulumi.ResourceOptions,
) -> PermissionsBoundary:
    """Returns the boundary of roles that AWS services take on: flow logs, RDS monitoring,
    certificates of proxies.
    """
    flows = f"log-group:/patient-management/{environment}/flows"
    writes = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
    statements = [
        allow(writes, [account.arn("logs", flows), account.arn("logs", flows, ":*")]),
        # As AWS's own policy for RDS's monitoring says.
        allow(
            [*writes, "logs:CreateLogGroup", "logs:GetLogEvents", "logs:PutRetentionPolicy"],
            account.arn("logs", "log-group:RDS*"),
        ),
    ]
    if proxies_tls:
        own = {"StringEquals": {f"aws:ResourceTag/{STACK_TAG}": environment}}
        statements += [
            allow(["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", DATA_KEYS], key_arn),
            allow(
                # As AWS's own policy for Service Connect's TLS says.
                [
                    "secretsmanager:CreateSecret",
                    "secretsmanager:DeleteSecret",
                    "secretsmanager:DescribeSecret",
                    "secretsmanager:GetSecretValue",
                    "secretsmanager:PutSecretValue",
                    "secretsmanager:RotateSecret",
                    "secretsmanager:TagResource",
                    "secretsmanager:UpdateSecret",
                    "secretsmanager:UpdateSecretVersionStage",
                ],
                account.arn("secretsmanager", "secret:ecs-sc!*"),
            ),
            allow(
                [
                    "acm-pca:DescribeCertificateAuthority",
                    "acm-pca:GetCertificate",
                    "acm-pca:GetCertificateAuthorityCertificate",
                    "acm-pca:GetCertificateAuthorityCsr",
                    "acm-pca:IssueCertificate",
                ],
                account.arn("acm-pca", "certificate-authority/*"),
                own,
            ),
        ]
    return boundary(name, environment, statements, None, opts)


def app_boundary(
    name: str,
    account: AwsAccount,
    environment: str,
    resources: AppResources,
    opts: pulumi.ResourceOptions,
) -> PermissionsBoundary:
    """Returns the boundary of the roles of services, release and runners: it allows this
    environment's data only.
    """
    users = [
        account.arn("rds-db", "dbuser:", resource_id, f"/{role}")
        for database, resource_id in resources.resource_ids.items()
        for role in (database, f"{database}_owner")
    ]
    in_cluster = {"ArnEquals": {"ecs:cluster": resources.cluster_arn}}
    path = environment_path(environment)
    families = [f"{environment}-*", *(["pr-*-release"] if resources.previews else [])]
    paths = [path, *([PREVIEW_PATH] if resources.previews else [])]
    statements = [
        allow(["rds-db:connect"], users),
        # For the release alone.
        allow(["rds-db:connect"], account.users(resources.resource_ids, MASTER)),
        allow(
            ["kafka-cluster:Connect", "kafka-cluster:WriteDataIdempotently"], resources.stream_arn
        ),
        allow(
            KAFKA,
            [
                kafka_arn(resources.stream_arn, "topic", "*"),
                kafka_arn(resources.stream_arn, "group", "*"),
            ],
        ),
        *secrets(
            account,
            resources.key_arn,
            account.arn("secretsmanager", f"secret:patient-management/{environment}/*"),
        ),
        allow(
            ["secretsmanager:GetSecretValue"],
            pulumi.Output.all(*resources.masters.values()).apply(unique),
        ),
        allow(
            ["logs:CreateLogStream", "logs:PutLogEvents"],
            [
                account.arn("logs", f"log-group:/patient-management/{environment}/*"),
                account.arn("logs", f"log-group:/aws/lambda/patient-management-{environment}-*"),
            ],
        ),
        allow(
            ["logs:FilterLogEvents"],
            account.arn("logs", f"log-group:/patient-management/{environment}/*"),
        ),
        # The runner's, for operators' verbs: the ECS services that it finds, and the secrets of
        # their answers.
        allow(["ecs:ListServices", "ecs:ListTasks"], "*", in_cluster),
        allow(
            ["ecs:DescribeServices"], account.arn("ecs", "service/", resources.cluster_name, "/*")
        ),
        allow(
            ["secretsmanager:CreateSecret", "secretsmanager:DeleteSecret"],
            answers_arn(account.region, account.account_id, environment),
        ),
        allow(["secretsmanager:ListSecrets"], "*"),
        *images(account, "patient-management"),
        allow(
            ["ecs:RunTask"],
            [account.arn("ecs", f"task-definition/{each}:*") for each in families],
            in_cluster,
        ),
        allow(
            ["ecs:DescribeTasks", "ecs:StopTask"],
            account.arn("ecs", "task/", resources.cluster_name, "/*"),
            in_cluster,
        ),
        allow(
            ["iam:PassRole"],
            [
                pulumi.Output.concat("arn:aws:iam::", account.account_id, f":role{each}*")
                for each in paths
            ],
            {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}},
        ),
    ]
    return boundary(name, environment, statements, account.account_id, opts)


def boundary(
    name: str,
    environment: str,
    statements: Sequence[Statement],
    account_id: Text | None,
    opts: pulumi.ResourceOptions,
) -> PermissionsBoundary:
    path = environment_path(environment)
    made = aws.iam.Policy(name, path=path, policy=document(statements), opts=opts)
    return PermissionsBoundary(path, made.arn, account_id)


def unique(arns: Sequence[str]) -> list[str]:
    return sorted(set(arns))


def allow(actions: Sequence[str], resource: object, condition: object = None) -> Statement:
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": resource}
    return {**statement, "Condition": condition} if condition else statement


def secrets(account: AwsAccount, key_arn: Text, own: Text) -> list[Statement]:
    through = {"StringEquals": {"kms:ViaService": f"secretsmanager.{account.region}.amazonaws.com"}}
    return [
        allow(["secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue"], own),
        allow(["kms:Decrypt", "kms:GenerateDataKey"], key_arn, through),
    ]


def images(account: AwsAccount, *prefixes: str) -> list[Statement]:
    return [
        # In any account: promoted images may be in another, whose repository policy says who pulls.
        allow(
            PULL, [f"arn:aws:ecr:{account.region}:*:repository/{prefix}/*" for prefix in prefixes]
        ),
        allow(["ecr:GetAuthorizationToken"], "*"),
    ]
