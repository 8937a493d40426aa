"""What alarms, autoscaling and the budget measure: each by its metric, and of the very resources of
its stack.
"""

import json
from typing import Any

import pytest

from apps.catalogue import SERVICES, Service
from apps.kit.lag import METRIC_NAMESPACE
from infrastructure.config.connections import capacity
from infrastructure.config.model import EnvironmentStack
from infrastructure.program import tags
from infrastructure.recording import Recording, Resource
from tests.infrastructure.tasks import TASK, environment_of

pytestmark = pytest.mark.infrastructure
# Namespace, metric, statistic, side of the threshold, dimensions.
Measure = tuple[str, str, str, str, dict[str, str]]
SIDES = {"GreaterThanThreshold": ">", "LessThanThreshold": "<"}
INSTANCE = "aws:rds/instance:Instance"


@pytest.fixture(params=["dev", "staging", "prod"])
def stack(request: pytest.FixtureRequest, stacks: dict[str, Recording]) -> Recording:
    return stacks[request.param]


def settings(stack: Recording) -> Any:
    assert isinstance(stack.stack, EnvironmentStack)
    return stack.stack.config


def suffix(stack: Recording, kind: str) -> str:
    """As CloudWatch names it."""
    (found,) = stack.of(f"aws:lb/{kind}")
    return str(found.outputs["arnSuffix"])


# Each consumer with each of its topics.
CONSUMED = [(entry, topic) for entry in SERVICES.values() for topic in entry.consumes]


def lag_name(stack: Recording, entry: Service, topic: str) -> str:
    """The first topic's alarm and policy are without its name, as when services had one topic."""
    return f"{stack.stack.name}-{entry.name}-lag{'' if topic == entry.consumes[0] else f'-{topic}'}"


def lag(stack: Recording, entry: Service, topic_name: str) -> dict[str, str]:
    """Returns the group and the topic that the service is told,
    on the cluster that has the topic.
    """
    variables = environment_of(stack.one(TASK, f"{stack.stack.name}-{entry.name}"))
    (cluster,) = stack.of("aws:msk/cluster:Cluster")
    topic = stack.one("aws:msk/topic:Topic", variables[f"TOPIC_{topic_name.upper()}"]).inputs
    assert topic["clusterArn"] == cluster.outputs["arn"]
    return {
        "Cluster Name": cluster.inputs["clusterName"],
        "Consumer Group": variables["KAFKA_CONSUMER_GROUP"],
        "Topic": topic["name"],
    }


def watched(stack: Recording) -> dict[str, Measure]:
    found: dict[str, Measure] = {}
    name = stack.stack.name
    (cluster,) = stack.of("aws:ecs/cluster:Cluster")
    for service in SERVICES:
        made = stack.one("aws:ecs/service:Service", f"{name}-{service}").outputs["name"]
        own = {"ClusterName": cluster.outputs["name"], "ServiceName": made}
        found[f"{name}-{service}-cpu"] = ("AWS/ECS", "CPUUtilization", "Average", ">", own)
        found[f"{name}-{service}-memory"] = ("AWS/ECS", "MemoryUtilization", "Maximum", ">", own)
        errors: Measure = (f"PatientManagement/{name}", f"{service}-errors", "Sum", ">", {})
        found[f"{name}-{service}-errors"] = errors
        if settings(stack).insights:
            found[f"{name}-{service}-running"] = (
                "ECS/ContainerInsights",
                "RunningTaskCount",
                "Minimum",
                "<",
                own,
            )
    door = {"LoadBalancer": suffix(stack, "loadBalancer:LoadBalancer")}
    behind = door | {"TargetGroup": suffix(stack, "targetGroup:TargetGroup")}
    balancing = "AWS/ApplicationELB"
    dead = {
        entry.name: {
            "Environment": name,
            "ConsumerGroup": lag(stack, entry, entry.consumes[0])["Consumer Group"],
        }
        for entry in SERVICES.values()
        if entry.consumes
    }
    (brokers,) = stack.of("aws:msk/cluster:Cluster")
    stream = {"Cluster Name": brokers.inputs["clusterName"]}
    found |= {
        f"{name}-gateway-5xx": (balancing, "HTTPCode_Target_5XX_Count", "Sum", ">", behind),
        f"{name}-gateway-unreached": (balancing, "HTTPCode_ELB_5XX_Count", "Sum", ">", door),
        f"{name}-gateway-latency": (balancing, "TargetResponseTime", "p99", ">", behind),
        **{
            lag_name(stack, entry, topic): (
                "AWS/Kafka",
                "SumOffsetLag",
                "Maximum",
                ">",
                lag(stack, entry, topic),
            )
            for entry, topic in CONSUMED
        },
        **{
            f"{name}-{service}-dead-letters": (
                METRIC_NAMESPACE,
                "NewDeadLetters",
                "Maximum",
                ">",
                own,
            )
            for service, own in dead.items()
        },
        "stream-controller": ("AWS/Kafka", "ActiveControllerCount", "Maximum", "<", stream),
        f"{name}-gateway-unhealthy": (balancing, "UnHealthyHostCount", "Maximum", ">", behind),
        "app-runner-failed": (
            "AWS/Lambda",
            "Errors",
            "Sum",
            ">",
            {"FunctionName": f"patient-management-{name}-runner"},
        ),
    }
    for number in range(1, brokers.inputs["numberOfBrokerNodes"] + 1):
        disk = {**stream, "Broker ID": str(number)}
        found[f"stream-storage-{number}"] = (
            "AWS/Kafka",
            "KafkaDataLogsDiskUsed",
            "Maximum",
            ">",
            disk,
        )
        found[f"stream-replicas-{number}"] = (
            "AWS/Kafka",
            "UnderReplicatedPartitions",
            "Maximum",
            ">",
            disk,
        )
    for instance in stack.of(INSTANCE):
        own = {"DBInstanceIdentifier": instance.outputs["identifier"]}
        label = f"database-{own['DBInstanceIdentifier'].removeprefix(f'patient-{name}-')}"
        found[f"{label}-cpu"] = ("AWS/RDS", "CPUUtilization", "Average", ">", own)
        found[f"{label}-storage"] = ("AWS/RDS", "FreeStorageSpace", "Minimum", "<", own)
        found[f"{label}-connections"] = ("AWS/RDS", "DatabaseConnections", "Maximum", ">", own)
        found[f"{label}-memory"] = ("AWS/RDS", "FreeableMemory", "Minimum", "<", own)
        if instance.inputs["instanceClass"].startswith("db.t"):
            found[f"{label}-credits"] = ("AWS/RDS", "CPUCreditBalance", "Minimum", "<", own)
    return found


