"""What `awsx.ec2.Vpc` makes: a remote component has no children under mocks, so they are made here
as it would.
"""

from collections.abc import Callable
from typing import Any

Create = Callable[[str, str, dict[str, Any]], tuple[str, dict[str, Any]]]


def make_vpc(name: str, inputs: dict[str, Any], create: Create) -> tuple[str, dict[str, Any]]:
    """Gives the VPC's id and the component's outputs.

    `create` is called once a child, in their order.
    """
    vpc_id, _ = create(
        "aws:ec2/vpc:Vpc",
        name,
        {"cidrBlock": inputs["cidrBlock"], "enableDnsHostnames": True, "enableDnsSupport": True},
    )
    gateway, _ = create("aws:ec2/internetGateway:InternetGateway", name, {"vpcId": vpc_id})
    subnets: dict[str, list[str]] = {"Public": [], "Private": [], "Isolated": []}
    tables: list[str] = []
    nats: list[str] = []
    strategy = inputs["natGateways"]["strategy"]
    single = strategy == "Single"
    # Public ones first: a private subnet's route needs the NAT.
    specs = sorted(inputs["subnetSpecs"], key=lambda spec: spec["type"] != "Public")
    for index, zone in enumerate(inputs["availabilityZoneNames"]):
        for spec in specs:
            kind = spec["type"]
            if kind == "Unused":
                continue
            label = f"{name}-{spec['name']}-{index + 1}"
            subnet, _ = create(
                "aws:ec2/subnet:Subnet",
                label,
                {
                    "vpcId": vpc_id,
                    "availabilityZone": zone,
                    "cidrBlock": spec["cidrBlocks"][index],
                    "mapPublicIpOnLaunch": kind == "Public",
                    "tags": {"Name": label, "SubnetType": kind},
                },
            )
            subnets[kind].append(subnet)
            table, _ = create("aws:ec2/routeTable:RouteTable", label, {"vpcId": vpc_id})
            tables.append(table)
            create(
                "aws:ec2/routeTableAssociation:RouteTableAssociation",
                label,
                {"routeTableId": table, "subnetId": subnet},
            )
            route = {"routeTableId": table, "destinationCidrBlock": "0.0.0.0/0"}
            if kind == "Public":
                create("aws:ec2/route:Route", label, {**route, "gatewayId": gateway})
                if strategy != "None" and (not single or not nats):
                    address, made = create(
                        "aws:ec2/eip:Eip", f"{name}-{index + 1}", {"domain": "vpc"}
                    )
                    nat, _ = create(
                        "aws:ec2/natGateway:NatGateway",
                        f"{name}-{index + 1}",
                        {"subnetId": subnet, "allocationId": made.get("allocationId", address)},
                    )
                    nats.append(nat)
            elif kind == "Private" and nats:
                create(
                    "aws:ec2/route:Route",
                    label,
                    {**route, "natGatewayId": nats[0 if single else index]},
                )
    for spec in inputs.get("vpcEndpointSpecs", []):
        create(
            "aws:ec2/vpcEndpoint:VpcEndpoint",
            spec["serviceName"],
            {
                "vpcId": vpc_id,
                "serviceName": spec["serviceName"],
                "vpcEndpointType": spec["vpcEndpointType"],
                "routeTableIds": tables,
            },
        )
    return vpc_id, {
        "vpcId": vpc_id,
        "publicSubnetIds": subnets["Public"],
        "privateSubnetIds": subnets["Private"],
        "isolatedSubnetIds": subnets["Isolated"],
    }
