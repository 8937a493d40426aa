"""One data key an environment: databases, brokers, secrets, logs, images and notices are encrypted
under it.
"""

from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from infrastructure.iam.actions import DATA_KEYS, WHOLE_KEY
from infrastructure.iam.roles import document

SHORTEST_WINDOW_DAYS, LONGEST_WINDOW_DAYS = 7, 30


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysArgs:
    """`keep`: protected, and left behind by the stack's end."""

    environment: str
    region: str
    account_id: pulumi.Input[str]
    log_group_prefixes: tuple[str, ...]
    keep: bool


class Keys(pulumi.ComponentResource):
    def __init__(
        self, name: str, args: KeysArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("patient:infrastructure:Keys", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        key = aws.kms.Key(
            name,
            description=f"Data of {args.environment}",
            enable_key_rotation=True,
            deletion_window_in_days=LONGEST_WINDOW_DAYS if args.keep else SHORTEST_WINDOW_DAYS,
            policy=document(statements(args)),
            # The last snapshots and the kept backups of the databases are read with it, when all
            # else is gone.
            opts=pulumi.ResourceOptions.merge(
                child, pulumi.ResourceOptions(protect=args.keep, retain_on_delete=args.keep)
            ),
        )
        aws.kms.Alias(
            name,
            name=f"alias/patient-management/{args.environment}",
            target_key_id=key.id,
            opts=child,
        )
        self.arn = key.arn
        self.register_outputs({"arn": self.arn})


def statements(args: KeysArgs) -> list[dict[str, Any]]:
    """Returns the key's policy: IAM decides for the account; beside it, the services that encrypt
    in their own name.
    """
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
            "Action": WHOLE_KEY,
            "Resource": "*",
        },
        {
            "Sid": "Logs",
            "Effect": "Allow",
            "Principal": {"Service": f"logs.{args.region}.amazonaws.com"},
            "Action": [
                "kms:Encrypt",
                "kms:Decrypt",
                "kms:ReEncryptFrom",
                "kms:ReEncryptTo",
                DATA_KEYS,
                "kms:DescribeKey",
            ],
            "Resource": "*",
            "Condition": {"ArnLike": {"kms:EncryptionContext:aws:logs:arn": logs}},
        },
        {
            "Sid": "Notices",
            "Effect": "Allow",
            "Principal": {
                "Service": [
                    "cloudwatch.amazonaws.com",
                    "budgets.amazonaws.com",
                    "events.amazonaws.com",
                ]
            },
            "Action": ["kms:Decrypt", DATA_KEYS],
            "Resource": "*",
            "Condition": {"StringEquals": {"aws:SourceAccount": account}},
        },
    ]
