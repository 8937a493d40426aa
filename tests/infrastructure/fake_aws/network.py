"""The network's half of the bridge: VPC, groups, balancer, names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from infrastructure.config import limits
from tests.infrastructure.fake_aws.aws_json import pascal

if TYPE_CHECKING:
    from tests.infrastructure.fake_aws.moto_resources import Creator, Made, Moto


def vpc(cloud: Moto, name: str, inputs: dict[str, Any]) -> Made:
    made = cloud.client("ec2").create_vpc(CidrBlock=inputs["cidrBlock"])["Vpc"]
    return made["VpcId"], {"ipv6CidrBlock": ""}


def gateway(cloud: Moto, name: str, inputs: dict[str, Any]) -> Made:
    made = cloud.client("ec2").create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    cloud.client("ec2").attach_internet_gateway(InternetGatewayId=made, VpcId=inputs["vpcId"])
    return made, {}


def subnet(cloud: Moto, name: str, inputs: dict[str, Any]) -> Made:
    made = cloud.client("ec2").create_subnet(
        VpcId=inputs["vpcId"],
        CidrBlock=inputs["cidrBlock"],
        AvailabilityZone=inputs["availabilityZone"],
    )["Subnet"]
    return made["SubnetId"], {}


def table(cloud: Moto, name: str, inputs: dict[str, Any]) -> Made:
    return cloud.client("ec2").create_route_table(VpcId=inputs["vpcId"])["RouteTable"][
        "RouteTableId"
    ], {}


def association(cloud: Moto, name: str, inputs: dict[str, Any]) -> Made:
    made = cloud.client("ec2").associate_route_table(
        RouteTableId=inputs["routeTableId"], SubnetId=inputs["subnetId"]
    )
    return made["AssociationId"], {}


def route(cloud: Moto, name: str, inputs: dict[str, Any]) -> Made:
    target = (
        {"GatewayId": inputs["gatewayId"]}
        if "gatewayId" in inputs
        else {"NatGatewayId": inputs["natGatewayId"]}
    )
    cloud.client("ec2").create_route(
        RouteTableId=inputs["routeTableId"],
        DestinationCidrBlock=inputs["destinationCidrBlock"],
        **target,
    )
    return name, {}


def address(cloud: Moto, name: str, inputs: dict[str, Any]) -> Made:
    made = cloud.client("ec2").allocate_address(Domain="vpc")
    return made["AllocationId"], {"allocationId": made["AllocationId"]}


def nat(cloud: Moto, name: str, inputs: dict[str, Any]) -> Made:
    made = cloud.client("ec2").create_nat_gateway(
        SubnetId=inputs["subnetId"], AllocationId=inputs["allocationId"]
    )
    return made["NatGateway"]["NatGatewayId"], {}


def endpoint(cloud: Moto, name: str, inputs: dict[str, Any]) -> Made:
    given: dict[str, Any] = {"VpcId": inputs["vpcId"], "ServiceName": inputs["serviceName"]}
    if inputs["vpcEndpointType"] == "Gateway":
        given["RouteTableIds"] = inputs["routeTableIds"]
    else:
        given |= {"SubnetIds": inputs["subnetIds"], "SecurityGroupIds": inputs["securityGroupIds"]}
    made = cloud.client("ec2").create_vpc_endpoint(
        VpcEndpointType=inputs["vpcEndpointType"], **given
    )["VpcEndpoint"]
    return made["VpcEndpointId"], {}


def flow_log(cloud: Moto, name: str, inputs: dict[str, Any]) -> Made:
    made = cloud.client("ec2").create_flow_logs(
        ResourceIds=[inputs["vpcId"]],
        ResourceType="VPC",
        TrafficType=inputs["trafficType"],
        LogDestinationType=inputs["logDestinationType"],
        LogGroupName=inputs["logDestination"].rpartition(":")[2],
        DeliverLogsPermissionArn=inputs["iamRoleArn"],
    )
    assert not made["Unsuccessful"], made
    return made["FlowLogIds"][0], {}


def group(cloud: Moto, name: str, inputs: dict[str, Any]) -> Made:
    ec2 = cloud.client("ec2")
    made = ec2.create_security_group(
        GroupName=cloud.unique("aws:ec2/securityGroup:SecurityGroup", name),
        Description=inputs["description"],
        VpcId=inputs["vpcId"],
    )["GroupId"]
    # AWS opens every group's way out; the provider closes it.
    ec2.revoke_security_group_egress(
        GroupId=made, IpPermissions=[{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    )
    return made, {"vpcId": inputs["vpcId"]}


def default_group(cloud: Moto, name: str, inputs: dict[str, Any]) -> Made:
    """The provider takes over AWS's own, and leaves the rules that are given: none."""
    ec2 = cloud.client("ec2")
    own = [
        {"Name": "vpc-id", "Values": [inputs["vpcId"]]},
        {"Name": "group-name", "Values": ["default"]},
    ]
    (found,) = ec2.describe_security_groups(Filters=own)["SecurityGroups"]
    ec2.revoke_security_group_egress(
        GroupId=found["GroupId"], IpPermissions=found["IpPermissionsEgress"]
    )
    return found["GroupId"], {}


