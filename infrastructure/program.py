"""Composes the components into a stack and exports what others need of it.

Nothing exported is secret.
"""

from typing import Any

import pulumi
import pulumi_aws as aws

from infrastructure.app import App, AppArgs
from infrastructure.config.model import EnvironmentStack, PreviewStack, Stack
from infrastructure.config.naming import PREVIEW_PATH, PROJECT, STACK_TAG
from infrastructure.config.parse import parse_stack
from infrastructure.config.platform_outputs import PlatformRef
from infrastructure.ecs.image_source import IMAGES, source_digest
from infrastructure.ecs.images import BuildArgs, Images, ImageSet, taken_over
from infrastructure.environment import Platform, PlatformArgs
from infrastructure.github import open_to_github
from infrastructure.iam.roles import PermissionsBoundary


def run() -> None:
    config: dict[str, str] = pulumi.runtime.get_config_env()
    stack = parse_stack(pulumi.get_stack(), config)
    pulumi.run(lambda: deploy(stack))


async def deploy(stack: Stack) -> dict[str, Any]:
    """Declares the stack's resources and gives its outputs."""
    provider = aws.Provider(
        "aws",
        region=stack.region,
        default_tags=aws.ProviderDefaultTagsArgs(tags=tags(stack)),
    )
    opts = pulumi.ResourceOptions(providers=[provider])
    if isinstance(stack, PreviewStack):
        return await deploy_preview(stack, opts)
    return deploy_environment(stack, opts)


def deploy_environment(stack: EnvironmentStack, opts: pulumi.ResourceOptions) -> dict[str, Any]:
    config = stack.config
    building = PlatformRef(config.images_from) if config.images_from else None
    promoted = building.reference.require_output("platform") if building else None
    platform = Platform("platform", PlatformArgs(stack=stack, promoted=promoted), opts)
    if building:
        images = taken_over(building.images, IMAGES)
    else:
        urls = platform.outputs.repository_urls
        images = Images(
            "images", IMAGES, BuildArgs(urls=urls, cache_urls=urls, writes_cache=True), opts
        ).set
    app = App(
        "app",
        AppArgs(
            stack=stack,
            platform=platform.outputs,
            images=images,
            boundary=platform.boundary,
            masters=platform.masters,
        ),
        opts,
    )
    boundaries = [platform.boundary.boundary_arn, platform.platform_boundary.boundary_arn]
    roles = (
        open_to_github(config.github, stack, platform.outputs, boundaries, opts)
        if config.github
        else {}
    )
    return {
        "url": app.url,
        "services": app.running,
        "images": images.exported(),
        "platform": platform.outputs.exported(),
        "github_roles": roles,
    }


async def deploy_preview(stack: PreviewStack, opts: pulumi.ResourceOptions) -> dict[str, Any]:
    """Returns what changed against the base is built and pushed to the previews' repositories; the
    rest runs the base's.
    """
    base = PlatformRef(stack.config.base)
    sources = await base.sources()
    changed = tuple(image for image in IMAGES if sources.get(image) != source_digest(image))
    built = Images(
        "images",
        changed,
        BuildArgs(
            urls=base.outputs.preview_repository_urls,
            cache_urls=base.outputs.repository_urls,
            writes_cache=False,
            tag_prefix=f"{stack.name}-",
        ),
        opts,
    ).set
    unchanged = taken_over(base.images, tuple(image for image in IMAGES if image not in changed))
    images = ImageSet({**unchanged.refs, **built.refs}, {**unchanged.sources, **built.sources})
    boundary = PermissionsBoundary(
        PREVIEW_PATH, base.outputs.preview_boundary_arn, base.outputs.account_id
    )
    app = App(
        "app",
        AppArgs(stack=stack, platform=base.outputs, images=images, boundary=boundary, masters={}),
        opts,
    )
    return {
        "url": app.url,
        "services": app.running,
        "sign_in": app.sign_in,
        "images": images.exported(),
        "changed": list(changed),
        "cluster": base.outputs.cluster_arn,
        "base": stack.config.base,
        "expires": stack.config.expires,
        "keep": stack.config.keep,
    }


def tags(stack: Stack) -> dict[str, str]:
    """Returns what is on every resource: what a budget, a bill and a sweep go by."""
    return {
        "Project": PROJECT,
        "Environment": stack.name,
        "Kind": stack.kind,
        STACK_TAG: stack.name,
    }
