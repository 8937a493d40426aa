"""Everything that a stack can leave in the account, place by place: what was there before is there
after.
"""

from typing import Any

from infrastructure.plan.paper import ACCOUNT
from tests.infrastructure.engine.server import Account
from tests.infrastructure.preview.leftover_inventory import active_services

Census = dict[str, set[str]]

# Service, operation, where its answer has them, what names one.
PLACES = (
    ("acm", "list_certificates", "CertificateSummaryList", "CertificateArn"),
    ("acm-pca", "list_certificate_authorities", "CertificateAuthorities", "Arn"),
    ("budgets", "describe_budgets", "Budgets", "BudgetName"),
    ("cloudwatch", "describe_alarms", "MetricAlarms", "AlarmName"),
    ("cloudwatch", "list_dashboards", "DashboardEntries", "DashboardName"),
    ("ec2", "describe_addresses", "Addresses", "AllocationId"),
    ("ec2", "describe_flow_logs", "FlowLogs", "FlowLogId"),
    ("ec2", "describe_internet_gateways", "InternetGateways", "InternetGatewayId"),
    ("ec2", "describe_nat_gateways", "NatGateways", "NatGatewayId"),
    ("ec2", "describe_route_tables", "RouteTables", "RouteTableId"),
    ("ec2", "describe_security_group_rules", "SecurityGroupRules", "SecurityGroupRuleId"),
    ("ec2", "describe_security_groups", "SecurityGroups", "GroupId"),
    ("ec2", "describe_subnets", "Subnets", "SubnetId"),
    ("ec2", "describe_vpc_endpoints", "VpcEndpoints", "VpcEndpointId"),
    ("ec2", "describe_vpcs", "Vpcs", "VpcId"),
    ("ecr", "describe_repositories", "repositories", "repositoryName"),
    ("ecs", "list_clusters", "clusterArns", ""),
    ("ecs", "list_task_definitions", "taskDefinitionArns", ""),
    ("elbv2", "describe_load_balancers", "LoadBalancers", "LoadBalancerArn"),
    ("elbv2", "describe_target_groups", "TargetGroups", "TargetGroupArn"),
    ("events", "list_rules", "Rules", "Name"),
    ("iam", "list_policies", "Policies", "Arn"),
    ("iam", "list_roles", "Roles", "RoleName"),
    ("kafka", "list_clusters", "ClusterInfoList", "ClusterArn"),
    ("kms", "list_aliases", "Aliases", "AliasName"),
    ("lambda", "list_functions", "Functions", "FunctionName"),
    ("logs", "describe_log_groups", "logGroups", "logGroupName"),
    ("rds", "describe_db_instances", "DBInstances", "DBInstanceIdentifier"),
    ("rds", "describe_db_parameter_groups", "DBParameterGroups", "DBParameterGroupName"),
    ("rds", "describe_db_subnet_groups", "DBSubnetGroups", "DBSubnetGroupName"),
    ("s3", "list_buckets", "Buckets", "Name"),
    ("secretsmanager", "list_secrets", "SecretList", "ARN"),
    ("servicediscovery", "list_namespaces", "Namespaces", "Id"),
    ("sns", "list_topics", "Topics", "TopicArn"),
    ("wafv2", "list_web_acls", "WebACLs", "ARN"),
)
ASKED: dict[str, dict[str, Any]] = {
    "describe_budgets": {"AccountId": ACCOUNT},
    "list_policies": {"Scope": "Local"},
    "list_task_definitions": {"status": "ACTIVE"},
    "list_web_acls": {"Scope": "REGIONAL"},
}
# A gateway is shown for an hour after its end.
OVER = ("deleted",)


def count(account: Account) -> Census:
    found = {
        f"{service} {key}": look(account, service, *rest)
        for service, *rest in PLACES
        for key in rest[1:2]
    }
    ecs = account.client("ecs")
    clusters = found["ecs clusterArns"]
    services = {arn for cluster in clusters for arn in active_services(ecs, cluster)}
    # moto lists what was deleted too.
    described = ecs.describe_clusters(clusters=sorted(clusters))["clusters"]
    found["ecs clusterArns"] = {
        each["clusterArn"] for each in described if each["status"] == "ACTIVE"
    }
    rules = {
        rule
        for balancer in found["elbv2 LoadBalancers"]
        for listener in names(
            account,
            "elbv2",
            operation="describe_listeners",
            key="Listeners",
            name="ListenerArn",
            asked={"LoadBalancerArn": balancer},
        )
        for rule in names(
            account,
            "elbv2",
            operation="describe_rules",
            key="Rules",
            name="RuleArn",
            asked={"ListenerArn": listener},
        )
    }
    # A database ends with its instance.
    databases = {*account.databases} if found["rds DBInstances"] else set()
    return {
        **found,
        "services": services,
        "rules": rules,
        "topics": {*account.topics},
        "databases": databases,
    }


def look(account: Account, service: str, operation: str, key: str, name: str) -> set[str]:
    return names(
        account, service, operation=operation, key=key, name=name, asked=ASKED.get(operation, {})
    )


def names(
    account: Account, service: str, *, operation: str, key: str, name: str, asked: dict[str, Any]
) -> set[str]:
    client = account.client(service)
    pages = (
        client.get_paginator(operation).paginate(**asked)
        if client.can_paginate(operation)
        else [getattr(client, operation)(**asked)]
    )
    return {
        str(each[name] if name else each)
        for page in pages
        for each in page[key]
        if state(each) not in OVER
    }


def state(each: Any) -> str:
    return str(each.get("State", "")) if isinstance(each, dict) else ""