def rule(call: str) -> Creator:
    def make(cloud: Moto, name: str, inputs: dict[str, Any]) -> Made:
        permission: dict[str, Any] = {"IpProtocol": inputs["ipProtocol"]}
        if inputs["ipProtocol"] != "-1":
            permission |= {"FromPort": inputs["fromPort"], "ToPort": inputs["toPort"]}
        if inputs.get("referencedSecurityGroupId"):
            permission["UserIdGroupPairs"] = [{"GroupId": inputs["referencedSecurityGroupId"]}]
        elif inputs.get("prefixListId"):
            permission["PrefixListIds"] = [{"PrefixListId": inputs["prefixListId"]}]
        else:
            permission["IpRanges"] = [{"CidrIp": inputs["cidrIpv4"]}]
        # moto looks a referenced group up by its id.
        getattr(cloud.client("ec2"), call)(
            GroupId=inputs["securityGroupId"], IpPermissions=[permission]
        )
        return f"sgr-{next(cloud.numbers):07x}", {}

    return make


def balancer(cloud: Moto, name: str, inputs: dict[str, Any]) -> Made:
    made = cloud.client("elbv2").create_load_balancer(
        Name=cloud.unique("aws:lb/loadBalancer:LoadBalancer", name),
        Subnets=inputs["subnets"],
        SecurityGroups=inputs["securityGroups"],
        Scheme="internal" if inputs["internal"] else "internet-facing",
    )["LoadBalancers"][0]
    arn = made["LoadBalancerArn"]
    suffix = arn.partition("loadbalancer/")[2]
    return arn, {
        "arn": arn,
        "arnSuffix": suffix,
        "dnsName": made["DNSName"],
        "zoneId": made["CanonicalHostedZoneId"],
    }


def target_group(cloud: Moto, name: str, inputs: dict[str, Any]) -> Made:
    made = cloud.client("elbv2").create_target_group(
        Name=cloud.unique("aws:lb/targetGroup:TargetGroup", name),
        Protocol=inputs["protocol"],
        Port=inputs["port"],
        VpcId=inputs["vpcId"],
        TargetType=inputs["targetType"],
        HealthCheckPath=inputs["healthCheck"]["path"],
    )["TargetGroups"][0]["TargetGroupArn"]
    return made, {"arn": made, "arnSuffix": made.rpartition(":")[2]}


def actions(given: list[dict[str, Any]]) -> list[dict[str, Any]]:
    translated = []
    for action in given:
        if action["type"] == "forward":
            translated.append({"Type": "forward", "TargetGroupArn": action["targetGroupArn"]})
        elif action["type"] == "redirect":
            redirect = action["redirect"]
            wanted = {
                key: redirect[key[0].lower() + key[1:]]
                for key in ("Protocol", "Port", "StatusCode")
            }
            translated.append({"Type": "redirect", "RedirectConfig": wanted})
        else:
            fixed = action["fixedResponse"]
            answer = {"StatusCode": fixed["statusCode"], "ContentType": fixed["contentType"]}
            translated.append({"Type": "fixed-response", "FixedResponseConfig": answer})
    return translated


def listener(cloud: Moto, name: str, inputs: dict[str, Any]) -> Made:
    tls = {}
    if inputs["protocol"] == "HTTPS":
        # moto takes any certificate: look whether it is there.
        cloud.client("acm").describe_certificate(CertificateArn=inputs["certificateArn"])
        tls = {
            "SslPolicy": inputs["sslPolicy"],
            "Certificates": [{"CertificateArn": inputs["certificateArn"]}],
        }
    made = cloud.client("elbv2").create_listener(
        LoadBalancerArn=inputs["loadBalancerArn"],
        Port=inputs["port"],
        Protocol=inputs["protocol"],
        DefaultActions=actions(inputs["defaultActions"]),
        **tls,
    )["Listeners"][0]["ListenerArn"]
    return made, {"arn": made}


def listener_rule(cloud: Moto, name: str, inputs: dict[str, Any]) -> Made:
    limits.check_priority(inputs["priority"])
    made = cloud.client("elbv2").create_rule(
        ListenerArn=inputs["listenerArn"],
        Priority=inputs["priority"],
        Conditions=[
            {
                "Field": "host-header",
                "HostHeaderConfig": {"Values": condition["hostHeader"]["values"]},
            }
            for condition in inputs["conditions"]
        ],
        Actions=actions(inputs["actions"]),
    )["Rules"][0]["RuleArn"]
    return made, {"arn": made}


