"""The network rules of an app: a security group for each service, and who may call whom."""

from collections.abc import Mapping

import pulumi

from apps.catalogue import SERVICES
from infrastructure.config.model import EnvironmentStack, Stack
from infrastructure.network.edges import calls
from infrastructure.network.security_groups import allow_traffic, make_group, open_egress

Text = pulumi.Input[str]


def make_service_groups(
    stack_name: str, vpc_id: Text, opts: pulumi.ResourceOptions
) -> dict[str, pulumi.Output[str]]:
    """Makes a security group for each service; returns their ids by service."""
    return {
        entry: make_group(f"{stack_name}-{entry}", vpc_id, f"The service {entry}", opts).id
        for entry in SERVICES
    }


def allow_calls(
    stack_name: str, groups: Mapping[str, Text], opts: pulumi.ResourceOptions
) -> list[pulumi.CustomResource]:
    """Lets each service reach those that it calls, and no other."""
    return [
        rule
        for edge in calls()
        for rule in allow_traffic(
            f"{stack_name}-{edge.source}-{edge.target}",
            source_id=groups[edge.source],
            target_id=groups[edge.target],
            port=edge.port,
            description=f"{edge.source} calls {edge.target}",
            opts=opts,
        )
    ]


def open_outbound(
    stack_name: str, stack: Stack, auth_group: Text, opts: pulumi.ResourceOptions
) -> list[pulumi.CustomResource]:
    """Lets auth, the one service that calls out, leave on the ports that the stack names."""
    ports = stack.config.outbound_ports if isinstance(stack, EnvironmentStack) else ()
    return [
        open_egress(
            f"{stack_name}-auth-outbound-{port}",
            auth_group,
            port,
            "Mail, an external provider and clients of auth",
            opts,
            cidr="0.0.0.0/0",
        )
        for port in ports
    ]
