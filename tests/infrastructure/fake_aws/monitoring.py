"""What watches, in the bridge: logs, alarms, notices, the budget."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from infrastructure.config import limits
from infrastructure.plan.paper import ACCOUNT
from tests.infrastructure.fake_aws.aws_json import pascal

if TYPE_CHECKING:
    from tests.infrastructure.fake_aws.moto_resources import Creator, Made, Moto


def log_group(cloud: Moto, name: str, inputs: dict[str, Any]) -> Made:
    limits.check_retention(inputs["retentionInDays"])
    logs = cloud.client("logs")
    logs.create_log_group(logGroupName=inputs["name"])
    logs.put_retention_policy(
        logGroupName=inputs["name"], retentionInDays=inputs["retentionInDays"]
    )
    found = logs.describe_log_groups(logGroupNamePrefix=inputs["name"])["logGroups"]
    arn = next(
        each["arn"] for each in found if each["logGroupName"] == inputs["name"]
    ).removesuffix(":*")
    return inputs["name"], {"arn": arn, "name": inputs["name"]}


def alarm(cloud: Moto, name: str, inputs: dict[str, Any]) -> Made:
    given = pascal(
        {key_: value for key_, value in inputs.items() if key_ not in ("dimensions", "tags")}
    )
    given["Dimensions"] = [
        {"Name": key_, "Value": value} for key_, value in inputs.get("dimensions", {}).items()
    ]
    physical = cloud.unique("", name)
    cloud.client("cloudwatch").put_metric_alarm(AlarmName=physical, **given)
    return physical, {"name": physical}


def metric_filter(cloud: Moto, name: str, inputs: dict[str, Any]) -> Made:
    told = inputs["metricTransformation"]
    cloud.client("logs").put_metric_filter(
        logGroupName=inputs["logGroupName"],
        filterName=inputs["name"],
        filterPattern=inputs["pattern"],
        metricTransformations=[
            {
                "metricName": told["name"],
                "metricNamespace": told["namespace"],
                "metricValue": told["value"],
                "defaultValue": float(told["defaultValue"]),
            }
        ],
    )
    return inputs["name"], {}


def dashboard(cloud: Moto, name: str, inputs: dict[str, Any]) -> Made:
    cloud.client("cloudwatch").put_dashboard(
        DashboardName=inputs["dashboardName"], DashboardBody=inputs["dashboardBody"]
    )
    return name, {}


def topic(cloud: Moto, name: str, inputs: dict[str, Any]) -> Made:
    arn = cloud.client("sns").create_topic(Name=cloud.unique("aws:sns/topic:Topic", name))[
        "TopicArn"
    ]
    return arn, {"arn": arn}


def topic_policy(cloud: Moto, name: str, inputs: dict[str, Any]) -> Made:
    cloud.client("sns").set_topic_attributes(
        TopicArn=inputs["arn"], AttributeName="Policy", AttributeValue=inputs["policy"]
    )
    return inputs["arn"], {}


def subscription(cloud: Moto, name: str, inputs: dict[str, Any]) -> Made:
    arn = cloud.client("sns").subscribe(
        TopicArn=inputs["topic"],
        Protocol=inputs["protocol"],
        Endpoint=inputs["endpoint"],
        ReturnSubscriptionArn=True,
    )["SubscriptionArn"]
    return arn, {"arn": arn}


def budget(cloud: Moto, name: str, inputs: dict[str, Any]) -> Made:
    physical = cloud.unique("", name)
    cloud.client("budgets").create_budget(
        AccountId=ACCOUNT,
        Budget={
            "BudgetName": physical,
            "BudgetLimit": {"Amount": inputs["limitAmount"], "Unit": inputs["limitUnit"]},
            "TimeUnit": inputs["timeUnit"],
            "BudgetType": inputs["budgetType"],
            "CostFilters": {each["name"]: each["values"] for each in inputs["costFilters"]},
        },
        NotificationsWithSubscribers=[
            {
                "Notification": {
                    key_: each[key_[0].lower() + key_[1:]]
                    for key_ in (
                        "NotificationType",
                        "ComparisonOperator",
                        "Threshold",
                        "ThresholdType",
                    )
                },
                "Subscribers": [
                    {"SubscriptionType": "SNS", "Address": arn}
                    for arn in each["subscriberSnsTopicArns"]
                ],
            }
            for each in inputs["notifications"]
        ],
    )
    return physical, {}


WATCH: dict[str, Creator] = {
    "aws:budgets/budget:Budget": budget,
    "aws:cloudwatch/dashboard:Dashboard": dashboard,
    "aws:cloudwatch/logGroup:LogGroup": log_group,
    "aws:cloudwatch/logMetricFilter:LogMetricFilter": metric_filter,
    "aws:cloudwatch/metricAlarm:MetricAlarm": alarm,
    "aws:sns/topic:Topic": topic,
    "aws:sns/topicPolicy:TopicPolicy": topic_policy,
    "aws:sns/topicSubscription:TopicSubscription": subscription,
}
