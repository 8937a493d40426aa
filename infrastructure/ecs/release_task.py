"""The release: a one-off task inside `pulumi up`, before services roll, started and awaited by a
runner.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from apps.catalogue import DATABASES
from apps.release.secret_places import arns_of
from infrastructure.config import limits
from infrastructure.config.naming import MASTER
from infrastructure.config.platform_outputs import PlatformOutputs
from infrastructure.ecs.task import container, task_definition
from infrastructure.iam.boundaries import AwsAccount, unique
from infrastructure.iam.roles import PermissionsBoundary, Role, role_of_service
from infrastructure.iam.service_roles import (
    ServiceResources,
    database_statements,
    execution_statements,
    repository_arn,
    unwrap,
)

Text = pulumi.Input[str]
CPU, MEMORY_MIB = 256, 512


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskArgs:
    """`masters`: the master secret's ARN by database; empty for a preview, whose code never holds
    it.

    `connections`: the most that a service's role may open; none for a preview, whose roles its
    base's release makes.
    """

    stack: str
    kind: str
    platform: PlatformOutputs
    resources: ServiceResources
    image: Text
    public_url: Text
    command: Sequence[str]
    secrets: Mapping[str, Text]
    masters: Mapping[str, Text]
    log_group_name: str
    log_retention_days: int
    boundary: PermissionsBoundary
    connections: int | None = None
    secrets_version: int = 1


class ReleaseTask(pulumi.ComponentResource):
    """Outputs: `arn` of the definition, `family`, `roles` that the runner hands over."""

    def __init__(
        self, name: str, args: TaskArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("patient:infrastructure:ReleaseTask", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        limits.check_fargate_size(CPU, MEMORY_MIB)
        log = aws.cloudwatch.LogGroup(
            name,
            name=args.log_group_name,
            retention_in_days=args.log_retention_days,
            kms_key_id=args.platform.key_arn,
            opts=child,
        )
        repository = repository_arn(args.image)
        execution = role_of_service(
            f"{name}-execution",
            "ecs-tasks.amazonaws.com",
            {"start": execution_statements(args.resources, repository, log.arn, [])},
            child,
            args.boundary,
        )
        task = role_of_service(
            f"{name}-task",
            "ecs-tasks.amazonaws.com",
            {"work": release_statements(args)},
            child,
            args.boundary,
        )
        self.roles = [execution, task]
        self.family = f"{args.stack}-release"
        self.arn = task_definition(
            name,
            family=self.family,
            cpu=CPU,
            memory_mib=MEMORY_MIB,
            execution=execution,
            task=task,
            container_definitions=container(
                "release",
                image=args.image,
                environment=release_environment(args),
                secrets={},
                log_group=log.name,
                region=args.resources.region,
                command=list(args.command),
            ),
            opts=child,
        ).arn
        self.register_outputs({"arn": self.arn})


def release_environment(args: TaskArgs) -> dict[str, Text]:
    """Returns places, not secrets: the task reads and fills them itself, so that it can also tell
    which are still empty.
    """
    values: dict[str, Text] = {
        "AWS_DEFAULT_REGION": args.resources.region,
        "AWS_REGION": args.resources.region,
        "ENVIRONMENT": args.kind,
        "PUBLIC_URL": args.public_url,
    }
    if args.connections is not None:
        values["RUNTIME_CONNECTIONS"] = str(args.connections)
    if args.secrets_version > 1:
        values["SECRETS_VERSION"] = str(args.secrets_version)
    for database in DATABASES:
        values[f"{database.upper()}_DATABASE_HOST"] = args.platform.database_addresses[database]
    values |= {
        f"{database.upper()}_MASTER_SECRET_ARN": arn for database, arn in args.masters.items()
    }
    values |= {f"{secret}_ARN": place for secret, place in args.secrets.items()}
    return values


def release_statements(args: TaskArgs) -> list[dict[str, Any]]:
    own = pulumi.Output.all(*args.secrets.values()).apply(arns_of)
    statements = [
        *database_statements(DATABASES, args.resources, suffix="_owner"),
        {
            "Sid": "Fill",
            "Effect": "Allow",
            "Action": ["secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue"],
            "Resource": own,
        },
        unwrap(args.resources),
    ]
    if args.masters:
        statements += [
            {
                "Sid": "Administer",
                "Effect": "Allow",
                "Action": "secretsmanager:GetSecretValue",
                "Resource": pulumi.Output.all(*args.masters.values()).apply(unique),
            },
            {
                "Sid": "AdministerByToken",
                "Effect": "Allow",
                "Action": "rds-db:connect",
                "Resource": AwsAccount(args.resources.region, args.resources.account_id).users(
                    args.resources.resource_ids, MASTER
                ),
            },
        ]
    return statements


def invoke(
    name: str, function_name: Text, payload: Mapping[str, Any], opts: pulumi.ResourceOptions
) -> aws.lambda_.Invocation:
    """Invokes a runner on creation, whenever the payload changed, and on deletion.

    A task's definition is part of the payload, never a trigger: a trigger replaces the invocation,
    and the old one's deletion would drop a preview's databases.
    """
    return aws.lambda_.Invocation(
        name,
        function_name=function_name,
        input=pulumi.Output.json_dumps(payload, sort_keys=True),
        lifecycle_scope="CRUD",
        opts=opts,
    )


def arns(roles: Sequence[Role]) -> list[Text]:
    return [role.arn for role in roles]
