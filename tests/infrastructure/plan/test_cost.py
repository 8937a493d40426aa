"""Lines of the bill, reckoned by hand from the list prices."""

from collections.abc import Mapping
from datetime import date
from typing import Any

import pytest

from infrastructure.config.files import read_config
from infrastructure.config.parse import parse_stack
from infrastructure.plan import prices
from infrastructure.plan.cost import DAYS_A_MONTH, estimate, total
from infrastructure.plan.report import report
from infrastructure.recording import Recording, Resource

pytestmark = pytest.mark.infrastructure
HOURS = 730


def resource(
    kind: str, name: str, outputs: Mapping[str, Any] | None = None, **inputs: Any
) -> Resource:
    return Resource(
        type=kind, name=name, urn=name, parent="", inputs=inputs, outputs=outputs or {}, id=name
    )


def bill(*resources: Resource) -> dict[str, float]:
    recording = Recording(parse_stack("dev", read_config("dev")), list(resources))
    lines = estimate(recording)
    assert sum(line.usd_a_month for line in lines) == pytest.approx(total(lines))
    assert [line.usd_a_month for line in lines] == sorted(
        (line.usd_a_month for line in lines), reverse=True
    )
    return {line.what: round(line.usd_a_month, 2) for line in lines}


@pytest.mark.parametrize(
    ("multi_az", "usd"),
    # db.m7g.large 0.168 an hour and 100 GiB at 0.115: the standby has instance and storage of its
    # own.
    [(False, 0.168 * HOURS + 11.5), (True, 2 * (0.168 * HOURS + 11.5))],
)
def test_standby_doubles_instance_and_storage(multi_az: bool, usd: float) -> None:
    instance = resource(
        "aws:rds/instance:Instance",
        "main",
        instanceClass="db.m7g.large",
        allocatedStorage=100,
        multiAz=multi_az,
    )
    # And RDS's own secret.
    assert bill(instance) == {"database main": round(usd, 2), "secrets": 0.4}


def test_brokers_count_with_their_storage() -> None:
    nodes = {
        "instanceType": "kafka.m7g.large",
        "storageInfo": {"ebsStorageInfo": {"volumeSize": 100}},
    }
    cluster = resource(
        "aws:msk/cluster:Cluster", "it", numberOfBrokerNodes=3, brokerNodeGroupInfo=nodes
    )
    assert bill(cluster) == {"MSK": round(3 * (0.204 * HOURS + 10.0), 2)}


@pytest.mark.parametrize(
    ("provider", "share"), [("FARGATE", 1.0), ("FARGATE_SPOT", prices.SPOT_SHARE)]
)
def test_tasks_count_by_size_number_and_capacity(provider: str, share: float) -> None:
    task = resource(
        "aws:ecs/taskDefinition:TaskDefinition", "t", {"arn": "t:1"}, cpu="512", memory="1024"
    )
    service = resource(
        "aws:ecs/service:Service",
        "s",
        taskDefinition="t:1",
        desiredCount=2,
        capacityProviderStrategies=[{"capacityProvider": provider}],
    )
    usd = 2 * (0.5 * 0.03238 + 1 * 0.00356) * HOURS * share
    assert bill(task, service) == {"service s": round(usd, 2), "logs": round(2 * 0.53, 2)}


def test_gateway_endpoint_is_free_and_an_interface_costs_in_each_zone() -> None:
    kind = "aws:ec2/vpcEndpoint:VpcEndpoint"
    free = resource(kind, "s3", vpcEndpointType="Gateway")
    paid = resource(kind, "logs", vpcEndpointType="Interface", subnetIds=["a", "b", "c"])
    assert bill(free) == {}
    assert bill(free, paid) == {"interface endpoints": round(3 * 0.01 * HOURS, 2)}


