"""Walks the security groups as packets would: the edges are the catalogue's, and there is no other
path.
"""

import ipaddress
from collections.abc import Iterator

import pytest

from apps.catalogue import DATABASES, SERVICES
from infrastructure.data.databases import PORT as DATABASE_PORT
from infrastructure.data.msk import PORT as BROKER_PORT
from infrastructure.network.edges import BALANCER, BROKER, INTERNET, Edge, database, edges
from infrastructure.plan.graph import reached
from infrastructure.recording import Recording

pytestmark = pytest.mark.infrastructure
EXPECTED = set(edges(database_port=DATABASE_PORT, broker_port=BROKER_PORT))


@pytest.mark.parametrize("name", ["dev", "staging", "prod"])
def test_the_groups_let_through_what_the_catalogue_declares_and_no_more(
    stacks: dict[str, Recording], name: str
) -> None:
    stack = stacks[name]
    found = {edge for edge in reached(stack, stack) if edge.source != "release"}
    assert found == EXPECTED


def test_a_previews_edges_are_the_same(stacks: dict[str, Recording]) -> None:
    assert {
        edge for edge in reached(stacks["pr-1"], stacks["dev"]) if edge.source != "release"
    } == EXPECTED


def test_previews_do_not_reach_each_other_nor_their_base(
    dev: Recording, preview: Recording, other_preview: Recording
) -> None:
    def own(stack: Recording) -> set[str]:
        return {each.id for each in stack.of("aws:ec2/securityGroup:SecurityGroup")}

    for stack, others in ((preview, own(other_preview)), (other_preview, own(preview))):
        for rule in rules(stack):
            touched = {rule["securityGroupId"], rule.get("referencedSecurityGroupId")}
            assert not touched & others
            # A preview opens nothing of its base's.
            assert rule["securityGroupId"] in own(stack)


def test_only_the_balancer_is_open_to_the_world(stacks: dict[str, Recording]) -> None:
    for stack in stacks.values():
        for rule in stack.of("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"):
            if rule.inputs.get("cidrIpv4"):
                assert rule.name.rpartition("-")[2] in ("80", "443"), rule.name


def test_the_whole_way_in_is_one(dev: Recording) -> None:
    found = reached(dev, dev)
    assert {edge.target for edge in found if edge.source == INTERNET} == {BALANCER}
    assert [edge.target for edge in found if edge.source == BALANCER] == ["gateway"]
    for name in DATABASES:
        sources = {edge.source for edge in found if edge.target == database(name)} - {"release"}
        assert sources == {entry.name for entry in SERVICES.values() if name in entry.databases}
    assert {edge.source for edge in found if edge.target == BROKER} == {
        entry.name for entry in SERVICES.values() if entry.produces or entry.consumes
    }


def test_data_lies_in_subnets_without_a_way_out(stacks: dict[str, Recording]) -> None:
    for stack in stacks.values():
        isolated = {
            each.id
            for each in stack.of("aws:ec2/subnet:Subnet")
            if each.inputs["tags"]["SubnetType"] == "Isolated"
        }
        for each in stack.of("aws:rds/subnetGroup:SubnetGroup"):
            assert set(each.inputs["subnetIds"]) == isolated
        for each in stack.of("aws:msk/cluster:Cluster"):
            assert set(each.inputs["brokerNodeGroupInfo"]["clientSubnets"]) == isolated


def test_blocks_of_subnets_do_not_overlap_and_lie_in_the_vpc(stacks: dict[str, Recording]) -> None:
    for name in ("dev", "staging", "prod"):
        (vpc,) = blocks(stacks[name], "aws:ec2/vpc:Vpc")
        subnets = blocks(stacks[name], "aws:ec2/subnet:Subnet")
        assert len(subnets) >= 6
        for index, block in enumerate(subnets):
            assert block.subnet_of(vpc)
            assert not any(block.overlaps(other) for other in subnets[index + 1 :])


def blocks(stack: Recording, kind: str) -> list[ipaddress.IPv4Network]:
    return [ipaddress.IPv4Network(each.inputs["cidrBlock"]) for each in stack.of(kind)]


def rules(stack: Recording) -> Iterator[dict[str, str]]:
    for kind in ("Ingress", "Egress"):
        for each in stack.of(f"aws:vpc/securityGroup{kind}Rule:SecurityGroup{kind}Rule"):
            yield dict(each.inputs)


def test_edges_come_from_the_catalogue() -> None:
    assert Edge("gateway", "billing", 9001) in EXPECTED
    assert Edge("billing", "gateway", 4004) not in EXPECTED
