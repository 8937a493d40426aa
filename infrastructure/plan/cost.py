"""What a stack costs a month: from the resources that it declares, by list price, with what was
assumed beside it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from infrastructure.config.model import PreviewStack
from infrastructure.plan import prices
from infrastructure.recording import Recording, Resource

HOURS = prices.HOURS_A_MONTH
NAT_GIB = 20
# Of a month, by each task that always runs; of a preview in all, which only its reviewers use.
LOG_GIB_A_TASK = 1.0
PREVIEW_LOG_GIB = 0.05
# An image is about a fifth of a GiB, and its layers are shared: what ten of one service take.
IMAGE_GIB_A_REPOSITORY = 1.0
# Between tasks, databases and brokers of different zones.
ZONES_GIB = 10
# Application Auto Scaling makes and deletes them itself: no program declares them.
ALARMS_A_TARGET = 2
REQUESTS_MILLIONS = 1
# Container Insights bills its metrics: about so many a service.
METRICS_A_SERVICE = 8
DAYS_A_MONTH = 30
# The databases' master secrets are RDS's own, and bill as ours do.
ASSUMPTIONS = (
    f"list prices in {prices.REGION}, without taxes, free tier or savings plans",
    f"{HOURS} hours a month, each service at its least number of replicas",
    f"Spot at {1 - prices.SPOT_SHARE:.0%} off, which moves",
    f"{NAT_GIB} GiB through NAT, {ZONES_GIB} between zones, {LOG_GIB_A_TASK:.0f} of logs a task,"
    f" {IMAGE_GIB_A_REPOSITORY:.0f} of images a service",
    f"{REQUESTS_MILLIONS} million requests, one capacity unit of the balancer",
    "without backups beyond the databases' own size",
)


@dataclass(frozen=True, slots=True)
class Line:
    what: str
    quantity: str
    usd_a_month: float


def estimate(recording: Recording, spot_share: float = prices.SPOT_SHARE) -> list[Line]:
    """Returns the lines of a month's bill, the dearest first.

    `spot_share`: what Spot costs of the price on demand.
    """
    lines = [
        *network_lines(recording),
        *data_lines(recording),
        *task_lines(recording, spot_share),
        *upkeep_lines(recording),
    ]
    return sorted((line for line in lines if line.usd_a_month), key=lambda line: -line.usd_a_month)


def total(lines: Iterable[Line]) -> float:
    return sum(line.usd_a_month for line in lines)


def network_lines(recording: Recording) -> list[Line]:
    nats = len(recording.of("aws:ec2/natGateway:NatGateway"))
    balancers = recording.of("aws:lb/loadBalancer:LoadBalancer")
    addresses = nats + sum(len(each.inputs["subnets"]) for each in balancers)
    endpoints = sum(
        len(each.inputs["subnetIds"])
        for each in recording.of("aws:ec2/vpcEndpoint:VpcEndpoint")
        if each.inputs["vpcEndpointType"] == "Interface"
    )
    unit = prices.BALANCER_HOUR + prices.BALANCER_UNIT_HOUR
    return [
        Line(
            "NAT",
            f"{nats}",
            nats * prices.NAT_HOUR * HOURS + (NAT_GIB * prices.NAT_GIB if nats else 0),
        ),
        Line("public IPv4 addresses", f"{addresses}", addresses * prices.PUBLIC_IPV4_HOUR * HOURS),
        Line("load balancer", f"{len(balancers)}", len(balancers) * unit * HOURS),
        Line("interface endpoints", f"{endpoints}", endpoints * prices.ENDPOINT_HOUR * HOURS),
        Line(
            "traffic between zones",
            f"{ZONES_GIB} GiB",
            len(recording.of("aws:ecs/cluster:Cluster")) * ZONES_GIB * prices.ZONES_GIB,
        ),
        Line("firewall", *firewall(recording)),
    ]


def firewall(recording: Recording) -> tuple[str, float]:
    acls = recording.of("aws:wafv2/webAcl:WebAcl")
    rules = sum(len(each.inputs["rules"]) for each in acls)
    requests = REQUESTS_MILLIONS * prices.FIREWALL_MILLION_REQUESTS * len(acls)
    return f"{rules} rules", len(
        acls
    ) * prices.FIREWALL_MONTH + rules * prices.FIREWALL_RULE_MONTH + requests


def data_lines(recording: Recording) -> list[Line]:
    lines = []
    for each in recording.of("aws:rds/instance:Instance"):
        kind, gib = each.inputs["instanceClass"], each.inputs["allocatedStorage"]
        copies = 2 if each.inputs["multiAz"] else 1
        cost = copies * (prices.DATABASE_HOUR[kind] * HOURS + gib * prices.DATABASE_GIB_MONTH)
        lines.append(Line(f"database {each.name}", f"{copies} x {kind}, {gib} GiB", cost))
    for each in recording.of("aws:msk/cluster:Cluster"):
        nodes, count = each.inputs["brokerNodeGroupInfo"], each.inputs["numberOfBrokerNodes"]
        gib = nodes["storageInfo"]["ebsStorageInfo"]["volumeSize"]
        cost = count * (
            prices.BROKER_HOUR[nodes["instanceType"]] * HOURS + gib * prices.BROKER_GIB_MONTH
        )
        lines.append(Line("MSK", f"{count} x {nodes['instanceType']}, {gib} GiB each", cost))
    return lines


def task_lines(recording: Recording, spot_share: float) -> list[Line]:
    tasks = {
        each.outputs["arn"]: each for each in recording.of("aws:ecs/taskDefinition:TaskDefinition")
    }
    lines = []
    for each in recording.of("aws:ecs/service:Service"):
        task, count = tasks[each.inputs["taskDefinition"]], each.inputs["desiredCount"]
        spot = each.inputs["capacityProviderStrategies"][0]["capacityProvider"] == "FARGATE_SPOT"
        cost = count * task_hour(task) * HOURS * (spot_share if spot else 1)
        size = (
            f"{count} x {task.inputs['cpu']}/{task.inputs['memory']} ARM{' Spot' if spot else ''}"
        )
        lines.append(Line(f"service {each.name}", size, cost))
    return lines


def task_hour(task: Resource) -> float:
    cpu, memory = int(task.inputs["cpu"]) / 1024, int(task.inputs["memory"]) / 1024
    return cpu * prices.FARGATE_ARM_VCPU_HOUR + memory * prices.FARGATE_ARM_GIB_HOUR


def upkeep_lines(recording: Recording) -> list[Line]:
    keys = len(recording.of("aws:kms/key:Key"))
    secrets = len(recording.of("aws:secretsmanager/secret:Secret")) + len(
        recording.of("aws:rds/instance:Instance")
    )
    authorities = len(recording.of("aws:acmpca/certificateAuthority:CertificateAuthority"))
    alarms = len(recording.of("aws:cloudwatch/metricAlarm:MetricAlarm"))
    errors = len(recording.of("aws:cloudwatch/logMetricFilter:LogMetricFilter"))
    dashboards = len(recording.of("aws:cloudwatch/dashboard:Dashboard"))
    clusters = recording.of("aws:ecs/cluster:Cluster")
    measured = any(
        each["value"] != "disabled" for cluster in clusters for each in cluster.inputs["settings"]
    )
    services = len(recording.of("aws:ecs/service:Service")) if measured else 0
    tracked = ALARMS_A_TARGET * len(recording.of("aws:appautoscaling/policy:Policy"))
    repositories = [
        each
        for each in recording.of("aws:ecr/repository:Repository")
        if not each.inputs["name"].startswith("preview/")
    ]
    stored = len(repositories) * IMAGE_GIB_A_REPOSITORY
    logged = log_gib(recording)
    return [
        Line("keys", f"{keys}", keys * prices.KEY_MONTH),
        Line("secrets", f"{secrets}", secrets * prices.SECRET_MONTH),
        Line(
            "private authority",
            f"{authorities}",
            authorities * prices.PRIVATE_AUTHORITY_SHORT_LIVED_MONTH,
        ),
        Line("alarms", f"{alarms}", alarms * prices.ALARM_MONTH),
        Line("alarms of scaling", f"{tracked}", tracked * prices.ALARM_MONTH),
        Line("images", f"{stored:.0f} GiB", stored * prices.IMAGE_GIB_MONTH),
        Line("error metrics", f"{errors}", errors * prices.CONTAINER_METRIC_MONTH),
        Line("dashboard", f"{dashboards}", dashboards * prices.DASHBOARD_MONTH),
        Line(
            "container metrics",
            f"{services} services",
            services * METRICS_A_SERVICE * prices.CONTAINER_METRIC_MONTH,
        ),
        Line("logs", f"{logged:g} GiB", logged * (prices.LOG_GIB + prices.LOG_GIB_MONTH)),
    ]


def log_gib(recording: Recording) -> float:
    """Returns the GiB that a stack logs in a month."""
    services = recording.of("aws:ecs/service:Service")
    if isinstance(recording.stack, PreviewStack):
        return PREVIEW_LOG_GIB
    return LOG_GIB_A_TASK * sum(int(each.inputs["desiredCount"]) for each in services)
