"""Security groups without rules of their own, and rules one by one: an edge of the network is a
resource a side.
"""

from collections.abc import Sequence

import pulumi
import pulumi_aws as aws

from infrastructure.config import limits


def make_group(
    name: str, vpc_id: pulumi.Input[str], description: str, opts: pulumi.ResourceOptions
) -> aws.ec2.SecurityGroup:
    limits.check_group_description(description)
    # No rule inline: rules are resources of their own, and the two kinds undo each other.
    return aws.ec2.SecurityGroup(
        name,
        vpc_id=vpc_id,
        description=description,
        revoke_rules_on_delete=True,
        tags={"Name": name},
        opts=opts,
    )


def id_when_open(
    made: aws.ec2.SecurityGroup, rules: Sequence[pulumi.CustomResource]
) -> pulumi.Output[str]:
    """Returns the group's id, known once its ways stand: what carries it then never starts
    before it may call.
    """
    return pulumi.Output.all(made.id, *(rule.id for rule in rules)).apply(lambda ids: str(ids[0]))


def open_ingress(
    name: str,
    group_id: pulumi.Input[str],
    port: int | None,
    description: str,
    opts: pulumi.ResourceOptions,
    *,
    source: pulumi.Input[str] | None = None,
    cidr: str | None = None,
) -> pulumi.CustomResource:
    limits.check_group_description(description)
    return aws.vpc.SecurityGroupIngressRule(
        name,
        security_group_id=group_id,
        ip_protocol="tcp" if port is not None else "-1",
        from_port=port,
        to_port=port,
        referenced_security_group_id=source,
        cidr_ipv4=cidr,
        description=description,
        opts=opts,
    )


def open_egress(
    name: str,
    group_id: pulumi.Input[str],
    port: int | None,
    description: str,
    opts: pulumi.ResourceOptions,
    *,
    target: pulumi.Input[str] | None = None,
    cidr: str | None = None,
    prefix_list: pulumi.Input[str] | None = None,
) -> pulumi.CustomResource:
    limits.check_group_description(description)
    return aws.vpc.SecurityGroupEgressRule(
        name,
        security_group_id=group_id,
        ip_protocol="tcp" if port is not None else "-1",
        from_port=port,
        to_port=port,
        referenced_security_group_id=target,
        cidr_ipv4=cidr,
        prefix_list_id=prefix_list,
        description=description,
        opts=opts,
    )


def allow_traffic(
    name: str,
    *,
    source_id: pulumi.Input[str],
    target_id: pulumi.Input[str],
    port: int | None,
    description: str,
    opts: pulumi.ResourceOptions,
) -> list[pulumi.CustomResource]:
    """Opens one edge: out of the source's group and into the target's, on that port alone."""
    return [
        open_egress(name, source_id, port, description, opts, target=target_id),
        open_ingress(name, target_id, port, description, opts, source=source_id),
    ]
