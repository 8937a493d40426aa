"""Composes an environment's roles for GitHub Actions, and the place where its previews keep their
state.
"""

from collections.abc import Sequence
from functools import partial

import pulumi
import pulumi_aws as aws

from infrastructure.config.model import EnvironmentStack, GithubSettings
from infrastructure.config.naming import KEY_ALIAS, state_bucket
from infrastructure.config.platform_outputs import PlatformOutputs
from infrastructure.data.preview_state import PreviewState
from infrastructure.iam.deploy_limits import DeployResources, state_aliases
from infrastructure.iam.deploy_policy import DEPLOY_PARTS, deploy_statements
from infrastructure.iam.github_oidc import Github, GithubArgs, read_only_statements
from infrastructure.iam.preview_policy import PreviewResources

Text = pulumi.Input[str]


def open_to_github(
    settings: GithubSettings,
    stack: EnvironmentStack,
    platform: PlatformOutputs,
    boundary_arns: Sequence[Text],
    opts: pulumi.ResourceOptions,
) -> dict[str, pulumi.Output[str]]:
    """Returns the roles' ARNs, for the variables of GitHub's environments."""
    state = None
    if stack.config.previews:
        bucket = platform.account_id.apply(lambda account: state_bucket(account, stack.region))
        state = PreviewState("preview-state", bucket, KEY_ALIAS, opts)
    resources = deploy_resources(settings, stack, platform, boundary_arns, state)
    args = GithubArgs(
        repository=settings.repository,
        owner_id=settings.owner_id,
        repository_id=settings.repository_id,
        environment=stack.name,
        account_id=platform.account_id,
        makes_provider=settings.makes_provider,
        deploy={
            part: resources.apply(partial(deploy_statements, part=part)) for part in DEPLOY_PARTS
        },
        read_only=read_only_statements(
            settings.state_bucket,
            state_aliases(stack.name, stack.config.images_from),
            platform.stream_arn,
        ),
        preview=preview_resources(stack, platform, state) if state else None,
    )
    return dict(Github("github", args, opts).role_arns)


def deploy_resources(
    settings: GithubSettings,
    stack: EnvironmentStack,
    platform: PlatformOutputs,
    boundary_arns: Sequence[Text],
    state: PreviewState | None,
) -> pulumi.Output[DeployResources]:
    config = stack.config
    zone = aws.route53.get_zone_output(name=config.zone_name, private_zone=False)
    return pulumi.Output.all(
        account_id=platform.account_id,
        zone_id=zone.zone_id,
        key_arn=platform.key_arn,
        boundary_arns=pulumi.Output.all(*boundary_arns),
        preview_state=pulumi.Output.all(*([state.bucket_arn, state.key_arn] if state else [])),
    ).apply(
        lambda known: DeployResources(
            environment=stack.name,
            region=stack.region,
            domain=config.domain,
            state_bucket=settings.state_bucket,
            takes_from=config.images_from or "",
            proxies_tls=config.service_tls,
            keeps_data=config.data.deletion_protection,
            **known,
        )
    )


def preview_resources(
    stack: EnvironmentStack, platform: PlatformOutputs, state: PreviewState
) -> PreviewResources:
    return PreviewResources(
        region=stack.region,
        account_id=platform.account_id,
        cluster_name=platform.cluster_name,
        listener_arn=platform.listener_arn,
        stream_arn=platform.stream_arn,
        data_key_arn=platform.key_arn,
        boundary_arn=platform.preview_boundary_arn,
        runner_name=platform.preview_runner_name,
        state_bucket_arn=state.bucket_arn,
        state_key_arn=state.key_arn,
        connect_role_arn=platform.connect_role_arn if stack.config.service_tls else None,
    )
