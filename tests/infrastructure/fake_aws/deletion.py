"""How what the bridge made is taken away again, and how it is looked for: type by type, raising as
AWS does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from infrastructure.plan.paper import ACCOUNT
from tests.infrastructure.fake_aws.moto_resources import BUCKET_ENCRYPTION, ON_PAPER

if TYPE_CHECKING:
    from tests.infrastructure.fake_aws.moto_resources import Moto

State = dict[str, Any]
Call = Callable[["Moto", State], Any]


def call(service: str, operation: str, given: State | None = None, /, **arguments: str) -> Call:
    """`arguments`: AWS's name for what the state has under that key.

    A trailing `__` makes a list of it.
    """

    def run(cloud: Moto, state: State) -> Any:
        values = {
            name.removesuffix("__"): [state[key]] if name.endswith("__") else state[key]
            for name, key in arguments.items()
        }
        return getattr(cloud.client(service), operation)(**values, **(given or {}))

    return run


def group_rule(operation: str) -> Call:
    def run(cloud: Moto, state: State) -> Any:
        permission: State = {"IpProtocol": state["ipProtocol"]}
        if state["ipProtocol"] != "-1":
            permission |= {"FromPort": state["fromPort"], "ToPort": state["toPort"]}
        if state.get("referencedSecurityGroupId"):
            permission["UserIdGroupPairs"] = [{"GroupId": state["referencedSecurityGroupId"]}]
        else:
            permission["IpRanges"] = [{"CidrIp": state["cidrIpv4"]}]
        return getattr(cloud.client("ec2"), operation)(
            GroupId=state["securityGroupId"], IpPermissions=[permission]
        )

    return run


def end_gateway(cloud: Moto, state: State) -> None:
    ec2 = cloud.client("ec2")
    ec2.detach_internet_gateway(InternetGatewayId=state["id"], VpcId=state["vpcId"])
    ec2.delete_internet_gateway(InternetGatewayId=state["id"])


def end_role_policy(cloud: Moto, state: State) -> None:
    role, _, name = state["id"].partition(":")
    cloud.client("iam").delete_role_policy(RoleName=role, PolicyName=name)


def end_record(cloud: Moto, state: State) -> None:
    route53 = cloud.client("route53")
    records = route53.list_resource_record_sets(HostedZoneId=state["zoneId"])["ResourceRecordSets"]
    found = next(each for each in records if each["Name"].rstrip(".") == state["name"].rstrip("."))
    changes = [{"Action": "DELETE", "ResourceRecordSet": found}]
    route53.change_resource_record_sets(
        HostedZoneId=state["zoneId"], ChangeBatch={"Changes": changes}
    )


def end_acl(cloud: Moto, state: State) -> None:
    waf = cloud.client("wafv2")
    name = state["arn"].split("/")[-2]
    lock = waf.get_web_acl(Name=name, Id=state["id"], Scope="REGIONAL")["LockToken"]
    waf.delete_web_acl(Name=name, Id=state["id"], Scope="REGIONAL", LockToken=lock)


def end_secret(cloud: Moto, state: State) -> None:
    cloud.client("secretsmanager").delete_secret(
        SecretId=state["id"], ForceDeleteWithoutRecovery=state["recoveryWindowInDays"] == 0
    )


def end_capacity(cloud: Moto, state: State) -> None:
    cloud.client("ecs").put_cluster_capacity_providers(
        cluster=state["id"], capacityProviders=[], defaultCapacityProviderStrategy=[]
    )


def with_its_parent(cloud: Moto, state: State) -> None:
    """A part of something whose own end is the end of it."""


SCALED = {
    "ServiceNamespace": "serviceNamespace",
    "ResourceId": "resourceId",
    "ScalableDimension": "scalableDimension",
}
ENDS: dict[str, Call] = {
    **dict.fromkeys(ON_PAPER, with_its_parent),
    "aws:acm/certificate:Certificate": call("acm", "delete_certificate", CertificateArn="arn"),
    "aws:acmpca/certificate:Certificate": with_its_parent,
    "aws:acmpca/certificateAuthority:CertificateAuthority": call(
        "acm-pca", "delete_certificate_authority", CertificateAuthorityArn="arn"
    ),
    "aws:acmpca/certificateAuthorityCertificate:CertificateAuthorityCertificate": with_its_parent,
    "aws:appautoscaling/policy:Policy": call(
        "application-autoscaling", "delete_scaling_policy", PolicyName="id", **SCALED
    ),
    "aws:appautoscaling/target:Target": call(
        "application-autoscaling", "deregister_scalable_target", **SCALED
    ),
    "aws:budgets/budget:Budget": call(
        "budgets", "delete_budget", {"AccountId": ACCOUNT}, BudgetName="id"
    ),
    "aws:cloudwatch/dashboard:Dashboard": call(
        "cloudwatch", "delete_dashboards", DashboardNames__="dashboardName"
    ),
    "aws:cloudwatch/logGroup:LogGroup": call("logs", "delete_log_group", logGroupName="id"),
    "aws:cloudwatch/logMetricFilter:LogMetricFilter": call(
        "logs", "delete_metric_filter", filterName="name", logGroupName="logGroupName"
    ),
    "aws:cloudwatch/metricAlarm:MetricAlarm": call(
        "cloudwatch", "delete_alarms", AlarmNames__="id"
    ),
    "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup": with_its_parent,
    "aws:ec2/eip:Eip": call("ec2", "release_address", AllocationId="id"),
    "aws:ec2/flowLog:FlowLog": call("ec2", "delete_flow_logs", FlowLogIds__="id"),
    "aws:ec2/internetGateway:InternetGateway": end_gateway,
    "aws:ec2/natGateway:NatGateway": call("ec2", "delete_nat_gateway", NatGatewayId="id"),
    "aws:ec2/route:Route": call(
        "ec2",
        "delete_route",
        RouteTableId="routeTableId",
        DestinationCidrBlock="destinationCidrBlock",
    ),
    "aws:ec2/routeTable:RouteTable": call("ec2", "delete_route_table", RouteTableId="id"),
    "aws:ec2/routeTableAssociation:RouteTableAssociation": call(
        "ec2", "disassociate_route_table", AssociationId="id"
    ),
    "aws:ec2/securityGroup:SecurityGroup": call("ec2", "delete_security_group", GroupId="id"),
    "aws:ec2/subnet:Subnet": call("ec2", "delete_subnet", SubnetId="id"),
    "aws:ec2/vpc:Vpc": call("ec2", "delete_vpc", VpcId="id"),
    "aws:ec2/vpcEndpoint:VpcEndpoint": call("ec2", "delete_vpc_endpoints", VpcEndpointIds__="id"),
    "aws:ecr/lifecyclePolicy:LifecyclePolicy": call(
        "ecr", "delete_lifecycle_policy", repositoryName="repository"
    ),
    "aws:ecr/repository:Repository": call("ecr", "delete_repository", repositoryName="name"),
    "aws:ecs/cluster:Cluster": call("ecs", "delete_cluster", cluster="arn"),
    "aws:ecs/clusterCapacityProviders:ClusterCapacityProviders": end_capacity,
    "aws:ecs/service:Service": call(
        "ecs", "delete_service", {"force": True}, cluster="cluster", service="arn"
    ),
    "aws:ecs/taskDefinition:TaskDefinition": call(
        "ecs", "deregister_task_definition", taskDefinition="arn"
    ),
    "aws:iam/policy:Policy": call("iam", "delete_policy", PolicyArn="arn"),
    "aws:iam/role:Role": call("iam", "delete_role", RoleName="id"),
    "aws:iam/rolePolicy:RolePolicy": end_role_policy,
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": call(
        "iam", "detach_role_policy", RoleName="role", PolicyArn="policyArn"
    ),
    "aws:kms/alias:Alias": call("kms", "delete_alias", AliasName="id"),
    "aws:kms/key:Key": call("kms", "schedule_key_deletion", {"PendingWindowInDays": 7}, KeyId="id"),
    "aws:cloudwatch/eventRule:EventRule": call("events", "delete_rule", Name="id"),
    "aws:cloudwatch/eventTarget:EventTarget": call(
        "events", "remove_targets", Rule="rule", Ids__="targetId"
    ),
    "aws:lambda/function:Function": call("lambda", "delete_function", FunctionName="name"),
    "aws:lambda/permission:Permission": call(
        "lambda", "remove_permission", FunctionName="function", StatementId="statementId"
    ),
    "aws:lb/listener:Listener": call("elbv2", "delete_listener", ListenerArn="arn"),
    "aws:lb/listenerRule:ListenerRule": call("elbv2", "delete_rule", RuleArn="arn"),
    "aws:lb/loadBalancer:LoadBalancer": call(
        "elbv2", "delete_load_balancer", LoadBalancerArn="arn"
    ),
    "aws:lb/targetGroup:TargetGroup": call("elbv2", "delete_target_group", TargetGroupArn="arn"),
    "aws:msk/cluster:Cluster": call("kafka", "delete_cluster", ClusterArn="arn"),
    "aws:rds/instance:Instance": call(
        "rds", "delete_db_instance", {"SkipFinalSnapshot": True}, DBInstanceIdentifier="id"
    ),
    "aws:rds/parameterGroup:ParameterGroup": call(
        "rds", "delete_db_parameter_group", DBParameterGroupName="id"
    ),
    "aws:rds/subnetGroup:SubnetGroup": call(
        "rds", "delete_db_subnet_group", DBSubnetGroupName="id"
    ),
    "aws:route53/record:Record": end_record,
    "aws:s3/bucket:Bucket": call("s3", "delete_bucket", Bucket="id"),
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": with_its_parent,
    "aws:s3/bucketPolicy:BucketPolicy": call("s3", "delete_bucket_policy", Bucket="id"),
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": with_its_parent,
    BUCKET_ENCRYPTION: with_its_parent,
    "aws:s3/bucketVersioning:BucketVersioning": with_its_parent,
    "aws:secretsmanager/secret:Secret": end_secret,
    "aws:servicediscovery/httpNamespace:HttpNamespace": call(
        "servicediscovery", "delete_namespace", Id="id"
    ),
    "aws:sns/topic:Topic": call("sns", "delete_topic", TopicArn="arn"),
    "aws:sns/topicPolicy:TopicPolicy": with_its_parent,
    "aws:sns/topicSubscription:TopicSubscription": call("sns", "unsubscribe", SubscriptionArn="id"),
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": group_rule(
        "revoke_security_group_egress"
    ),
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": group_rule(
        "revoke_security_group_ingress"
    ),
    "aws:wafv2/webAcl:WebAcl": end_acl,
    "aws:wafv2/webAclAssociation:WebAclAssociation": call(
        "wafv2", "disassociate_web_acl", ResourceArn="resourceArn"
    ),
    "aws:wafv2/webAclLoggingConfiguration:WebAclLoggingConfiguration": call(
        "wafv2", "delete_logging_configuration", ResourceArn="resourceArn"
    ),
}
# What a refresh asks for: the others are taken to be there still.
LOOKS: dict[str, Call] = {
    "aws:cloudwatch/logGroup:LogGroup": call("logs", "list_tags_for_resource", resourceArn="arn"),
    "aws:ec2/securityGroup:SecurityGroup": call("ec2", "describe_security_groups", GroupIds__="id"),
    "aws:ec2/subnet:Subnet": call("ec2", "describe_subnets", SubnetIds__="id"),
    "aws:ecs/taskDefinition:TaskDefinition": call(
        "ecs", "describe_task_definition", taskDefinition="arn"
    ),
    "aws:iam/role:Role": call("iam", "get_role", RoleName="id"),
    "aws:lb/listenerRule:ListenerRule": call("elbv2", "describe_rules", RuleArns__="arn"),
    "aws:lb/targetGroup:TargetGroup": call(
        "elbv2", "describe_target_groups", TargetGroupArns__="arn"
    ),
    "aws:rds/instance:Instance": call("rds", "describe_db_instances", DBInstanceIdentifier="id"),
    "aws:secretsmanager/secret:Secret": call("secretsmanager", "describe_secret", SecretId="id"),
}
