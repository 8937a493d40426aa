"""The limits of a deployment's rights:
keys, roles, and denials that no other statement can lift.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from infrastructure.config.naming import KEY_ALIAS, PROJECT, STACK_TAG, environment_path
from infrastructure.iam.boundaries import allow
from infrastructure.iam.deploy_actions import actions_of
from infrastructure.iam.roles import Statement

STATE_ALIAS = f"alias/{PROJECT}/state-"
# What takes on the program's roles.
PASSED_TO = (
    "ecs-tasks.amazonaws.com",
    "ecs.amazonaws.com",
    "lambda.amazonaws.com",
    "monitoring.rds.amazonaws.com",
    "vpc-flow-logs.amazonaws.com",
)
# AWS makes these roles itself with the first thing of a kind in an account, and says what they may.
SERVICE_LINKED = (
    "ecs.amazonaws.com",
    "ecs.application-autoscaling.amazonaws.com",
    "elasticloadbalancing.amazonaws.com",
    "kafka.amazonaws.com",
    # The growth of brokers' storage.
    "kafka.application-autoscaling.amazonaws.com",
    "rds.amazonaws.com",
    # The firewall's log.
    "wafv2.amazonaws.com",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployResources:
    """`state_bucket` empty where the state lies elsewhere; `takes_from`: whose images are promoted,
    empty where built.

    `preview_state`: the bucket's and the key's ARN, empty where this environment takes no previews.
    """

    environment: str
    region: str
    account_id: str
    zone_id: str
    domain: str
    key_arn: str
    boundary_arns: Sequence[str]
    state_bucket: str
    takes_from: str
    proxies_tls: bool
    keeps_data: bool
    preview_state: Sequence[str]

    @property
    def label(self) -> str:
        return f"patient-{self.environment}"

    def arn(self, service: str, *rests: str) -> list[str]:
        return [f"arn:aws:{service}:{self.region}:{self.account_id}:{rest}" for rest in rests]

    @property
    def client_answers(self) -> list[str]:
        """Patterns for the secrets that carry answers of the verbs `clients ...`."""
        return self.arn("secretsmanager", f"secret:{PROJECT}/{self.environment}/answers/clients/*")

    def everywhere(self, service: str, *rests: str) -> list[str]:
        """Returns ARNs of services without a region."""
        return [f"arn:aws:{service}::{self.account_id}:{rest}" for rest in rests]


def state_aliases(environment: str, takes_from: str | None) -> list[str]:
    """Returns the aliases of the keys of its own state and of the state from which it takes
    images.
    """
    return [f"{STATE_ALIAS}{name}" for name in (environment, takes_from) if name]


def key_statements(resources: DeployResources) -> list[Statement]:
    """Returns the rights on keys: to create them and let AWS services use them, to decrypt with the
    state's alone.

    A key's policy is changed by a person.
    """
    aliases = [
        f"alias/{PROJECT}/{resources.environment}",
        *([KEY_ALIAS] if resources.preview_state else []),
    ]
    through = {"kms:ViaService": f"secretsmanager.{resources.region}.amazonaws.com"}
    states = state_aliases(resources.environment, resources.takes_from)
    crypt = actions_of("kms", "Decrypt", "Encrypt", "GenerateDataKey")
    of_states = {"ForAnyValue:StringEquals": {"kms:ResourceAliases": states}}
    everyone = resources.arn("kms", "key/*")
    return [
        allow(
            actions_of(
                "kms",
                "DescribeKey",
                "EnableKeyRotation",
                "GetKeyPolicy",
                "GetKeyRotationStatus",
                "ListResourceTags",
                "TagResource",
                "UntagResource",
                "UpdateKeyDescription",
            ),
            everyone,
        ),
        allow(
            actions_of("kms", "CreateAlias", "DeleteAlias", "UpdateAlias"),
            [*resources.arn("kms", *aliases), *everyone],
        ),
        allow(
            actions_of("kms", "CreateGrant", "RevokeGrant"),
            resources.key_arn,
            {"Bool": {"kms:GrantIsForAWSResource": "true"}},
        ),
        # As a registry under a key of ours asks, for the previews' images.
        *(
            []
            if resources.takes_from
            else [allow(actions_of("kms", "RetireGrant"), resources.key_arn)]
        ),
        allow(
            actions_of("kms", "Decrypt", "GenerateDataKey"),
            resources.key_arn,
            {"StringEquals": through},
        ),
        # The state that tells which images to run may lie in another account.
        allow(crypt, f"arn:aws:kms:{resources.region}:*:key/*", of_states),
        *(allow(crypt, key) for key in resources.preview_state[1:]),
    ]


def role_statements(resources: DeployResources) -> list[Statement]:
    own = f"arn:aws:iam::{resources.account_id}:role{environment_path(resources.environment)}*"
    bounded = {"StringEquals": {"iam:PermissionsBoundary": list(resources.boundary_arns)}}
    return [
        allow(
            actions_of(
                "iam",
                "AttachRolePolicy",
                "CreateRole",
                "DeleteRolePolicy",
                "DetachRolePolicy",
                "PutRolePermissionsBoundary",
                "PutRolePolicy",
            ),
            own,
            bounded,
        ),
        allow(
            actions_of(
                "iam",
                "DeleteRole",
                "TagRole",
                "UntagRole",
                "UpdateAssumeRolePolicy",
                "UpdateRole",
                "UpdateRoleDescription",
            ),
            own,
        ),
        allow(
            actions_of("iam", "PassRole"),
            own,
            {"StringEquals": {"iam:PassedToService": list(PASSED_TO)}},
        ),
        allow(
            actions_of("iam", "CreateServiceLinkedRole"),
            resources.everywhere("iam", "role/aws-service-role/*"),
            {"StringEquals": {"iam:AWSServiceName": list(SERVICE_LINKED)}},
        ),
    ]


def denials(resources: DeployResources) -> list[Statement]:
    """Returns denials. They hold whatever other statements allow, now or later."""
    mine = {f"aws:ResourceTag/{STACK_TAG}": resources.environment}
    closed = (
        "rds-db:connect", "kafka-cluster:*Data", "kms:PutKeyPolicy",
        "kms:ScheduleKeyDeletion", "iam:DeleteRolePermissionsBoundary",
    )  # fmt: skip
    kept = (
        "kafka-cluster:DeleteTopic", "kafka:DeleteCluster", "kafka:DeleteTopic",
        "rds:DeleteDBInstance",
        "secretsmanager:DeleteSecret",
    )  # fmt: skip
    statements: list[Statement] = [
        {"Sid": "NoData", "Effect": "Deny", "Action": list(closed), "Resource": "*"},
        {
            # Of operators' answers those alone that carry a client's secret: the smoke test signs
            # in with one.
            "Sid": "NoSecrets",
            "Effect": "Deny",
            "Action": "secretsmanager:*GetSecretValue",
            "NotResource": resources.client_answers,
        },
        {
            # Where AWS tells no tag, names above are what limits it.
            "Sid": "Others",
            "Effect": "Deny",
            "Action": "*",
            "Resource": "*",
            "Condition": {"StringNotEquals": mine, "Null": dict.fromkeys(mine, "false")},
        },
        {
            # What GitHub and boundaries allow is changed by a person with rights of their own,
            # never by a deployment.
            "Sid": "NotItself",
            "Effect": "Deny",
            "NotAction": ["iam:Get*", "iam:List*"],
            "Resource": resources.everywhere("iam", "role/github-*", "policy/*", "oidc-provider/*"),
        },
    ]
    if resources.keeps_data:
        statements.append({"Sid": "Kept", "Effect": "Deny", "Action": list(kept), "Resource": "*"})
    return statements