def certificate(cloud: Moto, name: str, inputs: dict[str, Any]) -> Made:
    arn = cloud.client("acm").request_certificate(
        DomainName=inputs["domainName"], ValidationMethod=inputs["validationMethod"]
    )["CertificateArn"]
    options = cloud.client("acm").describe_certificate(CertificateArn=arn)["Certificate"][
        "DomainValidationOptions"
    ]
    proof = options[0].get(
        "ResourceRecord", {"Name": f"_x.{inputs['domainName']}.", "Type": "CNAME", "Value": "v."}
    )
    record = {f"resourceRecord{key}": proof[key] for key in ("Name", "Type", "Value")}
    return arn, {
        "arn": arn,
        "domainValidationOptions": [{"domainName": inputs["domainName"], **record}],
    }


def record(cloud: Moto, name: str, inputs: dict[str, Any]) -> Made:
    change: dict[str, Any] = {"Name": inputs["name"], "Type": inputs["type"]}
    if inputs.get("aliases"):
        target = inputs["aliases"][0]
        change["AliasTarget"] = {
            "HostedZoneId": target["zoneId"],
            "DNSName": target["name"],
            "EvaluateTargetHealth": target["evaluateTargetHealth"],
        }
    else:
        change |= {
            "TTL": inputs["ttl"],
            "ResourceRecords": [{"Value": value} for value in inputs["records"]],
        }
    cloud.client("route53").change_resource_record_sets(
        HostedZoneId=inputs["zoneId"],
        ChangeBatch={"Changes": [{"Action": "UPSERT", "ResourceRecordSet": change}]},
    )
    return inputs["name"], {"fqdn": inputs["name"]}


def acl(cloud: Moto, name: str, inputs: dict[str, Any]) -> Made:
    made = cloud.client("wafv2").create_web_acl(
        Name=cloud.unique("aws:wafv2/webAcl:WebAcl", name),
        Scope=inputs["scope"],
        DefaultAction=pascal(inputs["defaultAction"]),
        VisibilityConfig=pascal(inputs["visibilityConfig"]),
        Rules=pascal(inputs["rules"]),
    )["Summary"]
    return made["Id"], {"arn": made["ARN"]}


def acl_association(cloud: Moto, name: str, inputs: dict[str, Any]) -> Made:
    cloud.client("wafv2").associate_web_acl(
        WebACLArn=inputs["webAclArn"], ResourceArn=inputs["resourceArn"]
    )
    return name, {}


def acl_logging(cloud: Moto, name: str, inputs: dict[str, Any]) -> Made:
    cloud.client("wafv2").put_logging_configuration(
        LoggingConfiguration={
            "ResourceArn": inputs["resourceArn"],
            "LogDestinationConfigs": inputs["logDestinationConfigs"],
            "RedactedFields": pascal(inputs["redactedFields"]),
            "LoggingFilter": pascal(inputs["loggingFilter"]),
        }
    )
    return inputs["resourceArn"], {}


NETWORK: dict[str, Creator] = {
    "aws:acm/certificate:Certificate": certificate,
    "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup": default_group,
    "aws:ec2/eip:Eip": address,
    "aws:ec2/flowLog:FlowLog": flow_log,
    "aws:ec2/internetGateway:InternetGateway": gateway,
    "aws:ec2/natGateway:NatGateway": nat,
    "aws:ec2/route:Route": route,
    "aws:ec2/routeTable:RouteTable": table,
    "aws:ec2/routeTableAssociation:RouteTableAssociation": association,
    "aws:ec2/securityGroup:SecurityGroup": group,
    "aws:ec2/subnet:Subnet": subnet,
    "aws:ec2/vpc:Vpc": vpc,
    "aws:ec2/vpcEndpoint:VpcEndpoint": endpoint,
    "aws:lb/listener:Listener": listener,
    "aws:lb/listenerRule:ListenerRule": listener_rule,
    "aws:lb/loadBalancer:LoadBalancer": balancer,
    "aws:lb/targetGroup:TargetGroup": target_group,
    "aws:route53/record:Record": record,
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": rule(
        "authorize_security_group_egress"
    ),
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": rule(
        "authorize_security_group_ingress"
    ),
    "aws:wafv2/webAcl:WebAcl": acl,
    "aws:wafv2/webAclAssociation:WebAclAssociation": acl_association,
    "aws:wafv2/webAclLoggingConfiguration:WebAclLoggingConfiguration": acl_logging,
}
