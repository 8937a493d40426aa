"""What there is in an account in moto, resource by resource, and the end of what a stack's
recording made in it.
"""

from typing import Any

from infrastructure.recording import Recording, Resource
from tests.infrastructure.fake_aws.moto_resources import Moto

Census = dict[str, set[str]]


def count(cloud: Moto, recordings: list[Recording]) -> Census:
    """Names or ARNs by kind. Topics and databases are on paper: they are the recordings' own."""
    ecs, elb, ec2, iam = (cloud.client(name) for name in ("ecs", "elbv2", "ec2", "iam"))
    clusters = ecs.list_clusters()["clusterArns"]
    rules = [
        rule["RuleArn"]
        for balancer in elb.describe_load_balancers()["LoadBalancers"]
        for listener in elb.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])[
            "Listeners"
        ]
        for rule in elb.describe_rules(ListenerArn=listener["ListenerArn"])["Rules"]
    ]
    roles = [
        role["RoleName"]
        for page in iam.get_paginator("list_roles").paginate()
        for role in page["Roles"]
    ]
    groups = ec2.describe_security_groups()["SecurityGroups"]
    return {
        "services": {arn for cluster in clusters for arn in active_services(ecs, cluster)},
        "task definitions": set(ecs.list_task_definitions(status="ACTIVE")["taskDefinitionArns"]),
        "target groups": {
            each["TargetGroupArn"] for each in elb.describe_target_groups()["TargetGroups"]
        },
        "listener rules": set(rules),
        "security groups": {each["GroupId"] for each in groups},
        "group rules": {
            f"{each['GroupId']} {rule}"
            for each in groups
            for side in ("IpPermissions", "IpPermissionsEgress")
            for rule in map(str, each[side])
        },
        "roles": set(roles),
        "role policies": {
            f"{role} {name}"
            for role in roles
            for name in iam.list_role_policies(RoleName=role)["PolicyNames"]
        },
        "secrets": {each["ARN"] for each in all_secrets(cloud)},
        "log groups": {
            each["logGroupName"]
            for page in cloud.client("logs").get_paginator("describe_log_groups").paginate()
            for each in page["logGroups"]
        },
        "namespaces": {
            each["Id"] for each in cloud.client("servicediscovery").list_namespaces()["Namespaces"]
        },
        "topics": {
            each.inputs["name"]
            for recording in recordings
            for each in recording.of("aws:msk/topic:Topic")
        },
    }


def active_services(ecs: Any, cluster: str) -> list[str]:
    pages = ecs.get_paginator("list_services").paginate(cluster=cluster)
    arns = [arn for page in pages for arn in page["serviceArns"]]
    # moto lists what was deleted too, and describes ten at once.
    return [
        service["serviceArn"]
        for start in range(0, len(arns), 10)
        for service in ecs.describe_services(cluster=cluster, services=arns[start : start + 10])[
            "services"
        ]
        if service["status"] == "ACTIVE"
    ]


def all_secrets(cloud: Moto) -> list[dict[str, Any]]:
    pages = cloud.client("secretsmanager").get_paginator("list_secrets").paginate()
    return [secret for page in pages for secret in page["SecretList"]]


def destroy(cloud: Moto, recording: Recording) -> list[str]:
    """As the engine does: what depends on another goes before it.

    Raises KeyError for a type that it does not know.
    """
    gone: list[str] = []
    remaining = [resource for resource in recording.resources if not resource.is_component]
    while remaining:
        held = {urn for resource in remaining for urn in resource.dependencies}
        free = [resource for resource in remaining if resource.urn not in held]
        assert free, f"these depend on each other: {[resource.urn for resource in remaining]}"
        for resource in free:
            delete(cloud, resource)
            gone.append(resource.urn)
        remaining = [resource for resource in remaining if resource not in free]
    return gone


def delete(cloud: Moto, resource: Resource) -> None:
    given, id_ = resource.inputs, resource.id
    match resource.type.rpartition(":")[2]:
        case "Service":
            cloud.client("ecs").delete_service(cluster=given["cluster"], service=id_, force=True)
        case "TaskDefinition":
            cloud.client("ecs").deregister_task_definition(taskDefinition=resource.outputs["arn"])
        case "TargetGroup":
            cloud.client("elbv2").delete_target_group(TargetGroupArn=resource.outputs["arn"])
        case "ListenerRule":
            cloud.client("elbv2").delete_rule(RuleArn=resource.outputs["arn"])
        case "SecurityGroup":
            cloud.client("ec2").delete_security_group(GroupId=id_)
        case "SecurityGroupIngressRule" | "SecurityGroupEgressRule" as side:
            permission = {
                "IpProtocol": given["ipProtocol"],
                "FromPort": given["fromPort"],
                "ToPort": given["toPort"],
                "UserIdGroupPairs": [{"GroupId": given["referencedSecurityGroupId"]}],
            }
            ec2 = cloud.client("ec2")
            revoke = (
                ec2.revoke_security_group_ingress
                if "Ingress" in side
                else ec2.revoke_security_group_egress
            )
            revoke(GroupId=given["securityGroupId"], IpPermissions=[permission])
        case "Role":
            cloud.client("iam").delete_role(RoleName=id_)
        case "RolePolicy":
            cloud.client("iam").delete_role_policy(RoleName=given["role"], PolicyName=resource.name)
        case "Secret":
            cloud.client("secretsmanager").delete_secret(
                SecretId=id_, ForceDeleteWithoutRecovery=given["recoveryWindowInDays"] == 0
            )
        case "LogGroup":
            cloud.client("logs").delete_log_group(logGroupName=id_)
        case "HttpNamespace":
            cloud.client("servicediscovery").delete_namespace(Id=id_)
        case "Topic" | "Invocation" | "Image" | "RandomId":
            # On paper: moto has none of these.
            pass
        case unknown:
            raise KeyError(f"{unknown}: a preview makes what nobody knows how to take away")
