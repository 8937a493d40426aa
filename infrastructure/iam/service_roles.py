"""What each service's role may do: only what its catalogue entry needs, on the resources that are
its own.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from apps.catalogue import TOPICS, Service
from apps.release.secret_places import arns_of
from apps.verbs import VERBS

Statement = dict[str, Any]
Text = pulumi.Input[str]
PULL = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceResources:
    """The names by which this app's things go: a preview's differ from its base's.

    `answers_arn`: a pattern for the secrets of operators' answers; None in a preview, which has no
    verbs. `role` turns a database of the catalogue into the role that signs in, `topic` and `group`
    into full Kafka names.
    """

    region: str
    account_id: Text
    key_arn: Text
    stream_arn: Text
    resource_ids: Mapping[str, Text]
    role: Callable[[str], str]
    topic: Callable[[str], str]
    group: Callable[[str], str]
    answers_arn: Text | None = None


def answers_arn(region: str, account_id: Text, environment: str) -> pulumi.Output[str]:
    """Returns a pattern for the secrets that carry operators' answers."""
    return pulumi.Output.concat(
        f"arn:aws:secretsmanager:{region}:",
        account_id,
        f":secret:patient-management/{environment}/answers/*",
    )


def task_statements(entry: Service, resources: ServiceResources) -> list[Statement]:
    return [
        *database_statements(entry.databases, resources),
        *stream_statements(entry, resources),
        *answer_statements(entry, resources),
    ]


def answer_statements(entry: Service, resources: ServiceResources) -> list[Statement]:
    """Lets a service write an operator's answer into the secret that the runner made for it."""
    if resources.answers_arn is None or not any(
        verb.secret and entry.name in verb.services for verb in VERBS.values()
    ):
        return []
    return [
        {
            "Sid": "Answers",
            "Effect": "Allow",
            "Action": "secretsmanager:PutSecretValue",
            "Resource": resources.answers_arn,
        },
        unwrap(resources),
    ]


def database_statements(
    databases: Sequence[str], resources: ServiceResources, *, suffix: str = ""
) -> list[Statement]:
    """Allows IAM database authentication: one instance, one role; no pattern."""
    if not databases:
        return []
    users = [
        pulumi.Output.concat(
            f"arn:aws:rds-db:{resources.region}:",
            resources.account_id,
            ":dbuser:",
            resources.resource_ids[database],
            "/",
            resources.role(database) + suffix,
        )
        for database in databases
    ]
    return [{"Sid": "Databases", "Effect": "Allow", "Action": "rds-db:connect", "Resource": users}]


def stream_statements(entry: Service, resources: ServiceResources) -> list[Statement]:
    if not entry.uses_broker:
        return []
    connect = ["kafka-cluster:Connect"]
    statements: list[Statement] = []
    if entry.produces:
        connect.append("kafka-cluster:WriteDataIdempotently")
        statements.append(
            {
                "Sid": "Produce",
                "Effect": "Allow",
                "Action": ["kafka-cluster:DescribeTopic", "kafka-cluster:WriteData"],
                "Resource": [
                    kafka_arn(resources.stream_arn, "topic", resources.topic(TOPICS[name].name))
                    for name in entry.produces
                ],
            }
        )
    if entry.consumes:
        statements += [
            {
                "Sid": "Consume",
                "Effect": "Allow",
                "Action": ["kafka-cluster:DescribeTopic", "kafka-cluster:ReadData"],
                "Resource": [
                    kafka_arn(resources.stream_arn, "topic", resources.topic(TOPICS[name].name))
                    for name in entry.consumes
                ],
            },
            {
                "Sid": "Group",
                "Effect": "Allow",
                "Action": ["kafka-cluster:AlterGroup", "kafka-cluster:DescribeGroup"],
                "Resource": [kafka_arn(resources.stream_arn, "group", resources.group(entry.name))],
            },
        ]
    return [
        {"Sid": "Stream", "Effect": "Allow", "Action": connect, "Resource": [resources.stream_arn]},
        *statements,
    ]


def topic_arns(resources: ServiceResources, names: Sequence[str]) -> list[pulumi.Output[str]]:
    return [
        kafka_arn(resources.stream_arn, "topic", resources.topic(TOPICS[name].name))
        for name in names
    ]


def kafka_arn(stream_arn: Text, kind: str, name: str) -> pulumi.Output[str]:
    """Turns `arn:aws:kafka:...:cluster/<name>/<uuid>` into `...:topic/<name>/<uuid>/<topic>`."""
    return pulumi.Output.from_input(stream_arn).apply(
        lambda arn: f"{arn.replace(':cluster/', f':{kind}/', 1)}/{name}"
    )


def execution_statements(
    resources: ServiceResources,
    repository_arn: Text,
    log_group_arn: Text,
    secret_places: Sequence[Text],
) -> list[Statement]:
    """Returns what ECS does before the service runs: pull this image, open this log, read
    these secrets.
    """
    statements: list[Statement] = [
        # It names no resource by its nature.
        {
            "Sid": "Registry",
            "Effect": "Allow",
            "Action": "ecr:GetAuthorizationToken",
            "Resource": "*",
        },
        {
            "Sid": "Image",
            "Effect": "Allow",
            "Action": PULL,
            "Resource": [repository_arn],
        },
        {
            "Sid": "Log",
            "Effect": "Allow",
            "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
            "Resource": [pulumi.Output.concat(log_group_arn, ":*")],
        },
    ]
    if secret_places:
        statements += [
            {
                "Sid": "Secrets",
                "Effect": "Allow",
                "Action": "secretsmanager:GetSecretValue",
                "Resource": pulumi.Output.all(*secret_places).apply(arns_of),
            },
            unwrap(resources),
        ]
    return statements


def unwrap(resources: ServiceResources) -> Statement:
    """Returns the data key, but only on Secrets Manager's behalf."""
    return {
        "Sid": "Key",
        "Effect": "Allow",
        "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
        "Resource": [resources.key_arn],
        "Condition": {
            "StringEquals": {"kms:ViaService": f"secretsmanager.{resources.region}.amazonaws.com"}
        },
    }


def repository_arn(ref: pulumi.Input[str]) -> pulumi.Output[str]:
    """Returns the ARN of the account where the image lies:
    `<account>.dkr.ecr.<region>.amazonaws.com/<name>:<tag>@sha256:...`.
    """
    return pulumi.Output.from_input(ref).apply(arn_of_image)


def arn_of_image(ref: str) -> str:
    found = re.match(r"(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com/([a-z0-9/._-]+)[@:]", ref)
    if not found:
        raise ValueError(f"{ref} is no image in ECR")
    account, region, name = found.groups()
    return f"arn:aws:ecr:{region}:{account}:repository/{name}"
