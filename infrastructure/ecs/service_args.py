"""What one service of the catalogue is made of on ECS: its component, its scaling and its alarms
all read it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from apps.catalogue import Replicas, Service
from infrastructure.config.platform_outputs import PlatformOutputs
from infrastructure.iam.roles import PermissionsBoundary
from infrastructure.iam.service_roles import ServiceResources

Text = pulumi.Input[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicRoute:
    """The public service's: the host that its rule takes, at a priority of its own."""

    host: Text
    priority: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceArgs:
    """`secrets`: places by variable.

    `groups`: the security groups that the task carries. `stack`: for names.

    `steady`: the run waits until the service is steady.
    """

    entry: Service
    stack: str
    platform: PlatformOutputs
    resources: ServiceResources
    image: Text
    environment: Mapping[str, Text]
    secrets: Mapping[str, Text]
    groups: Sequence[Text]
    namespace_arn: Text
    log_group_name: str
    log_retention_days: int
    replicas: Replicas
    spot: bool
    steady: bool
    watched: bool
    insights: bool
    boundary: PermissionsBoundary
    public_route: PublicRoute | None = None
