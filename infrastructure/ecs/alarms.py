"""Alarms. Each has an action, a reason, and a threshold with its unit in the name."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infrastructure.ecs.scaling import lag_dimensions, lag_name
from infrastructure.ecs.service_args import ServiceArgs

Text = pulumi.Input[str]
ALARM_CPU_PERCENT = 85
ERRORS_A_MINUTE = 5
LATENCY_SECONDS = 1.0
ALARM_LAG_EVENTS = 10_000
STORAGE_FREE_BYTES = 5 * 1024**3
CONNECTIONS_PERCENT = 80
BROKER_DISK_PERCENT = 80
MINUTE = 60
# What services write into their own log lines (embedded metric format).
SERVICES_NAMESPACE = "PatientManagement"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """`above` says on which side of the threshold it rings; `statistic` may be a percentile, as `p99`."""

    namespace: str
    name: str
    dimensions: Mapping[str, Text]
    statistic: str
    threshold: float
    above: bool = True
    minutes: int = 5
    missing: str = "notBreaching"


def alarm(
    name: str, reason: str, metric: Metric, notices_arn: Text, opts: pulumi.ResourceOptions
) -> None:
    percentile = metric.statistic.startswith("p")
    aws.cloudwatch.MetricAlarm(
        name,
        alarm_description=reason,
        namespace=metric.namespace,
        metric_name=metric.name,
        dimensions=dict(metric.dimensions),
        statistic=None if percentile else metric.statistic,
        extended_statistic=metric.statistic if percentile else None,
        comparison_operator="GreaterThanThreshold" if metric.above else "LessThanThreshold",
        threshold=metric.threshold,
        period=MINUTE,
        evaluation_periods=metric.minutes,
        datapoints_to_alarm=max(1, metric.minutes - 2),
        treat_missing_data=metric.missing,
        alarm_actions=[notices_arn],
        ok_actions=[notices_arn],
        opts=opts,
    )


def watch_service(
    name: str,
    args: ServiceArgs,
    service: aws.ecs.Service,
    target_suffix: pulumi.Output[str] | None,
    opts: pulumi.ResourceOptions,
) -> None:
    """Makes the alarms of one service; `target_suffix` is its target group's, if it is the public one."""
    notices = args.platform.notices_arn
    watch_tasks(name, args, service, opts)
    if target_suffix is not None:
        watch_public_route(name, args, target_suffix, opts)

    for topic in args.entry.consumes:
        lag = Metric(
            namespace="AWS/Kafka",
            name="SumOffsetLag",
            dimensions=lag_dimensions(args, topic),
            statistic="Maximum",
            threshold=ALARM_LAG_EVENTS,
        )
        alarm(lag_name(name, args.entry, topic), f"{name} is behind its topic", lag, notices, opts)

    if any(topic.endswith(".dlq") for topic in args.entry.produces):
        dead = Metric(
            namespace=SERVICES_NAMESPACE,
            name="NewDeadLetters",
            dimensions={
                "Environment": args.stack,
                "ConsumerGroup": args.resources.group(args.entry.name),
            },
            statistic="Maximum",
            threshold=0,
            minutes=1,
        )
        reason = f"{name} set an event aside that it could not read"
        alarm(f"{name}-dead-letters", reason, dead, notices, opts)


def watch_tasks(
    name: str, args: ServiceArgs, service: aws.ecs.Service, opts: pulumi.ResourceOptions
) -> None:
    """Makes the alarms on a service's tasks: their CPU and, where Container Insights is on, their number."""
    own: dict[str, Text] = {"ClusterName": args.platform.cluster_name, "ServiceName": service.name}
    cpu = Metric(
        namespace="AWS/ECS",
        name="CPUUtilization",
        dimensions=own,
        statistic="Average",
        threshold=ALARM_CPU_PERCENT,
    )
    alarm(f"{name}-cpu", f"{name} is at the end of its CPU", cpu, args.platform.notices_arn, opts)
    if not args.insights:
        return

    running = Metric(
        namespace="ECS/ContainerInsights",
        name="RunningTaskCount",
        dimensions=own,
        statistic="Minimum",
        threshold=1,
        above=False,
        missing="breaching",
    )
    alarm(f"{name}-running", f"no task of {name} runs", running, args.platform.notices_arn, opts)


def watch_public_route(
    name: str, args: ServiceArgs, target_suffix: pulumi.Output[str], opts: pulumi.ResourceOptions
) -> None:
    """Makes the alarms on what the balancer measures: errors of the service, errors of its own, latency."""
    notices = args.platform.notices_arn
    balancer: dict[str, Text] = {"LoadBalancer": args.platform.balancer_suffix}
    target = {**balancer, "TargetGroup": target_suffix}
    errors = Metric(
        namespace="AWS/ApplicationELB",
        name="HTTPCode_Target_5XX_Count",
        dimensions=target,
        statistic="Sum",
        threshold=ERRORS_A_MINUTE,
    )
    alarm(f"{name}-5xx", f"{name} answers with errors", errors, notices, opts)

    # The balancer answers by itself if it has no healthy target: no target counts those responses.
    unreached = Metric(
        namespace="AWS/ApplicationELB",
        name="HTTPCode_ELB_5XX_Count",
        dimensions=balancer,
        statistic="Sum",
        threshold=ERRORS_A_MINUTE,
    )
    alarm(f"{name}-unreached", f"requests do not reach {name}", unreached, notices, opts)

    latency = Metric(
        namespace="AWS/ApplicationELB",
        name="TargetResponseTime",
        dimensions=target,
        statistic="p99",
        threshold=LATENCY_SECONDS,
    )
    reason = f"one request in a hundred to {name} takes long"
    alarm(f"{name}-latency", reason, latency, notices, opts)


def watch_database(
    name: str, identifier: Text, capacity: int, notices_arn: Text, opts: pulumi.ResourceOptions
) -> None:
    """`capacity`: connections that the instance takes."""
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
        threshold=capacity * CONNECTIONS_PERCENT // 100,
    )
    alarm(
        f"{name}-connections",
        f"{name} is running out of connections",
        connections,
        notices_arn,
        opts,
    )


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
        disk = Metric(
            namespace="AWS/Kafka",
            name="KafkaDataLogsDiskUsed",
            dimensions={"Cluster Name": cluster_name, "Broker ID": str(broker)},
            statistic="Maximum",
            threshold=BROKER_DISK_PERCENT,
        )
        alarm(
            f"{name}-storage-{broker}",
            f"broker {broker} is running out of storage",
            disk,
            notices_arn,
            opts,
        )
