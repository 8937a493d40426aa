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
ALARM_MEMORY_PERCENT = 90
# Lines of level ERROR or above that a healthy version does not write.
ERROR_LINES_A_MINUTE = 5
MINUTE = 60
# What services write into their own log lines (embedded metric format).
SERVICES_NAMESPACE = "PatientManagement"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """`above` says on which side of the threshold it rings; `statistic` may be a percentile, as
    `p99`.
    """

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
) -> aws.cloudwatch.MetricAlarm:
    percentile = metric.statistic.startswith("p")
    return aws.cloudwatch.MetricAlarm(
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
    """Makes the alarms of one service; `target_suffix` is its target group's, if it is the public
    one.
    """
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


def watch_errors(
    name: str,
    log: aws.cloudwatch.LogGroup,
    args: ServiceArgs,
    opts: pulumi.ResourceOptions,
) -> aws.cloudwatch.MetricAlarm:
    """Makes the alarm on the errors that a service logs, by which ECS takes a deployment back.

    It reads the log, not the ECS service: it has to be there before the service.
    """
    metric_name = f"{args.entry.name}-errors"
    namespace = f"{SERVICES_NAMESPACE}/{args.stack}"
    aws.cloudwatch.LogMetricFilter(
        f"{name}-errors",
        name="errors",
        log_group_name=log.name,
        pattern='{ $.level = "ERROR" || $.level = "CRITICAL" }',
        metric_transformation=aws.cloudwatch.LogMetricFilterMetricTransformationArgs(
            namespace=namespace, name=metric_name, value="1", default_value="0"
        ),
        opts=opts,
    )
    errors = Metric(
        namespace=namespace,
        name=metric_name,
        dimensions={},
        statistic="Sum",
        threshold=ERROR_LINES_A_MINUTE,
        minutes=3,
    )
    reason = f"{name} logs errors; a deployment that does so is taken back"
    return alarm(f"{name}-errors", reason, errors, args.platform.notices_arn, opts)


def watch_tasks(
    name: str, args: ServiceArgs, service: aws.ecs.Service, opts: pulumi.ResourceOptions
) -> None:
    """Makes the alarms on a service's tasks: their CPU and, where Container Insights is on, their
    number.
    """
    own: dict[str, Text] = {"ClusterName": args.platform.cluster_name, "ServiceName": service.name}
    cpu = Metric(
        namespace="AWS/ECS",
        name="CPUUtilization",
        dimensions=own,
        statistic="Average",
        threshold=ALARM_CPU_PERCENT,
    )
    alarm(f"{name}-cpu", f"{name} is at the end of its CPU", cpu, args.platform.notices_arn, opts)
    memory = Metric(
        namespace="AWS/ECS",
        name="MemoryUtilization",
        dimensions=own,
        statistic="Maximum",
        threshold=ALARM_MEMORY_PERCENT,
    )
    reason = f"{name} is at the end of its memory"
    alarm(f"{name}-memory", reason, memory, args.platform.notices_arn, opts)
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
    """Makes the alarms on what the balancer measures: errors of the service, errors of its own,
    latency.
    """
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

    unhealthy = Metric(
        namespace="AWS/ApplicationELB",
        name="UnHealthyHostCount",
        dimensions=target,
        statistic="Maximum",
        threshold=0,
        # A rolling deployment drains targets for less.
        minutes=10,
    )
    alarm(f"{name}-unhealthy", f"tasks of {name} are not ready", unhealthy, notices, opts)
