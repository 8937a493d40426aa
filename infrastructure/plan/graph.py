"""Who can reach whom, read back from the security groups of a recording: an edge needs a rule on
both sides.
"""

from collections import defaultdict
from collections.abc import Container, Mapping
from typing import Any

from apps.catalogue import DATABASES
from infrastructure.network.edges import AWS, BALANCER, BROKER, INTERNET, Edge, database
from infrastructure.recording import Recording, Resource

INGRESS = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
EGRESS = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"
ENDPOINT = "aws:ec2/vpcEndpoint:VpcEndpoint"
ANYWHERE = "0.0.0.0/0"
Rule = Mapping[str, Any]


def carriers(stack: Recording, platform: Recording) -> dict[str, set[str]]:
    """Returns each node's security groups. What a stack runs on may be another's."""
    nodes: dict[str, set[str]] = {}
    for balancer in platform.of("aws:lb/loadBalancer:LoadBalancer"):
        nodes[BALANCER] = set(balancer.inputs["securityGroups"])
    for cluster in platform.of("aws:msk/cluster:Cluster"):
        nodes[BROKER] = set(cluster.inputs["brokerNodeGroupInfo"]["securityGroups"])
    for service in stack.of("aws:ecs/service:Service"):
        name = service.name.removeprefix(f"{stack.stack.name}-")
        nodes[name] = set(service.inputs["networkConfiguration"]["securityGroups"])
    for instance in platform.of("aws:rds/instance:Instance"):
        groups = set(instance.inputs["vpcSecurityGroupIds"])
        for name in databases_on(platform, instance):
            nodes[database(name)] = groups
    for function in platform.of("aws:lambda/function:Function"):
        nodes["release"] = set(function.inputs["environment"]["variables"]["GROUPS"].split(","))
    return nodes


def databases_on(platform: Recording, instance: Resource) -> list[str]:
    addresses = platform.outputs["platform"]["database_addresses"]
    return [name for name in DATABASES if addresses[name] == instance.outputs["address"]]


def reached(stack: Recording, platform: Recording) -> list[Edge]:
    """Finds who reaches whom. A database on a shared instance counts for whoever carries its own
    client group: roles hold the rest apart.
    """
    resources = [*stack.resources] if stack is platform else [*stack.resources, *platform.resources]
    nodes = carriers(stack, platform)
    ports: dict[tuple[str, str], set[int]] = defaultdict(set)
    ways_in = [each.inputs for each in resources if each.type == INGRESS]
    ways_out = [each.inputs for each in resources if each.type == EGRESS]
    clients = platform.outputs["platform"]["database_group_ids"]
    for source, groups in nodes.items():
        for target, behind in nodes.items():
            if (
                target.startswith("database:")
                and source != "release"
                and clients[target[9:]] not in groups
            ):
                continue
            for out in ways_out:
                if out["securityGroupId"] not in groups:
                    continue
                for way in ways_in:
                    port = (
                        meet(out, way, groups, behind) if way["securityGroupId"] in behind else None
                    )
                    if port is not None:
                        ports[source, target].add(port)
    endpoints = {
        group
        for each in platform.of(ENDPOINT)
        for group in each.inputs.get("securityGroupIds") or []
    }
    for source, groups in nodes.items():
        for out in ways_out:
            if out["securityGroupId"] in groups and leaves(out, endpoints):
                ports[source, AWS].add(port_of(out))
    for target, behind in nodes.items():
        for way in ways_in:
            if way["securityGroupId"] in behind and way.get("cidrIpv4") == ANYWHERE:
                ports[INTERNET, target].add(port_of(way))
    return sorted(
        Edge(*pair, port) for pair, found in ports.items() if pair[0] != pair[1] for port in found
    )


def leaves(out: Rule, endpoints: Container[object]) -> bool:
    """Towards AWS's APIs: by endpoint, or by NAT, where they have no range of their own."""
    return (
        bool(out.get("cidrIpv4") or out.get("prefixListId"))
        or out.get("referencedSecurityGroupId") in endpoints
    )


def meet(out: Rule, way: Rule, groups: Container[object], behind: Container[object]) -> int | None:
    """Returns the port on which both let through; 0 for all."""
    goes = out.get("referencedSecurityGroupId") in behind or bool(out.get("cidrIpv4"))
    comes = way.get("referencedSecurityGroupId") in groups or bool(way.get("cidrIpv4"))
    # Where neither side names the other, the way leads over the internet.
    if not (goes and comes) or (out.get("cidrIpv4") and way.get("cidrIpv4")):
        return None
    ports = {port_of(out), port_of(way)} - {0}
    if len(ports) > 1:
        return None
    return ports.pop() if ports else 0


def port_of(rule: Rule) -> int:
    """Returns 0 for all. Raises ValueError where it is more than one TCP port: no
    edge could say so.
    """
    if rule["ipProtocol"] == "-1":
        return 0
    first, last = int(rule["fromPort"]), int(rule["toPort"])
    if rule["ipProtocol"] != "tcp" or first != last:
        raise ValueError(
            f"a rule of {rule['securityGroupId']} opens {rule['ipProtocol']} {first} to {last}"
        )
    return first
