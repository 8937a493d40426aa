"""What the people who run it look at: notices, a budget, the platform's alarms, and the app's
dashboard.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from infrastructure.config.platform_outputs import PlatformOutputs
from infrastructure.data.databases import Databases
from infrastructure.data.msk import MskCluster
from infrastructure.ecs.platform_alarms import watch_database, watch_deployments, watch_stream
from infrastructure.iam.roles import document

BUDGET_PERCENTS = (80, 100)


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitoringArgs:
    environment: str
    account_id: pulumi.Input[str]
    key_arn: pulumi.Input[str]
    budget_usd: int
    notices_email: str
    databases: Databases
    stream: MskCluster
    brokers: int
    cluster_arn: pulumi.Input[str]


class Monitoring(pulumi.ComponentResource):
    """Output: `notices_arn`, the topic that every alarm and the budget write to."""

    def __init__(
        self, name: str, args: MonitoringArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("patient:infrastructure:Operations", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        topic = aws.sns.Topic(name, kms_master_key_id=args.key_arn, opts=child)
        policy = aws.sns.TopicPolicy(
            name,
            arn=topic.arn,
            policy=document(
                [
                    {
                        "Sid": "Write",
                        "Effect": "Allow",
                        "Principal": {
                            "Service": [
                                "cloudwatch.amazonaws.com",
                                "budgets.amazonaws.com",
                                "events.amazonaws.com",
                            ]
                        },
                        "Action": "sns:Publish",
                        "Resource": topic.arn,
                        "Condition": {"StringEquals": {"aws:SourceAccount": args.account_id}},
                    }
                ]
            ),
            opts=child,
        )
        aws.sns.TopicSubscription(
            name, topic=topic.arn, protocol="email", endpoint=args.notices_email, opts=child
        )
        aws.budgets.Budget(
            name,
            budget_type="COST",
            time_unit="MONTHLY",
            limit_amount=str(args.budget_usd),
            limit_unit="USD",
            cost_filters=[
                aws.budgets.BudgetCostFilterArgs(
                    name="TagKeyValue", values=[f"user:Environment${args.environment}"]
                )
            ],
            notifications=[
                aws.budgets.BudgetNotificationArgs(
                    comparison_operator="GREATER_THAN",
                    notification_type="FORECASTED" if percent == BUDGET_PERCENTS[-1] else "ACTUAL",
                    threshold=percent,
                    threshold_type="PERCENTAGE",
                    subscriber_sns_topic_arns=[topic.arn],
                )
                for percent in BUDGET_PERCENTS
            ],
            opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=[policy])),
        )
        for label, identifier in sorted(args.databases.identifiers.items()):
            instance_class = args.databases.args.data.instances[label].instance_class
            watch_database(f"database-{label}", identifier, instance_class, topic.arn, child)
        watch_stream("stream", args.stream.cluster_name, args.brokers, topic.arn, child)
        watch_deployments(
            f"patient-management-{args.environment}-deployments",
            args.environment,
            args.cluster_arn,
            topic.arn,
            child,
        )
        self.notices_arn = topic.arn
        self.register_outputs({"notices_arn": self.notices_arn})


def dashboard(
    name: str,
    *,
    region: str,
    platform: PlatformOutputs,
    services: Mapping[str, pulumi.Output[str]],
    consumers: Sequence[tuple[str, str]],
    opts: pulumi.ResourceOptions,
) -> None:
    """Makes the dashboard. `services`: the ECS service's name by the catalogue's. `consumers`:
    (group, topic).
    """
    names = sorted(services)

    def body(values: list[str]) -> str:
        cluster, stream, balancer, *ecs = values
        by_service = list(zip(names, ecs, strict=True))
        use = [
            ["AWS/ECS", "ClusterName", cluster, "ServiceName", service, {"label": label}]
            for label, service in by_service
        ]
        widgets = [
            widget(
                "Requests",
                [["AWS/ApplicationELB", "RequestCount", "LoadBalancer", balancer]],
                region,
                "Sum",
            ),
            widget(
                "Errors",
                [
                    ["AWS/ApplicationELB", f"HTTPCode_{side}_5XX_Count", "LoadBalancer", balancer]
                    for side in ("ELB", "Target")
                ],
                region,
                "Sum",
            ),
            widget(
                "Latency, p99",
                [["AWS/ApplicationELB", "TargetResponseTime", "LoadBalancer", balancer]],
                region,
                "p99",
            ),
            widget(
                "CPU", [[line[0], "CPUUtilization", *line[1:]] for line in use], region, "Average"
            ),
            widget(
                "Memory",
                [[line[0], "MemoryUtilization", *line[1:]] for line in use],
                region,
                "Average",
            ),
            widget(
                "Consumer lag",
                [
                    [
                        "AWS/Kafka",
                        "SumOffsetLag",
                        "Cluster Name",
                        stream,
                        "Consumer Group",
                        group,
                        "Topic",
                        topic,
                    ]
                    for group, topic in consumers
                ],
                region,
                "Maximum",
            ),
        ]
        for index, each in enumerate(widgets):
            each |= {"x": 12 * (index % 2), "y": 6 * (index // 2), "width": 12, "height": 6}
        return json.dumps({"widgets": widgets}, sort_keys=True)

    parts = [
        platform.cluster_name,
        platform.stream_name,
        platform.balancer_suffix,
        *(services[each] for each in names),
    ]
    aws.cloudwatch.Dashboard(
        name, dashboard_name=name, dashboard_body=pulumi.Output.all(*parts).apply(body), opts=opts
    )


def widget(title: str, metrics: list[Any], region: str, statistic: str) -> dict[str, Any]:
    properties = {
        "title": title,
        "metrics": metrics,
        "region": region,
        "stat": statistic,
        "period": 60,
    }
    return {"type": "metric", "properties": {**properties, "view": "timeSeries"}}
