"""What GitHub Actions may do in the account: roles taken on by OIDC, each by one of the repository's environments.

`deploy` brings this environment up, `look` reads for previews of a deployment and for drift, `preview` is what a pull
request's code runs with. An environment's own protection rules (branches, reviewers) say who gets that far.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infrastructure.config import EnvironmentStack, GithubSettings
from infrastructure.outputs import PlatformOutputs
from infrastructure.preview.settings import KEY_ALIAS, state_bucket
from infrastructure.preview_access import PreviewReach, preview_statements
from infrastructure.preview_state import PreviewState
from infrastructure.roles import Statement, document

Text = pulumi.Input[str]
ISSUER = "token.actions.githubusercontent.com"
AUDIENCE = "sts.amazonaws.com"
# Longer than the longest job.
SESSION_SECONDS = 2 * 60 * 60
PREVIEW_ENVIRONMENTS = ("preview", "preview-fork")
# What the program is made of. IAM is apart: see `deploy_statements`.
SERVICES = (
    "acm", "acm-pca", "application-autoscaling", "budgets", "cloudwatch", "ec2", "ecr", "ecs",
    "elasticloadbalancing", "kafka",
    "kms", "lambda", "logs", "rds", "route53", "s3", "secretsmanager", "servicediscovery", "sns", "tag", "wafv2",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class GithubArgs:
    """`repository`: `owner/name`. `makes_provider`: an account has one OIDC provider for GitHub, made by one stack.

    `preview`: where this environment takes previews.
    """

    repository: str
    environment: str
    account_id: Text
    makes_provider: bool
    preview: PreviewReach | None = None


class Github(pulumi.ComponentResource):
    """Outputs: `role_arns` by the environment in GitHub whose variable AWS_ROLE or AWS_PREVIEW_ROLE each one is."""

    def __init__(self, name: str, args: GithubArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("patient:infrastructure:Github", name, None, opts)
        self.child = pulumi.ResourceOptions(parent=self)
        self.args = args
        self.provider_arn = self.find_provider(name)
        role_arns = {
            args.environment: self.role(name, "deploy", (args.environment,), deploy_statements(args.account_id)),
            f"{args.environment}-preview": self.role(
                name,
                "look",
                (f"{args.environment}-preview",),
                look_statements(),
                managed="arn:aws:iam::aws:policy/ReadOnlyAccess",
            ),
        }
        if args.preview is not None:
            role_arns["preview"] = self.preview_role(name, args.preview)
        self.role_arns: Mapping[str, pulumi.Output[str]] = role_arns
        self.register_outputs({"role_arns": self.role_arns})

    def find_provider(self, name: str) -> pulumi.Output[str]:
        if not self.args.makes_provider:
            return pulumi.Output.concat("arn:aws:iam::", self.args.account_id, f":oidc-provider/{ISSUER}")
        return aws.iam.OpenIdConnectProvider(
            name, url=f"https://{ISSUER}", client_id_lists=[AUDIENCE], opts=self.child
        ).arn

    def role(
        self,
        name: str,
        part: str,
        environments: Sequence[str],
        statements: Sequence[Statement],
        *,
        managed: str | None = None,
        boundary_arn: Text | None = None,
    ) -> pulumi.Output[str]:
        role = aws.iam.Role(
            f"{name}-{part}",
            assume_role_policy=document([trust(self.provider_arn, self.args.repository, environments)]),
            max_session_duration=SESSION_SECONDS,
            permissions_boundary=boundary_arn,
            opts=self.child,
        )
        child = pulumi.ResourceOptions(parent=role)
        if statements:
            aws.iam.RolePolicy(f"{name}-{part}", role=role.id, policy=document(statements), opts=child)
        for arn in [each for each in (managed, boundary_arn) if each is not None]:
            aws.iam.RolePolicyAttachment(f"{name}-{part}", role=role.name, policy_arn=arn, opts=child)
        return role.arn

    def preview_role(self, name: str, reach: PreviewReach) -> pulumi.Output[str]:
        # Its policy is its boundary too: whatever else is attached one day opens nothing.
        policy = aws.iam.Policy(f"{name}-preview", policy=document(preview_statements(reach)), opts=self.child)
        return self.role(name, "preview", PREVIEW_ENVIRONMENTS, [], boundary_arn=policy.arn)


def open_to_github(
    settings: GithubSettings, stack: EnvironmentStack, platform: PlatformOutputs, opts: pulumi.ResourceOptions
) -> dict[str, pulumi.Output[str]]:
    """The roles' ARNs, for the variables of GitHub's environments."""
    reach = None
    if stack.config.previews:
        bucket = platform.account_id.apply(lambda account: state_bucket(account, stack.region))
        state = PreviewState("preview-state", bucket, KEY_ALIAS, opts)
        reach = PreviewReach(
            region=stack.region,
            account_id=platform.account_id,
            cluster_name=platform.cluster_name,
            stream_arn=platform.stream_arn,
            data_key_arn=platform.key_arn,
            boundary_arn=platform.preview_boundary_arn,
            runner_name=platform.preview_runner_name,
            state_bucket_arn=state.bucket_arn,
            state_key_arn=state.key_arn,
        )
    args = GithubArgs(settings.repository, stack.name, platform.account_id, settings.makes_provider, reach)
    return dict(Github("github", args, opts).role_arns)


def trust(provider_arn: Text, repository: str, environments: Sequence[str]) -> Statement:
    """No branch and no pull request as such: only a job that an environment let in."""
    return {
        "Effect": "Allow",
        "Principal": {"Federated": provider_arn},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {
            "StringEquals": {
                f"{ISSUER}:aud": AUDIENCE,
                f"{ISSUER}:sub": [f"repo:{repository}:environment:{environment}" for environment in environments],
            }
        },
    }


def deploy_statements(account_id: Text) -> list[Statement]:
    """The services that the program uses, whole; of IAM, roles and policies in the program's own patterns.

    It may not change itself, nor the roles beside it, nor make users and keys: that is for a person.
    """

    def iam(rest: str) -> pulumi.Output[str]:
        return pulumi.Output.concat("arn:aws:iam::", account_id, f":{rest}")

    return [
        {"Sid": "Services", "Effect": "Allow", "Action": [f"{service}:*" for service in SERVICES], "Resource": "*"},
        {
            "Sid": "Roles",
            "Effect": "Allow",
            "Action": [
                "iam:AttachRolePolicy", "iam:CreatePolicy", "iam:CreatePolicyVersion", "iam:CreateRole",
                "iam:CreateServiceLinkedRole", "iam:DeletePolicy", "iam:DeletePolicyVersion", "iam:DeleteRole",
                "iam:DeleteRolePolicy", "iam:DetachRolePolicy", "iam:PassRole", "iam:PutRolePermissionsBoundary",
                "iam:PutRolePolicy", "iam:TagPolicy", "iam:TagRole", "iam:UntagPolicy", "iam:UntagRole",
                "iam:UpdateAssumeRolePolicy", "iam:UpdateRole",
            ],
            "Resource": [iam("role/*"), iam("policy/*")],
        },
        {"Sid": "Look", "Effect": "Allow", "Action": ["iam:Get*", "iam:List*"], "Resource": "*"},
        {
            # A deployment makes places for data and secrets; what lies in them is not its to read.
            "Sid": "NoData",
            "Effect": "Deny",
            "Action": ["secretsmanager:GetSecretValue", "rds-db:connect", "kafka-cluster:*"],
            "Resource": "*",
        },
        {
            # What GitHub may do is changed by a person with rights of their own, never by a deployment.
            "Sid": "NotItself",
            "Effect": "Deny",
            "NotAction": ["iam:Get*", "iam:List*"],
            "Resource": [iam("role/github-*"), iam("policy/github-*"), iam(f"oidc-provider/{ISSUER}")],
        },
    ]  # fmt: skip


def look_statements() -> list[Statement]:
    """ReadOnlyAccess reads no secret's value; here is what it reads of people, and what a state is read with."""
    return [
        {
            "Sid": "NoData",
            "Effect": "Deny",
            "Action": [
                "secretsmanager:GetSecretValue", "ssm:GetParameter*", "logs:GetLogEvents", "logs:FilterLogEvents",
                "logs:StartQuery", "logs:GetQueryResults", "rds:DownloadDBLogFilePortion", "rds-db:connect",
                "kafka-cluster:*",
            ],
            "Resource": "*",
        },
        {
            # Of states by their alias alone, never the data's.
            "Sid": "State",
            "Effect": "Allow",
            "Action": "kms:Decrypt",
            "Resource": "*",
            "Condition": {"ForAnyValue:StringLike": {"kms:ResourceAliases": "alias/patient-management/state*"}},
        },
    ]  # fmt: skip
