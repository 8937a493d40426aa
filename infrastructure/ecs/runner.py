"""The Lambda function that starts the release's task and operators' verbs, and waits for services:
its role, its archive, its schedule.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pulumi
import pulumi_aws as aws

from apps.verbs import VERBS
from infrastructure.config.files import ROOT
from infrastructure.config.platform_outputs import PlatformOutputs
from infrastructure.iam.boundaries import AwsAccount, allow
from infrastructure.iam.roles import PermissionsBoundary, role_of_service
from infrastructure.iam.service_roles import answers_arn

Text = pulumi.Input[str]
LAMBDA_SECONDS = 900
# All that the function imports beside the standard library and boto3.
ARCHIVE = (
    "apps/operations.py",
    "apps/verbs.py",
    "infrastructure/runner/handler.py",
    "infrastructure/runner/steady.py",
    "infrastructure/runner/tasks.py",
    "infrastructure/runner/verbs.py",
)
# How often answers that nobody read are deleted: within an hour, with ANSWER_LIFE in
# infrastructure/runner/verbs.py.
EXPIRY_SCHEDULE = "rate(15 minutes)"
# The services that run verbs on AWS.
OPERATED = tuple(
    sorted({name for verb in VERBS.values() if "aws" in verb.places for name in verb.services})
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerArgs:
    """`definition_arn`: the release's.

    `families`: those of the releases that the function may start. `passes`: ARNs or patterns of the
    roles that it hands to them. `operates`: the environment whose services' verbs it runs; None for
    the previews' runner.
    """

    mode: str
    function_name: str
    region: str
    platform: PlatformOutputs
    definition_arn: Text
    families: Sequence[str]
    release_log_name: str
    passes: Sequence[Text]
    log_retention_days: int
    boundary: PermissionsBoundary
    operates: str | None = None


class Runner(pulumi.ComponentResource):
    """Output: `function_name`, known once everything that the function needs is there."""

    def __init__(
        self, name: str, args: RunnerArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("patient:infrastructure:Runner", name, None, opts)
        self.child = pulumi.ResourceOptions(parent=self)
        log = aws.cloudwatch.LogGroup(
            name,
            name=f"/aws/lambda/{args.function_name}",
            retention_in_days=args.log_retention_days,
            kms_key_id=args.platform.key_arn,
            opts=self.child,
        )
        statements = [*runner_statements(args, log.arn), *operator_statements(args)]
        # Lambda names no account when it takes a role on.
        boundary = replace(args.boundary, account_id=None)
        role = role_of_service(
            name, "lambda.amazonaws.com", {"run": statements}, self.child, boundary
        )
        files = {file: pulumi.FileAsset(str(ROOT / file)) for file in ARCHIVE}

        self.function = aws.lambda_.Function(
            name,
            name=args.function_name,
            runtime="python3.13",
            architectures=["arm64"],
            handler="infrastructure.runner.handler.handler",
            code=pulumi.AssetArchive({**files}),
            role=role.arn,
            timeout=LAMBDA_SECONDS,
            memory_size=256,
            environment=aws.lambda_.FunctionEnvironmentArgs(variables=runner_variables(args)),
            opts=pulumi.ResourceOptions.merge(
                self.child, pulumi.ResourceOptions(depends_on=[log, *role.policies])
            ),
        )
        if args.operates is not None:
            self.expire_answers(name, f"{args.function_name}-answers")
        self.function_name = self.function.name
        self.register_outputs({"function_name": self.function_name})

    def expire_answers(self, name: str, rule_name: str) -> None:
        """Has the function delete answers that nobody read."""
        rule = aws.cloudwatch.EventRule(
            name,
            name=rule_name,
            description="Deletes operators' answers that nobody read",
            schedule_expression=EXPIRY_SCHEDULE,
            opts=self.child,
        )
        permission = aws.lambda_.Permission(
            name,
            function=self.function.name,
            action="lambda:InvokeFunction",
            principal="events.amazonaws.com",
            source_arn=rule.arn,
            opts=self.child,
        )
        aws.cloudwatch.EventTarget(
            name,
            rule=rule.name,
            arn=self.function.arn,
            input=pulumi.Output.json_dumps({"action": "expire"}),
            opts=pulumi.ResourceOptions.merge(
                self.child, pulumi.ResourceOptions(depends_on=[permission])
            ),
        )


def runner_variables(args: RunnerArgs) -> dict[str, Text]:
    platform = args.platform
    variables: dict[str, Text] = {
        "CLUSTER": platform.cluster_arn,
        "DEFINITION": args.definition_arn,
        "LOG_GROUP": args.release_log_name,
        "GROUPS": pulumi.Output.concat(
            platform.database_admin_group_id, ",", platform.apis_group_id
        ),
        "MODE": args.mode,
        "SUBNETS": platform.private_subnet_ids.apply(",".join),
    }
    if args.operates is not None:
        variables |= {
            "ANSWERS": f"patient-management/{args.operates}/answers/",
            "KEY": platform.key_arn,
            "LOG_PREFIX": f"/patient-management/{args.operates}/",
            "STACK": args.operates,
        }
    return variables


def runner_statements(args: RunnerArgs, log_arn: Text) -> list[dict[str, Any]]:
    """Returns what the function needs for releases, whosever runner it is."""
    platform = args.platform
    in_cluster = {"ArnEquals": {"ecs:cluster": platform.cluster_arn}}
    account = AwsAccount(args.region, platform.account_id)
    families = [
        *args.families,
        *([f"{args.operates}-{service}" for service in OPERATED] if args.operates else []),
    ]
    return [
        {
            "Sid": "Start",
            "Effect": "Allow",
            "Action": "ecs:RunTask",
            "Resource": [account.arn("ecs", f"task-definition/{family}:*") for family in families],
            "Condition": in_cluster,
        },
        {
            "Sid": "Watch",
            "Effect": "Allow",
            "Action": ["ecs:DescribeTasks", "ecs:StopTask"],
            "Resource": account.arn("ecs", "task/", platform.cluster_name, "/*"),
            "Condition": in_cluster,
        },
        # A release that outlived the function is found again.
        {
            "Sid": "Find",
            "Effect": "Allow",
            "Action": "ecs:ListTasks",
            "Resource": "*",
            "Condition": in_cluster,
        },
        {
            "Sid": "HandOver",
            "Effect": "Allow",
            "Action": "iam:PassRole",
            "Resource": list(args.passes),
            "Condition": {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}},
        },
        {
            "Sid": "Log",
            "Effect": "Allow",
            "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
            "Resource": pulumi.Output.concat(log_arn, ":*"),
        },
        {
            "Sid": "Read",
            "Effect": "Allow",
            "Action": "logs:FilterLogEvents",
            "Resource": account.arn("logs", f"log-group:{args.release_log_name}:*"),
        },
    ]


def operator_statements(args: RunnerArgs) -> list[Mapping[str, Any]]:
    """Returns what the function needs beside that for operators' verbs."""
    if args.operates is None:
        return []
    platform = args.platform
    account = AwsAccount(args.region, platform.account_id)
    in_cluster = {"ArnEquals": {"ecs:cluster": platform.cluster_arn}}
    logs = [
        account.arn("logs", f"log-group:/patient-management/{args.operates}/{service}:*")
        for service in OPERATED
    ]
    through = {"StringEquals": {"kms:ViaService": f"secretsmanager.{args.region}.amazonaws.com"}}
    answers = answers_arn(args.region, platform.account_id, args.operates)
    return [
        allow(["ecs:ListServices"], "*", in_cluster),
        allow(
            ["ecs:DescribeServices"],
            account.arn("ecs", "service/", platform.cluster_name, f"/{args.operates}-*"),
        ),
        allow(["logs:FilterLogEvents"], logs),
        allow(["secretsmanager:CreateSecret", "secretsmanager:DeleteSecret"], answers),
        allow(["secretsmanager:ListSecrets"], "*"),
        allow(["kms:Decrypt", "kms:GenerateDataKey"], platform.key_arn, through),
    ]