def test_nat_balancer_and_public_addresses() -> None:
    nat = resource("aws:ec2/natGateway:NatGateway", "n")
    balancer = resource("aws:lb/loadBalancer:LoadBalancer", "b", subnets=["a", "b"])
    assert bill(nat, balancer) == {
        "NAT": round(0.045 * HOURS + 20 * 0.045, 2),
        "load balancer": round((0.0225 + 0.008) * HOURS, 2),
        # One of the NAT's, one of the balancer in each zone.
        "public IPv4 addresses": round(3 * 0.005 * HOURS, 2),
    }


def test_metrics_of_containers_count_where_insights_are_on() -> None:
    service = resource(
        "aws:ecs/service:Service",
        "s",
        taskDefinition="t:1",
        desiredCount=0,
        capacityProviderStrategies=[{"capacityProvider": "FARGATE"}],
    )
    task = resource(
        "aws:ecs/taskDefinition:TaskDefinition", "t", {"arn": "t:1"}, cpu="256", memory="512"
    )
    for value, usd in (
        ("enabled", {"container metrics": 2.4, "traffic between zones": 0.2}),
        ("disabled", {"traffic between zones": 0.2}),
    ):
        settings = [{"name": "containerInsights", "value": value}]
        cluster = resource("aws:ecs/cluster:Cluster", "c", settings=settings)
        assert bill(service, task, cluster) == usd


def test_what_no_program_declares_is_in_the_bill() -> None:
    policy = resource("aws:appautoscaling/policy:Policy", "auth-cpu")
    # Two alarms a policy, made by Application Auto Scaling.
    assert bill(policy) == {"alarms of scaling": 0.2}
    own, preview = (
        Resource(
            type="aws:ecr/repository:Repository",
            name=name,
            urn=name,
            parent="",
            inputs={"name": name},
            outputs={},
            id=name,
        )
        for name in ("patient-management/auth", "preview/auth")
    )
    assert bill(own, preview) == {"images": 0.1}
    # Without a cluster nothing crosses zones.
    assert bill() == {}


def test_each_task_that_always_runs_logs_and_a_preview_hardly(
    prod: Recording, preview: Recording
) -> None:
    tasks = sum(each.inputs["desiredCount"] for each in prod.of("aws:ecs/service:Service"))
    lines = {line.what: line.usd_a_month for line in estimate(prod)}
    assert lines["logs"] == pytest.approx(tasks * (0.50 + 0.03))
    lines = {line.what: line.usd_a_month for line in estimate(preview)}
    assert lines["logs"] == pytest.approx(0.05 * 0.53)


def test_a_preview_costs_less_than_45_cents_a_day(preview: Recording) -> None:
    whole = total(estimate(preview))
    assert whole / DAYS_A_MONTH < 0.45
    # Spot is not always at its lowest.
    dear = total(estimate(preview, prices.DEAREST_SPOT_SHARE))
    spot = whole - 0.40 - 0.05 * 0.53
    assert dear - whole == pytest.approx(spot * 5 / 30)


def test_production_pays_for_no_nat_and_one_instance(prod: Recording) -> None:
    lines = {line.what: line.quantity for line in estimate(prod)}
    assert "NAT" not in lines
    assert [what for what in lines if what.startswith("database")] == ["database patient-prod-main"]
    assert total(estimate(prod)) < 1_150


def test_every_price_has_a_source_and_a_day() -> None:
    told = {
        name
        for name, value in vars(prices).items()
        if name.isupper() and isinstance(value, float | dict) and name != "SOURCES"
    }
    assert set(prices.SOURCES) == told
    for source in prices.SOURCES.values():
        assert source.url.startswith("https://aws.amazon.com/")
        assert date.fromisoformat(source.as_of) >= date(2026, 1, 1)


def test_plan_names_the_source_of_every_price(preview: Recording, dev: Recording) -> None:
    text = report(preview, dev)
    for source in prices.SOURCES.values():
        assert f"{source.url}, {source.as_of}" in text
    assert "With Spot at 65% off: " in text
