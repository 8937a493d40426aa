"""Alarms of the platform: databases, brokers, and deployments and releases that failed."""

import json

import pulumi
import pulumi_aws as aws

from infrastructure.config.connections import capacity, is_burstable, memory_bytes
from infrastructure.ecs.alarms import ALARM_CPU_PERCENT, Metric, alarm

Text = pulumi.Input[str]
STORAGE_FREE_BYTES = 5 * 1024**3
CONNECTIONS_PERCENT = 80
MEMORY_FREE_PERCENT = 5
# Minutes of a whole vCPU that a burstable instance has saved.
CPU_CREDITS = 20
BROKER_DISK_PERCENT = 80
DEPLOYMENT_FAILED = "SERVICE_DEPLOYMENT_FAILED"


def watch_database(
    name: str,
    identifier: Text,
    instance_class: str,
    notices_arn: Text,
    opts: pulumi.ResourceOptions,
) -> None:
    """Makes the alarms of one RDS instance; its class says how much it takes."""
    own = {"DBInstanceIdentifier": identifier}
    storage = Metric(
        namespace="AWS/RDS",
        name="FreeStorageSpace",
        dimensions=own,
        statistic="Minimum",
        threshold=STORAGE_FREE_BYTES,
        above=False,
    )
    alarm(f"{name}-storage", f"{name} is running out of storage", storage, notices_arn, opts)
    cpu = Metric(
        namespace="AWS/RDS",
        name="CPUUtilization",
        dimensions=own,
        statistic="Average",
        threshold=ALARM_CPU_PERCENT,
    )
    alarm(f"{name}-cpu", f"{name} is at the end of its CPU", cpu, notices_arn, opts)
    connections = Metric(
        namespace="AWS/RDS",
        name="DatabaseConnections",
        dimensions=own,
        statistic="Maximum",
        threshold=capacity(instance_class) * CONNECTIONS_PERCENT // 100,
    )
    alarm(
        f"{name}-connections",
        f"{name} is running out of connections",
        connections,
        notices_arn,
        opts,
    )
    memory = Metric(
        namespace="AWS/RDS",
        name="FreeableMemory",
        dimensions=own,
        statistic="Minimum",
        threshold=memory_bytes(instance_class) * MEMORY_FREE_PERCENT // 100,
        above=False,
    )
    alarm(f"{name}-memory", f"{name} is running out of memory", memory, notices_arn, opts)
    if is_burstable(instance_class):
        credits = Metric(
            namespace="AWS/RDS",
            name="CPUCreditBalance",
            dimensions=own,
            statistic="Minimum",
            threshold=CPU_CREDITS,
            above=False,
        )
        reason = f"{name} has used up its CPU credits: it is billed for more, or slow"
        alarm(f"{name}-credits", reason, credits, notices_arn, opts)


def watch_stream(
    name: str, cluster_name: Text, brokers: int, notices_arn: Text, opts: pulumi.ResourceOptions
) -> None:
    # Brokers that are all gone say nothing at all.
    own: dict[str, Text] = {"Cluster Name": cluster_name}
    controller = Metric(
        namespace="AWS/Kafka",
        name="ActiveControllerCount",
        dimensions=own,
        statistic="Maximum",
        threshold=1,
        above=False,
        missing="breaching",
    )
    alarm(f"{name}-controller", "the brokers have no leader", controller, notices_arn, opts)
    for broker in range(1, brokers + 1):
        of_broker: dict[str, Text] = {"Cluster Name": cluster_name, "Broker ID": str(broker)}
        disk = Metric(
            namespace="AWS/Kafka",
            name="KafkaDataLogsDiskUsed",
            dimensions=of_broker,
            statistic="Maximum",
            threshold=BROKER_DISK_PERCENT,
        )
        reason = f"broker {broker} is running out of storage"
        alarm(f"{name}-storage-{broker}", reason, disk, notices_arn, opts)

        behind = Metric(
            namespace="AWS/Kafka",
            name="UnderReplicatedPartitions",
            dimensions=of_broker,
            statistic="Maximum",
            threshold=0,
            # Longer than MSK's own maintenance leaves a broker behind.
            minutes=30,
        )
        reason = f"broker {broker} leads partitions with too few replicas"
        alarm(f"{name}-replicas-{broker}", reason, behind, notices_arn, opts)


def watch_deployments(
    name: str,
    environment: str,
    cluster_arn: Text,
    notices_arn: Text,
    opts: pulumi.ResourceOptions,
) -> None:
    """Has ECS tell of each deployment of the environment that failed and was taken back.

    Previews run in the same cluster, and are not meant.
    """
    own = f"/{environment}-"
    pattern = pulumi.Output.from_input(cluster_arn).apply(
        lambda arn: json.dumps(
            {
                "source": ["aws.ecs"],
                "detail-type": ["ECS Deployment State Change"],
                "detail": {"eventName": [DEPLOYMENT_FAILED]},
                "resources": [{"prefix": arn.replace(":cluster/", ":service/", 1) + own}],
            },
            sort_keys=True,
        )
    )
    rule = aws.cloudwatch.EventRule(
        name,
        name=f"{name}-failed",
        description="A deployment failed and was taken back",
        event_pattern=pattern,
        opts=opts,
    )
    aws.cloudwatch.EventTarget(name, rule=rule.name, arn=notices_arn, opts=opts)


def watch_release(
    name: str, function_name: Text, notices_arn: Text, opts: pulumi.ResourceOptions
) -> None:
    """Makes the alarm on releases and operators' commands that failed."""
    failed = Metric(
        namespace="AWS/Lambda",
        name="Errors",
        dimensions={"FunctionName": function_name},
        statistic="Sum",
        threshold=0,
        minutes=1,
    )
    alarm(f"{name}-failed", "a release or a command failed", failed, notices_arn, opts)
