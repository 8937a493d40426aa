"""The other half of the bridge: databases, brokers, and what runs on ECS."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from apps.release.secret_places import split_place
from infrastructure.config import limits
from tests.infrastructure.fake_aws.aws_json import pascal

if TYPE_CHECKING:
    from tests.infrastructure.fake_aws.moto_resources import Creator, Made, Moto


def subnet_group(cloud: Moto, name: str, inputs: dict[str, Any]) -> Made:
    physical = cloud.unique("aws:rds/subnetGroup:SubnetGroup", name)
    cloud.client("rds").create_db_subnet_group(
        DBSubnetGroupName=physical, DBSubnetGroupDescription=name, SubnetIds=inputs["subnetIds"]
    )
    return physical, {"name": physical}


def parameter_group(cloud: Moto, name: str, inputs: dict[str, Any]) -> Made:
    physical = cloud.unique("aws:rds/parameterGroup:ParameterGroup", name)
    cloud.client("rds").create_db_parameter_group(
        DBParameterGroupName=physical, DBParameterGroupFamily=inputs["family"], Description=name
    )
    cloud.client("rds").modify_db_parameter_group(
        DBParameterGroupName=physical,
        Parameters=[
            {
                "ParameterName": each["name"],
                "ParameterValue": each["value"],
                "ApplyMethod": each["applyMethod"],
            }
            for each in inputs["parameters"]
        ],
    )
    return physical, {"name": physical}


def instance(cloud: Moto, name: str, inputs: dict[str, Any]) -> Made:
    physical = inputs["identifier"]
    limits.check_name("aws:rds/instance:Instance", physical)
    made = cloud.client("rds").create_db_instance(
        DBInstanceIdentifier=physical,
        DBInstanceClass=inputs["instanceClass"],
        Engine=inputs["engine"],
        EngineVersion=inputs["engineVersion"],
        AllocatedStorage=inputs["allocatedStorage"],
        MasterUsername=inputs["username"],
        ManageMasterUserPassword=inputs["manageMasterUserPassword"],
        MasterUserSecretKmsKeyId=inputs["masterUserSecretKmsKeyId"],
        DBSubnetGroupName=inputs["dbSubnetGroupName"],
        DBParameterGroupName=inputs["parameterGroupName"],
        VpcSecurityGroupIds=inputs["vpcSecurityGroupIds"],
        StorageEncrypted=inputs["storageEncrypted"],
        KmsKeyId=inputs["kmsKeyId"],
        MultiAZ=inputs["multiAz"],
        Port=inputs["port"],
    )["DBInstance"]
    return physical, {
        "address": f"{physical}.abc.us-east-1.rds.amazonaws.com",
        "identifier": physical,
        "resourceId": made["DbiResourceId"],
        "masterUserSecrets": [
            {"secretArn": made["MasterUserSecret"]["SecretArn"], "secretStatus": "active"}
        ],
        "arn": made["DBInstanceArn"],
    }


def stream(cloud: Moto, name: str, inputs: dict[str, Any]) -> Made:
    limits.check_name("aws:msk/cluster:Cluster", inputs["clusterName"])
    nodes = inputs["brokerNodeGroupInfo"]
    found = cloud.client("ec2").describe_subnets(SubnetIds=nodes["clientSubnets"])["Subnets"]
    # moto takes any: AWS wants the brokers spread evenly over the zones.
    assert inputs["numberOfBrokerNodes"] % len({each["AvailabilityZone"] for each in found}) == 0
    cloud.client("ec2").describe_security_groups(GroupIds=nodes["securityGroups"])
    made = cloud.client("kafka").create_cluster(
        ClusterName=inputs["clusterName"],
        KafkaVersion=inputs["kafkaVersion"],
        NumberOfBrokerNodes=inputs["numberOfBrokerNodes"],
        BrokerNodeGroupInfo={
            "ClientSubnets": nodes["clientSubnets"],
            "SecurityGroups": nodes["securityGroups"],
            "InstanceType": nodes["instanceType"],
        },
    )["ClusterArn"]
    brokers = ",".join(f"b-{each}.{inputs['clusterName']}.kafka:9098" for each in (1, 2))
    return made, {"arn": made, "bootstrapBrokersSaslIam": brokers}


def cluster(cloud: Moto, name: str, inputs: dict[str, Any]) -> Made:
    arn = cloud.client("ecs").create_cluster(clusterName=inputs["name"])["cluster"]["clusterArn"]
    return arn, {"arn": arn, "name": inputs["name"]}


def capacity_providers(cloud: Moto, name: str, inputs: dict[str, Any]) -> Made:
    cloud.client("ecs").put_cluster_capacity_providers(
        cluster=inputs["clusterName"],
        capacityProviders=inputs["capacityProviders"],
        defaultCapacityProviderStrategy=inputs["defaultCapacityProviderStrategies"],
    )
    return inputs["clusterName"], {}


def task_definition(cloud: Moto, name: str, inputs: dict[str, Any]) -> Made:
    limits.check_fargate_size(int(inputs["cpu"]), int(inputs["memory"]))
    iam = cloud.client("iam")
    for key in ("executionRoleArn", "taskRoleArn"):
        # moto takes any role: look whether it is there.
        iam.get_role(RoleName=inputs[key].rpartition("/")[2])
    containers = json.loads(inputs["containerDefinitions"])
    for container in containers:
        assert "@sha256:" in container["image"], f"{container['image']} is no image by digest"
        for secret in container.get("secrets", []):
            # The provider's own validation knows members of a secret, moto does not.
            arn, _ = split_place(secret["valueFrom"])
            cloud.client("secretsmanager").describe_secret(SecretId=arn)
    made = cloud.client("ecs").register_task_definition(
        family=inputs["family"],
        cpu=inputs["cpu"],
        memory=inputs["memory"],
        networkMode=inputs["networkMode"],
        requiresCompatibilities=inputs["requiresCompatibilities"],
        executionRoleArn=inputs["executionRoleArn"],
        taskRoleArn=inputs["taskRoleArn"],
        containerDefinitions=containers,
    )["taskDefinition"]
    return inputs["family"], {"arn": made["taskDefinitionArn"], "revision": made["revision"]}


def service(cloud: Moto, name: str, inputs: dict[str, Any]) -> Made:
    network = inputs["networkConfiguration"]
    limits.check_security_groups(len(network["securityGroups"]))
    cloud.client("ec2").describe_security_groups(GroupIds=network["securityGroups"])
    for balanced in inputs.get("loadBalancers") or []:
        cloud.client("elbv2").describe_target_groups(TargetGroupArns=[balanced["targetGroupArn"]])
    check_ports(cloud, inputs)
    physical = cloud.unique("aws:ecs/service:Service", name)
    made = cloud.client("ecs").create_service(
        cluster=inputs["cluster"],
        serviceName=physical,
        taskDefinition=inputs["taskDefinition"],
        desiredCount=inputs["desiredCount"],
        networkConfiguration={
            "awsvpcConfiguration": {
                "subnets": network["subnets"],
                "securityGroups": network["securityGroups"],
                "assignPublicIp": "ENABLED" if network["assignPublicIp"] else "DISABLED",
            }
        },
    )["service"]
    return made["serviceArn"], {"arn": made["serviceArn"], "name": physical}


def check_ports(cloud: Moto, inputs: dict[str, Any]) -> None:
    """moto drops Service Connect and does not look at ports: each name and port must be the task's
    own.
    """
    task = cloud.client("ecs").describe_task_definition(taskDefinition=inputs["taskDefinition"])[
        "taskDefinition"
    ]
    mapped = {
        port["name"]: port for each in task["containerDefinitions"] for port in each["portMappings"]
    }
    for offered in inputs["serviceConnectConfiguration"].get("services") or []:
        assert offered["clientAlias"][0]["port"] == mapped[offered["portName"]]["containerPort"]
    for balanced in inputs.get("loadBalancers") or []:
        assert balanced["containerPort"] == mapped[balanced["containerName"]]["containerPort"]


def scaling_target(cloud: Moto, name: str, inputs: dict[str, Any]) -> Made:
    cloud.client("application-autoscaling").register_scalable_target(
        ServiceNamespace=inputs["serviceNamespace"],
        ResourceId=inputs["resourceId"],
        ScalableDimension=inputs["scalableDimension"],
        MinCapacity=inputs["minCapacity"],
        MaxCapacity=inputs["maxCapacity"],
    )
    return inputs["resourceId"], {}


def scaling_policy(cloud: Moto, name: str, inputs: dict[str, Any]) -> Made:
    cloud.client("application-autoscaling").put_scaling_policy(
        PolicyName=name,
        PolicyType=inputs["policyType"],
        ServiceNamespace=inputs["serviceNamespace"],
        ResourceId=inputs["resourceId"],
        ScalableDimension=inputs["scalableDimension"],
        TargetTrackingScalingPolicyConfiguration=pascal(
            inputs["targetTrackingScalingPolicyConfiguration"]
        ),
    )
    return name, {}


RUN: dict[str, Creator] = {
    "aws:appautoscaling/policy:Policy": scaling_policy,
    "aws:appautoscaling/target:Target": scaling_target,
    "aws:ecs/cluster:Cluster": cluster,
    "aws:ecs/clusterCapacityProviders:ClusterCapacityProviders": capacity_providers,
    "aws:ecs/service:Service": service,
    "aws:ecs/taskDefinition:TaskDefinition": task_definition,
    "aws:msk/cluster:Cluster": stream,
    "aws:rds/instance:Instance": instance,
    "aws:rds/parameterGroup:ParameterGroup": parameter_group,
    "aws:rds/subnetGroup:SubnetGroup": subnet_group,
}
