"""Roles that GitHub Actions takes on by OIDC, each for one or two of the repository's environments
in GitHub.

`deploy` brings this environment up. `look` reads it, for previews of a deployment and for drift.
`preview` is the role of a pull request's code. The protection rules of GitHub's environments
(branches, reviewers) decide which jobs get one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infrastructure.iam.preview_policy import PreviewResources, preview_statements
from infrastructure.iam.roles import Statement, document
from infrastructure.iam.service_roles import kafka_arn

Text = pulumi.Input[str]
Statements = pulumi.Input[Sequence[Statement]]
ISSUER = "token.actions.githubusercontent.com"
AUDIENCE = "sts.amazonaws.com"
READS = "arn:aws:iam::aws:policy/ReadOnlyAccess"
# Longer than the longest job.
SESSION_SECONDS = 2 * 60 * 60
PREVIEW_ENVIRONMENTS = ("preview", "preview-fork")


@dataclass(frozen=True, slots=True, kw_only=True)
class GithubArgs:
    """`makes_provider`: an account has one OIDC provider for GitHub, made by one stack.

    `preview`: where this environment takes previews.
    """

    repository: str
    owner_id: int | None
    repository_id: int | None
    environment: str
    account_id: Text
    makes_provider: bool
    deploy: Mapping[str, Statements]
    read_only: Statements
    preview: PreviewResources | None = None


class Github(pulumi.ComponentResource):
    """Outputs: `role_arns` by the environment in GitHub whose variable AWS_ROLE or AWS_PREVIEW_ROLE
    each one is.
    """

    def __init__(
        self, name: str, args: GithubArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("patient:infrastructure:Github", name, None, opts)
        self.child = pulumi.ResourceOptions(parent=self)
        self.args = args
        self.provider_arn = self.find_provider(name)
        read_only_environment = f"{args.environment}-preview"
        role_arns = {
            args.environment: self.role(name, "deploy", (args.environment,), args.deploy),
            read_only_environment: self.role(
                name, "look", (read_only_environment,), {"data": args.read_only}, managed=[READS]
            ),
        }
        if args.preview is not None:
            # Its policy is its boundary too: whatever else is attached one day opens nothing.
            own = {"all": preview_statements(args.preview)}
            role_arns["preview"] = self.role(
                name, "preview", PREVIEW_ENVIRONMENTS, own, bounded=True
            )
        self.role_arns: Mapping[str, pulumi.Output[str]] = role_arns
        self.register_outputs({"role_arns": self.role_arns})

    def find_provider(self, name: str) -> pulumi.Output[str]:
        if not self.args.makes_provider:
            return pulumi.Output.concat(
                "arn:aws:iam::", self.args.account_id, f":oidc-provider/{ISSUER}"
            )
        return aws.iam.OpenIdConnectProvider(
            name, url=f"https://{ISSUER}", client_id_lists=[AUDIENCE], opts=self.child
        ).arn

    def role(
        self,
        name: str,
        part: str,
        environments: Sequence[str],
        policies: Mapping[str, Statements],
        *,
        bounded: bool = False,
        managed: Sequence[str] = (),
    ) -> pulumi.Output[str]:
        """Makes a role. Its policies' names begin as its own: no deployment changes them.

        `bounded` by the one that it has.
        """
        made = [
            aws.iam.Policy(
                f"{name}-{part}-{label}", policy=document(statements), opts=self.child
            ).arn
            for label, statements in policies.items()
        ]
        role = aws.iam.Role(
            f"{name}-{part}",
            assume_role_policy=document(
                [trust(self.provider_arn, subjects(self.args, environments))]
            ),
            max_session_duration=SESSION_SECONDS,
            permissions_boundary=made[0] if bounded else None,
            opts=self.child,
        )
        child = pulumi.ResourceOptions(parent=role)
        attached: list[Text] = [*managed, *made]
        for index, arn in enumerate(attached):
            aws.iam.RolePolicyAttachment(
                f"{name}-{part}-{index}", role=role.name, policy_arn=arn, opts=child
            )
        return role.arn


def subjects(args: GithubArgs, environments: Sequence[str]) -> list[str]:
    """Returns the subjects of the OIDC tokens of the repository's jobs in these environments.

    GitHub puts the ids of owner and repository into those of a repository that is new, renamed or
    transferred, so that nobody who takes over a name takes over its rights. No branch and no pull
    request is trusted as such.
    """
    repositories = [args.repository]
    if args.owner_id is not None and args.repository_id is not None:
        owner, _, name = args.repository.partition("/")
        repositories.append(f"{owner}@{args.owner_id}/{name}@{args.repository_id}")
    return [
        f"repo:{repository}:environment:{environment}"
        for repository in repositories
        for environment in environments
    ]


def trust(provider_arn: Text, subjects: Sequence[str]) -> Statement:
    """Lets jobs with one of `subjects` take on the role."""
    return {
        "Effect": "Allow",
        "Principal": {"Federated": provider_arn},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {"StringEquals": {f"{ISSUER}:aud": AUDIENCE, f"{ISSUER}:sub": list(subjects)}},
    }


def read_only_statements(bucket: str, aliases: Sequence[str], stream_arn: Text) -> list[Statement]:
    """Denies what is data: ReadOnlyAccess reads no secret's value; here is what it reads of people,
    and what a state is read with.
    """
    return [
        {
            "Sid": "NoData",
            "Effect": "Deny",
            "Action": [
                "secretsmanager:*GetSecretValue", "ssm:GetParameter*", "logs:GetLogEvents",
                "logs:FilterLogEvents",
                "logs:GetLogRecord", "logs:StartLiveTail", "logs:StartQuery",
                "logs:GetQueryResults",
                "rds:DownloadDBLogFilePortion", "rds:DownloadCompleteDBLogFile", "rds-db:connect",
                "kafka-cluster:*Data",
            ],
            "Resource": "*",
        },
        # Of objects the states' alone: balancers' logs tell who asked for whom.
        {
            "Sid": "NoObjects",
            "Effect": "Deny",
            "Action": "s3:GetObject*",
            **(
                {"NotResource": f"arn:aws:s3:::{bucket}/.pulumi/*"} if bucket else {"Resource": "*"}
            ),
        },
        {
            # MSK describes a topic in its caller's name, and a look for drift asks it:
            # https://docs.aws.amazon.com/msk/latest/developerguide/
            # msk-topic-operations-information.html
            "Sid": "Topics",
            "Effect": "Allow",
            "Action": [
                "kafka-cluster:Connect", "kafka-cluster:DescribeTopic",
                "kafka-cluster:DescribeTopicDynamicConfiguration",
            ],
            "Resource": [stream_arn, kafka_arn(stream_arn, "topic", "*")],
        },
        {
            # Of states by their alias alone, never the data's.
            "Sid": "State",
            "Effect": "Allow",
            "Action": "kms:Decrypt",
            "Resource": "*",
            "Condition": {"ForAnyValue:StringEquals": {"kms:ResourceAliases": list(aliases)}},
        },
    ]  # fmt: skip
