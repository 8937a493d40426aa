"""The release of an app: its one-off task, the runner that starts it, and its run inside
`pulumi up`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

from infrastructure.config import connections
from infrastructure.config.model import EnvironmentStack, PreviewStack, Stack
from infrastructure.config.naming import PREVIEW_PATH, Names, environment_path
from infrastructure.config.platform_outputs import PlatformOutputs
from infrastructure.ecs.image_source import RELEASE
from infrastructure.ecs.platform_alarms import watch_release
from infrastructure.ecs.release_task import ReleaseTask, TaskArgs, arns, invoke
from infrastructure.ecs.runner import Runner, RunnerArgs
from infrastructure.iam.roles import PermissionsBoundary
from infrastructure.iam.service_roles import ServiceResources

Text = pulumi.Input[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseArgs:
    """`secrets`: places by variable.

    `masters`: ARNs of the databases' master secrets; a preview has none.
    """

    stack: Stack
    platform: PlatformOutputs
    names: Names
    resources: ServiceResources
    image: Text
    public_url: Text
    secrets: Mapping[str, Text]
    masters: Mapping[str, Text]
    log_days: int
    boundary: PermissionsBoundary
    secrets_version: int


@dataclass(frozen=True, slots=True)
class Release:
    """`invocation`: what services wait for. `runner_name`: the function of an environment; the
    runner of a preview is its base's.
    """

    invocation: pulumi.Resource
    runner_name: pulumi.Output[str]


def make_release(name: str, args: ReleaseArgs, opts: pulumi.ResourceOptions) -> Release:
    """Makes the release's task and, in an environment, the runners, and has the task run."""
    stack, platform = args.stack, args.platform
    task = make_task(name, args, opts)
    waits = pulumi.ResourceOptions.merge(
        opts,
        pulumi.ResourceOptions(
            depends_on=[policy for role in task.roles for policy in role.policies]
        ),
    )
    if isinstance(stack, PreviewStack):
        preview_payload = {"action": "up", "pr": stack.number, "task": task.arn}
        runner_name = platform.preview_runner_name
        return Release(invoke(f"{name}-release", runner_name, preview_payload, waits), runner_name)

    runner = make_runner(name, stack, args, task, opts)
    if stack.config.previews:
        open_to_previews(name, stack, args, task, opts)
    watch_release(f"{name}-runner", runner.function_name, platform.notices_arn, opts)
    payload = {"action": "up", "task": task.arn}
    return Release(
        invoke(f"{name}-release", runner.function_name, payload, waits), runner.function_name
    )


def make_task(name: str, args: ReleaseArgs, opts: pulumi.ResourceOptions) -> ReleaseTask:
    stack = args.stack
    return ReleaseTask(
        f"{name}-release",
        TaskArgs(
            stack=stack.name,
            kind=stack.kind,
            platform=args.platform,
            resources=args.resources,
            image=args.image,
            public_url=args.public_url,
            command=["migrate"] if isinstance(stack, PreviewStack) else ["up"],
            secrets=args.secrets,
            masters=args.masters,
            log_group_name=args.names.log(RELEASE),
            log_retention_days=args.log_days,
            boundary=args.boundary,
            secrets_version=args.secrets_version,
            connections=connections.of_role(stack.config, production=stack.production)
            if isinstance(stack, EnvironmentStack)
            else None,
        ),
        opts,
    )


def make_runner(
    name: str,
    stack: EnvironmentStack,
    args: ReleaseArgs,
    task: ReleaseTask,
    opts: pulumi.ResourceOptions,
) -> Runner:
    """Makes the environment's runner: for its release, its services and operators' verbs."""
    return Runner(
        f"{name}-runner",
        RunnerArgs(
            mode="environment",
            function_name=f"patient-management-{stack.name}-runner",
            region=stack.region,
            platform=args.platform,
            definition_arn=task.arn,
            families=[task.family],
            release_log_name=args.names.log(RELEASE),
            # The services' roles too, for operators' verbs.
            passes=[roles_of(args.platform, environment_path(stack.name))],
            log_retention_days=args.log_days,
            boundary=args.boundary,
            operates=stack.name,
        ),
        opts,
    )


def open_to_previews(
    name: str,
    stack: EnvironmentStack,
    args: ReleaseArgs,
    task: ReleaseTask,
    opts: pulumi.ResourceOptions,
) -> None:
    """Makes the runner that previews call: it starts the environment's release, and theirs."""
    Runner(
        f"{name}-preview-runner",
        RunnerArgs(
            mode="preview",
            function_name=f"patient-management-{stack.name}-preview-runner",
            region=stack.region,
            platform=args.platform,
            definition_arn=task.arn,
            families=[task.family, "pr-*-release"],
            release_log_name=args.names.log(RELEASE),
            passes=[*arns(task.roles), roles_of(args.platform, PREVIEW_PATH)],
            log_retention_days=args.log_days,
            boundary=args.boundary,
        ),
        opts,
    )


def roles_of(platform: PlatformOutputs, path: str) -> pulumi.Output[str]:
    """Returns a pattern for the roles under `path`."""
    return pulumi.Output.concat("arn:aws:iam::", platform.account_id, f":role{path}*")