def alarms(stack: Recording) -> dict[str, Any]:
    return {each.name: each.inputs for each in stack.of("aws:cloudwatch/metricAlarm:MetricAlarm")}


def test_each_alarm_measures_what_this_stack_runs(stack: Recording) -> None:
    found = {
        name: (
            given["namespace"],
            given["metricName"],
            given.get("statistic") or given.get("extendedStatistic"),
            SIDES[given["comparisonOperator"]],
            given.get("dimensions", {}),
        )
        for name, given in alarms(stack).items()
    }
    assert found == watched(stack)


def test_each_alarm_tells_of_its_end_too(stack: Recording) -> None:
    (topic,) = stack.of("aws:sns/topic:Topic")
    for given in alarms(stack).values():
        assert given["alarmActions"] == given["okActions"] == [topic.outputs["arn"]]


def test_a_databases_alarms_ring_before_it_is_full(stack: Recording) -> None:
    rings = {
        (given["metricName"], given["dimensions"]["DBInstanceIdentifier"]): given["threshold"]
        for given in alarms(stack).values()
        if given["namespace"] == "AWS/RDS"
    }
    for instance in stack.of(INSTANCE):
        identifier = instance.outputs["identifier"]
        assert (
            1024**3
            <= rings["FreeStorageSpace", identifier]
            < instance.inputs["allocatedStorage"] * 1024**3
        )
        assert (
            0
            < rings["DatabaseConnections", identifier]
            < capacity(instance.inputs["instanceClass"])
        )


def of_services(stack: Recording, kind: str) -> list[Resource]:
    return [each for each in stack.of(kind) if each.inputs["serviceNamespace"] == "ecs"]


def test_the_brokers_storage_grows_before_the_alarm_rings(stack: Recording) -> None:
    (cluster,) = stack.of("aws:msk/cluster:Cluster")
    (target,) = (
        each.inputs
        for each in stack.of("aws:appautoscaling/target:Target")
        if each.inputs["serviceNamespace"] == "kafka"
    )
    policy = stack.one("aws:appautoscaling/policy:Policy", f"patient-{stack.stack.name}-storage")
    tracked = policy.inputs["targetTrackingScalingPolicyConfiguration"]

    assert target["resourceId"] == policy.inputs["resourceId"] == cluster.outputs["arn"]
    assert target["scalableDimension"] == "kafka:broker-storage:VolumeSize"
    volume = cluster.inputs["brokerNodeGroupInfo"]["storageInfo"]["ebsStorageInfo"]["volumeSize"]
    assert target["maxCapacity"] == settings(stack).stream.storage_limit_gib > volume
    assert tracked["disableScaleIn"] is True
    assert tracked["targetValue"] < alarms(stack)["stream-storage-1"]["threshold"]


def test_a_deployment_that_logs_errors_is_taken_back(stack: Recording) -> None:
    name = stack.stack.name
    for service in SERVICES:
        watched_by = stack.one("aws:ecs/service:Service", f"{name}-{service}").inputs["alarms"]
        alarm = stack.one("aws:cloudwatch/metricAlarm:MetricAlarm", f"{name}-{service}-errors")
        counted = stack.one(
            "aws:cloudwatch/logMetricFilter:LogMetricFilter", f"{name}-{service}-errors"
        ).inputs

        assert watched_by == {
            "alarmNames": [alarm.outputs["name"]],
            "enable": True,
            "rollback": True,
        }
        assert counted["logGroupName"] == f"/patient-management/{name}/{service}"
        assert counted["metricTransformation"]["name"] == alarm.inputs["metricName"]
        assert counted["metricTransformation"]["namespace"] == alarm.inputs["namespace"]
        # As the services' own log lines name it: apps/kit/logs.py.
        assert '$.level = "ERROR"' in counted["pattern"]


