"""Renders the task definition of a Fargate task with one container.

The same input gives the same bytes, so that an unchanged service is not deployed again.
"""

from collections.abc import Mapping
from typing import Any

import pulumi
import pulumi_aws as aws

from apps.catalogue import Probe, Service
from infrastructure.iam.roles import Role

USER = "10001:10001"
TEMPORARY = "tmp"
WRITABLE = "/tmp"  # noqa: S108 - the one place that a read-only root leaves to write to
START_SECONDS = 60


def task_definition(
    name: str,
    *,
    family: str,
    cpu: int,
    memory_mib: int,
    execution: Role,
    task: Role,
    container_definitions: pulumi.Input[str],
    opts: pulumi.ResourceOptions,
) -> aws.ecs.TaskDefinition:
    """Declares a task definition.

    `execution`: the role of ECS before the start; `task`: the role of the code.
    """
    return aws.ecs.TaskDefinition(
        name,
        family=family,
        cpu=str(cpu),
        memory=str(memory_mib),
        network_mode="awsvpc",
        requires_compatibilities=["FARGATE"],
        runtime_platform=aws.ecs.TaskDefinitionRuntimePlatformArgs(
            cpu_architecture="ARM64", operating_system_family="LINUX"
        ),
        execution_role_arn=execution.arn,
        task_role_arn=task.arn,
        volumes=[aws.ecs.TaskDefinitionVolumeArgs(name=TEMPORARY)],
        container_definitions=container_definitions,
        opts=opts,
    )


def container(
    name: str,
    *,
    image: pulumi.Input[str],
    environment: Mapping[str, pulumi.Input[str]],
    secrets: Mapping[str, pulumi.Input[str]],
    log_group: pulumi.Input[str],
    region: str,
    **more: Any,
) -> pulumi.Output[str]:
    """Returns the container definitions as JSON. `secrets`: places by variable.

    Keys are sorted, empty lists left out and `hostPort` is given, as ECS returns them: anything
    else shows as a change.
    """
    definition = {
        "name": name,
        "image": image,
        "essential": True,
        "user": USER,
        "readonlyRootFilesystem": True,
        "linuxParameters": {"capabilities": {"drop": ["ALL"]}, "initProcessEnabled": True},
        "mountPoints": [{"sourceVolume": TEMPORARY, "containerPath": WRITABLE, "readOnly": False}],
        "environment": [{"name": key, "value": environment[key]} for key in sorted(environment)],
        "secrets": [{"name": key, "valueFrom": secrets[key]} for key in sorted(secrets)],
        "logConfiguration": {
            "logDriver": "awslogs",
            "options": {
                "awslogs-group": log_group,
                "awslogs-region": region,
                "awslogs-stream-prefix": name,
                # A request must not wait for a log that cannot be written.
                "max-buffer-size": "4m",
                "mode": "non-blocking",
            },
        },
        **more,
    }
    # ECS gives back no list that is empty.
    return pulumi.Output.json_dumps(
        [{key: value for key, value in definition.items() if value != []}], sort_keys=True
    )


def ports(entry: Service) -> list[dict[str, Any]]:
    mapping: dict[str, Any] = {
        "name": entry.name,
        "containerPort": entry.port,
        "hostPort": entry.port,
        "protocol": "tcp",
    }
    # The public service terminates TLS itself, so the proxy cannot read its protocol.
    return [mapping if entry.public else {**mapping, "appProtocol": entry.protocol}]


def health_check(entry: Service) -> dict[str, Any]:
    return {
        "command": ["CMD", "python", "-m", "apps.kit.probe", probe_url(entry, entry.liveness)],
        "interval": entry.liveness.period_seconds,
        # The probe's own limit is three seconds, and Python takes a moment to start.
        "timeout": max(5, entry.liveness.timeout_seconds),
        "retries": entry.liveness.failure_threshold,
        "startPeriod": START_SECONDS,
    }


def probe_url(entry: Service, probe: Probe) -> str:
    if entry.protocol == "grpc":
        return f"grpc://127.0.0.1:{entry.port}{probe.path}"
    return f"{'https' if entry.public else 'http'}://127.0.0.1:{entry.port}{probe.path}"
