"""How many replicas run: by CPU for all, by requests behind the balancer, by consumer lag for who
consumes.
"""

from typing import Any

import pulumi
import pulumi_aws as aws

from apps.catalogue import TOPICS, Service
from infrastructure.ecs.service_args import ServiceArgs

TARGET_CPU_PERCENT = 60
REQUESTS_A_TARGET_AND_MINUTE = 3_000
TARGET_LAG_EVENTS = 1_000
OUT_COOLDOWN_SECONDS = 60
IN_COOLDOWN_SECONDS = 300


def scale(
    name: str,
    args: ServiceArgs,
    service: aws.ecs.Service,
    target_suffix: pulumi.Output[str] | None,
    opts: pulumi.ResourceOptions,
) -> None:
    """Does nothing where the settings leave no room between minimum and maximum."""
    if args.replicas.minimum == args.replicas.maximum:
        return
    target = aws.appautoscaling.Target(
        name,
        service_namespace="ecs",
        scalable_dimension="ecs:service:DesiredCount",
        resource_id=pulumi.Output.concat("service/", args.platform.cluster_name, "/", service.name),
        min_capacity=args.replicas.minimum,
        max_capacity=args.replicas.maximum,
        opts=opts,
    )
    track(
        f"{name}-cpu",
        target,
        TARGET_CPU_PERCENT,
        opts,
        predefined("ECSServiceAverageCPUUtilization"),
    )
    if target_suffix is not None:
        label = pulumi.Output.concat(args.platform.balancer_suffix, "/", target_suffix)
        requests = predefined("ALBRequestCountPerTarget", label)
        track(f"{name}-requests", target, REQUESTS_A_TARGET_AND_MINUTE, opts, requests)
    for topic in args.entry.consumes:
        dimensions = lag_dimensions(args, topic)
        lag = {
            "customized_metric_specification": {
                "namespace": "AWS/Kafka",
                "metric_name": "SumOffsetLag",
                "statistic": "Maximum",
                "dimensions": [
                    {"name": key, "value": value} for key, value in sorted(dimensions.items())
                ],
            }
        }
        track(lag_name(name, args.entry, topic), target, TARGET_LAG_EVENTS, opts, lag)


def lag_name(name: str, entry: Service, topic: str) -> str:
    """Returns the resource's name; the first topic's is without it, as when services had one."""
    return f"{name}-lag" if topic == entry.consumes[0] else f"{name}-lag-{topic}"


def lag_dimensions(args: ServiceArgs, topic: str) -> dict[str, pulumi.Input[str]]:
    """Returns the metric's dimensions: MSK measures each group's lag itself, a consumer that is
    down included.
    """
    return {
        "Cluster Name": args.platform.stream_name,
        "Consumer Group": args.resources.group(args.entry.name),
        "Topic": args.resources.topic(TOPICS[topic].name),
    }


def predefined(metric: str, label: pulumi.Output[str] | None = None) -> dict[str, Any]:
    specification: dict[str, Any] = {"predefined_metric_type": metric}
    if label is not None:
        specification["resource_label"] = label
    return {"predefined_metric_specification": specification}


def track(
    name: str,
    target: aws.appautoscaling.Target,
    value: float,
    opts: pulumi.ResourceOptions,
    metric: dict[str, Any],
) -> None:
    configuration: Any = {
        "target_value": value,
        "scale_out_cooldown": OUT_COOLDOWN_SECONDS,
        "scale_in_cooldown": IN_COOLDOWN_SECONDS,
        **metric,
    }
    aws.appautoscaling.Policy(
        name,
        policy_type="TargetTrackingScaling",
        service_namespace=target.service_namespace,
        scalable_dimension=target.scalable_dimension,
        resource_id=target.resource_id,
        target_tracking_scaling_policy_configuration=configuration,
        opts=opts,
    )