def test_a_deployment_that_failed_is_told_to_the_topic(stack: Recording) -> None:
    name = f"patient-management-{stack.stack.name}-deployments"
    rule = stack.one("aws:cloudwatch/eventRule:EventRule", name)
    target = stack.one("aws:cloudwatch/eventTarget:EventTarget", name)
    (cluster,) = stack.of("aws:ecs/cluster:Cluster")
    (topic,) = stack.of("aws:sns/topic:Topic")
    pattern = json.loads(rule.inputs["eventPattern"])

    assert pattern["detail"] == {"eventName": ["SERVICE_DEPLOYMENT_FAILED"]}
    (of_cluster,) = pattern["resources"]
    # Previews run in this cluster too.
    own = f":service/{cluster.outputs['name']}/{stack.stack.name}-"
    assert of_cluster["prefix"].endswith(own)
    made = stack.one("aws:ecs/service:Service", f"{stack.stack.name}-gateway").outputs["name"]
    assert f":service/{cluster.outputs['name']}/{made}".startswith(own)
    assert target.inputs["rule"] == rule.inputs["name"]
    assert target.inputs["arn"] == topic.outputs["arn"]


def test_alarms_reach_somebody_in_every_environment(stack: Recording) -> None:
    (topic,) = stack.of("aws:sns/topic:Topic")
    (subscription,) = stack.of("aws:sns/topicSubscription:TopicSubscription")
    assert subscription.inputs["topic"] == topic.outputs["arn"]
    assert subscription.inputs["endpoint"] == settings(stack).notices_email


def test_each_service_is_scaled_by_a_metric_of_its_own(stack: Recording) -> None:
    name = stack.stack.name
    (cluster,) = stack.of("aws:ecs/cluster:Cluster")
    balanced = (
        f"{suffix(stack, 'loadBalancer:LoadBalancer')}/{suffix(stack, 'targetGroup:TargetGroup')}"
    )
    metrics: dict[str, dict[str, Any]] = {
        f"{name}-{service}-cpu": {"predefinedMetricType": "ECSServiceAverageCPUUtilization"}
        for service in SERVICES
    }
    metrics |= {
        f"{name}-gateway-requests": {
            "predefinedMetricType": "ALBRequestCountPerTarget",
            "resourceLabel": balanced,
        },
        **{
            lag_name(stack, entry, topic): {
                "namespace": "AWS/Kafka",
                "metricName": "SumOffsetLag",
                "statistic": "Maximum",
                "dimensions": [
                    {"name": key, "value": value} for key, value in lag(stack, entry, topic).items()
                ],
            }
            for entry, topic in CONSUMED
        },
    }
    policies = of_services(stack, "aws:appautoscaling/policy:Policy")
    assert {each.name for each in policies} == set(metrics)
    targets = {
        each.inputs["resourceId"] for each in of_services(stack, "aws:appautoscaling/target:Target")
    }
    for each in policies:
        owner = "-".join(each.name.split("-")[:2])
        service = stack.one("aws:ecs/service:Service", owner).outputs["name"]
        tracked = each.inputs["targetTrackingScalingPolicyConfiguration"]
        (specified,) = [
            value for key, value in tracked.items() if key.endswith("MetricSpecification")
        ]
        assert specified == metrics[each.name]
        assert each.inputs["resourceId"] == f"service/{cluster.outputs['name']}/{service}"
        assert each.inputs["resourceId"] in targets


def test_the_budget_counts_what_bears_the_stacks_tag_and_tells_it_to_the_topic(
    stack: Recording,
) -> None:
    (budget,) = stack.of("aws:budgets/budget:Budget")
    (topic,) = stack.of("aws:sns/topic:Topic")
    (policy,) = stack.of("aws:sns/topicPolicy:TopicPolicy")
    tagged = f"user:Environment${tags(stack.stack)['Environment']}"
    assert budget.inputs["costFilters"] == [{"name": "TagKeyValue", "values": [tagged]}]
    assert budget.inputs["limitAmount"] == str(settings(stack).budget_usd)
    notices = budget.inputs["notifications"]
    assert {(each["notificationType"], each["threshold"]) for each in notices} == {
        ("ACTUAL", 80),
        ("FORECASTED", 100),
    }
    for each in notices:
        assert each["subscriberSnsTopicArns"] == [topic.outputs["arn"]]
    (grant,) = json.loads(policy.inputs["policy"])["Statement"]
    assert policy.inputs["arn"] == grant["Resource"] == topic.outputs["arn"]
    assert set(grant["Principal"]["Service"]) == {
        "budgets.amazonaws.com",
        "cloudwatch.amazonaws.com",
        # Of deployments that failed.
        "events.amazonaws.com",
    }
