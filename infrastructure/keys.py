"""One data key an environment: databases, brokers, secrets, logs, images and notices are encrypted under it."""

from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from infrastructure.roles import document


@dataclass(frozen=True, slots=True)
class KeysArgs:
    environment: str
    region: str
    account_id: pulumi.Input[str]
    log_group_prefixes: tuple[str, ...]


class Keys(pulumi.ComponentResource):
    def __init__(self, name: str, args: KeysArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("patient:infrastructure:Keys", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        key = aws.kms.Key(
            name,
            description=f"Data of {args.environment}",
            enable_key_rotation=True,
            deletion_window_in_days=30,
            policy=document(statements(args)),
            opts=child,
        )
        aws.kms.Alias(name, name=f"alias/patient-management/{args.environment}", target_key_id=key.id, opts=child)
        self.arn = key.arn
        self.register_outputs({"arn": self.arn})


def statements(args: KeysArgs) -> list[dict[str, Any]]:
    """IAM decides for the account; beside it, the services that encrypt in their own name."""
    account = args.account_id
    logs = [
        pulumi.Output.concat("arn:aws:logs:", args.region, ":", account, ":log-group:", prefix, "*")
        for prefix in args.log_group_prefixes
    ]
    return [
        {
            "Sid": "Account",
            "Effect": "Allow",
            "Principal": {"AWS": pulumi.Output.concat("arn:aws:iam::", account, ":root")},
            "Action": "kms:*",
            "Resource": "*",
        },
        {
            "Sid": "Logs",
            "Effect": "Allow",
            "Principal": {"Service": f"logs.{args.region}.amazonaws.com"},
            "Action": ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"],
            "Resource": "*",
            "Condition": {"ArnLike": {"kms:EncryptionContext:aws:logs:arn": logs}},
        },
        {
            "Sid": "Notices",
            "Effect": "Allow",
            "Principal": {"Service": ["cloudwatch.amazonaws.com", "budgets.amazonaws.com"]},
            "Action": ["kms:Decrypt", "kms:GenerateDataKey*"],
            "Resource": "*",
            "Condition": {"StringEquals": {"aws:SourceAccount": account}},
        },
    ]
