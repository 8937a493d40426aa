"""The VPC: public subnets for the balancer and NAT, private ones for tasks,
isolated ones for data.
"""

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
import pulumi_awsx as awsx

from infrastructure.iam.roles import PermissionsBoundary, role_of_service
from infrastructure.network import subnets
from infrastructure.network.security_groups import (
    id_when_open,
    make_group,
    open_egress,
    open_ingress,
)

HTTPS = 443
# Rejected traffic is looked at while something is wrong; audits are in the databases.
FLOW_LOG_DAYS = 90
# What tasks call. S3 has a gateway endpoint of its own, free of charge.
INTERFACES = ("ecr.api", "ecr.dkr", "logs", "secretsmanager")

NAT = {
    "none": awsx.ec2.NatGatewayStrategy.NONE,
    "single": awsx.ec2.NatGatewayStrategy.SINGLE,
    "per-zone": awsx.ec2.NatGatewayStrategy.ONE_PER_AZ,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkArgs:
    region: str
    cidr: str
    zones: tuple[str, ...]
    nat: str
    interface_endpoints: bool
    log_retention_days: int
    key_arn: pulumi.Input[str]
    log_group_name: str
    boundary: PermissionsBoundary


class Network(pulumi.ComponentResource):
    """Outputs: `vpc_id`, subnets by kind, and `apis_group_id`:
    what carries it may call AWS's APIs.
    """

    def __init__(
        self, name: str, args: NetworkArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("patient:infrastructure:Network", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        vpc = awsx.ec2.Vpc(
            name,
            awsx.ec2.VpcArgs(
                cidr_block=args.cidr,
                availability_zone_names=args.zones,
                subnet_strategy=awsx.ec2.SubnetAllocationStrategy.EXACT,
                subnet_specs=[
                    awsx.ec2.SubnetSpecArgs(
                        type=awsx.ec2.SubnetType(spec.type),
                        name=spec.name,
                        cidr_blocks=list(spec.blocks),
                    )
                    for spec in subnets.plan_subnets(args.cidr, len(args.zones))
                ],
                nat_gateways=awsx.ec2.NatGatewayConfigurationArgs(strategy=NAT[args.nat]),
                enable_dns_hostnames=True,
                enable_dns_support=True,
                vpc_endpoint_strategy=awsx.ec2.VpcEndpointStrategy.AUTO,
                vpc_endpoint_specs=[
                    awsx.ec2.VpcEndpointSpecArgs(
                        service_name=f"com.amazonaws.{args.region}.s3", vpc_endpoint_type="Gateway"
                    )
                ],
            ),
            opts=child,
        )
        self.vpc_id = vpc.vpc_id
        self.public_subnet_ids = vpc.public_subnet_ids
        self.private_subnet_ids = vpc.private_subnet_ids
        self.isolated_subnet_ids = vpc.isolated_subnet_ids

        # EC2.2: the group that a resource gets when nobody named one lets nothing through.
        aws.ec2.DefaultSecurityGroup(
            f"{name}-default", vpc_id=vpc.vpc_id, ingress=[], egress=[], opts=child
        )
        self.record_flows(name, args)
        self.apis_group_id = self.allow_apis(name, args)
        self.register_outputs({"vpc_id": self.vpc_id})

    def record_flows(self, name: str, args: NetworkArgs) -> None:
        child = pulumi.ResourceOptions(parent=self)
        logs = aws.cloudwatch.LogGroup(
            f"{name}-flows",
            name=args.log_group_name,
            retention_in_days=min(args.log_retention_days, FLOW_LOG_DAYS),
            kms_key_id=args.key_arn,
            opts=child,
        )
        role = role_of_service(
            f"{name}-flows",
            "vpc-flow-logs.amazonaws.com",
            {
                "write": [
                    {
                        "Effect": "Allow",
                        "Action": [
                            "logs:CreateLogStream",
                            "logs:DescribeLogStreams",
                            "logs:PutLogEvents",
                        ],
                        "Resource": [logs.arn, pulumi.Output.concat(logs.arn, ":*")],
                    }
                ]
            },
            child,
            args.boundary,
        )
        aws.ec2.FlowLog(
            f"{name}-flows",
            vpc_id=self.vpc_id,
            # Accepted traffic is what the security groups say; all of it costs more than it tells.
            traffic_type="REJECT",
            log_destination=logs.arn,
            log_destination_type="cloud-watch-logs",
            iam_role_arn=role.arn,
            opts=pulumi.ResourceOptions.merge(
                child, pulumi.ResourceOptions(depends_on=list(role.policies))
            ),
        )

    def allow_apis(self, name: str, args: NetworkArgs) -> pulumi.Output[str]:
        """Opens the way to AWS's APIs. Without interface endpoints AWS's APIs have no range that a
        rule could name: HTTPS to anywhere, by NAT.
        """
        child = pulumi.ResourceOptions(parent=self)
        callers = make_group(
            f"{name}-apis", self.vpc_id, "Carried by what calls the APIs of AWS", child
        )
        if not args.interface_endpoints:
            rule = open_egress(
                f"{name}-apis", callers.id, HTTPS, "AWS APIs by NAT", child, cidr="0.0.0.0/0"
            )
            return id_when_open(callers, [rule])
        endpoints = make_group(f"{name}-endpoints", self.vpc_id, "The interface endpoints", child)
        buckets = aws.ec2.get_managed_prefix_list_output(name=f"com.amazonaws.{args.region}.s3")
        rules = [
            open_ingress(
                f"{name}-endpoints", endpoints.id, HTTPS, "Tasks", child, source=callers.id
            ),
            open_egress(
                f"{name}-apis",
                callers.id,
                HTTPS,
                "AWS APIs by endpoint",
                child,
                target=endpoints.id,
            ),
            open_egress(
                f"{name}-s3", callers.id, HTTPS, "Image layers in S3", child, prefix_list=buckets.id
            ),
        ]
        made = [
            aws.ec2.VpcEndpoint(
                f"{name}-{interface.replace('.', '-')}",
                vpc_id=self.vpc_id,
                service_name=f"com.amazonaws.{args.region}.{interface}",
                vpc_endpoint_type="Interface",
                subnet_ids=self.private_subnet_ids,
                security_group_ids=[endpoints.id],
                private_dns_enabled=True,
                opts=child,
            )
            for interface in INTERFACES
        ]
        return id_when_open(callers, [*rules, *made])
