"""Every stack is brought up in moto; what the seed drew as boxes is there, by name."""

import collections
import json

import pytest

from apps.catalogue import SERVICES, TOPICS
from apps.gateway.settings import RequestLimits
from infrastructure.config.files import preview_config, read_config
from infrastructure.plan.paper import LOGIN, Paper
from infrastructure.plan.record import SIGNATURE, record
from infrastructure.policies.examine import examine
from infrastructure.recording import Recording

pytestmark = pytest.mark.infrastructure


def test_every_stack_comes_up_in_one_account(
    stacks: dict[str, Recording], other_preview: Recording
) -> None:
    assert {name: stack.outputs["url"] for name, stack in stacks.items()} == {
        "dev": "https://dev.example.org",
        "staging": "https://staging.example.org",
        "prod": "https://patients.example.org",
        "pr-1": "https://pr-1.dev.example.org",
    }
    assert other_preview.outputs["url"] == "https://pr-12.dev.example.org"


def test_no_two_resources_share_a_urn(stacks: dict[str, Recording]) -> None:
    # A URN has the types of a resource's parents, not their names.
    for stack in stacks.values():
        names = collections.Counter((each.type, each.name) for each in stack.resources)
        assert [key for key, count in names.items() if count > 1] == []


def test_every_box_of_the_picture_is_a_resource(dev: Recording, prod: Recording) -> None:
    assert dev.one("aws:ec2/vpc:Vpc", "patient-dev").inputs["cidrBlock"] == "10.0.0.0/16"
    kinds = collections.Counter(
        each.inputs["tags"]["SubnetType"] for each in dev.of("aws:ec2/subnet:Subnet")
    )
    assert kinds == {"Public": 2, "Private": 2, "Isolated": 2}
    assert not dev.one("aws:lb/loadBalancer:LoadBalancer", "patient-dev").inputs["internal"]
    assert dev.one("aws:ecs/cluster:Cluster", "patient-dev").id
    for service in SERVICES:
        assert dev.one("aws:ecs/service:Service", f"dev-{service}").id
    assert prod.one("aws:rds/instance:Instance", "patient-prod-main").id
    assert dev.one("aws:msk/cluster:Cluster", "patient-dev").id
    assert (
        dev.one("aws:msk/topic:Topic", "patient").inputs["partitionCount"]
        == TOPICS["patient"].partitions
    )


def test_dev_has_one_nat_and_production_none(dev: Recording, prod: Recording) -> None:
    assert len(dev.of("aws:ec2/natGateway:NatGateway")) == 1
    assert prod.of("aws:ec2/natGateway:NatGateway") == []
    # Private subnets have no way out; AWS is reached within the VPC.
    (gateway,) = prod.of("aws:ec2/internetGateway:InternetGateway")
    ways = [
        each.inputs
        for each in prod.of("aws:ec2/route:Route")
        if each.inputs["destinationCidrBlock"] == "0.0.0.0/0"
    ]
    assert {way["gatewayId"] for way in ways} == {gateway.id}


def test_production_that_calls_out_has_nat_in_each_zone_and_opens_auths_ports() -> None:
    config = read_config("prod") | {
        "patient-management:nat": "per-zone",
        "patient-management:outbound-ports": "[465, 443]",
    }
    prod = record(
        "prod", config, Paper(), {"dev": record("dev", read_config("dev"), Paper()).outputs}
    )
    assert len(prod.of("aws:ec2/natGateway:NatGateway")) == 3
    own = prod.one("aws:ec2/securityGroup:SecurityGroup", "prod-auth").id
    ways_out = {
        each.inputs["toPort"]: each.inputs["securityGroupId"]
        for each in prod.of("aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule")
        if each.inputs.get("cidrIpv4") == "0.0.0.0/0"
    }
    assert ways_out == {465: own, 443: own}
    assert examine(prod) == []


def test_instance_for_each_database_is_a_setting() -> None:
    instance = {"instance-class": "db.m7g.large", "storage-gib": 50, "storage-limit-gib": 500}
    data = json.loads(read_config("prod")["patient-management:data"])
    names = ("auth", "patient", "billing", "analytics", "console")
    data["instances"] = {name: {"databases": [name], **instance} for name in names}
    config = read_config("prod") | {"patient-management:data": json.dumps(data)}
    prod = record(
        "prod", config, Paper(), {"dev": record("dev", read_config("dev"), Paper()).outputs}
    )
    assert {each.name for each in prod.of("aws:rds/instance:Instance")} == {
        f"patient-prod-{name}" for name in names
    }


def test_a_previews_update_waits_for_its_gateway_alone(stacks: dict[str, Recording]) -> None:
    services = stacks["pr-1"].of("aws:ecs/service:Service")
    assert {each.name for each in services if each.inputs["waitForSteadyState"]} == {"pr-1-gateway"}
    # By this the command finds where they run, and waits itself.
    (cluster,) = stacks["dev"].of("aws:ecs/cluster:Cluster")
    assert stacks["pr-1"].outputs["cluster"] == cluster.outputs["arn"]


def test_a_preview_runs_on_demand_where_spot_has_no_capacity() -> None:
    dev = record("dev", read_config("dev"), Paper())
    for spot, provider in (("true", "FARGATE_SPOT"), ("false", "FARGATE")):
        config = preview_config("dev", "us-east-1") | {"patient-management:spot": spot}
        preview = record("pr-7", config, Paper(), {"dev": dev.outputs})
        assert {
            each.inputs["capacityProviderStrategies"][0]["capacityProvider"]
            for each in preview.of("aws:ecs/service:Service")
        } == {provider}


def test_of_two_previews_of_one_source_each_has_an_image_of_its_own() -> None:
    dev = record("dev", read_config("dev"), Paper())
    old = {**dev.outputs, "images": {}}
    labels = []
    for name in ("pr-7", "pr-8"):
        preview = record(name, preview_config("dev", "us-east-1"), Paper(), {"dev": old})
        images = preview.of("docker-build:index:Image")
        assert len(images) == len(SERVICES) + 1
        labels += [each.inputs["labels"] for each in images]
    assert [each for each in labels if each == {"preview": "pr-7"}] == labels[: len(SERVICES) + 1]
    assert [each for each in labels if each == {"preview": "pr-8"}] == labels[len(SERVICES) + 1 :]
    assert all("labels" not in each.inputs for each in dev.of("docker-build:index:Image"))


def test_built_images_expire_but_the_newest(dev: Recording) -> None:
    for each in dev.of("aws:ecr/lifecyclePolicy:LifecyclePolicy"):
        rules = json.loads(each.inputs["policy"])["rules"]
        counted = [
            rule["selection"]
            for rule in rules
            if rule["selection"]["countType"] == "imageCountMoreThan"
        ]
        if each.name.startswith("preview-"):
            assert counted == []
            continue
        (selection,) = counted
        assert selection["tagPrefixList"] == ["source-"]
        assert selection["countNumber"] == 100


def test_a_preview_adds_nothing_that_is_slow_or_dear(preview: Recording) -> None:
    kinds = {each.type for each in preview.resources}
    dear = {
        "awsx:ec2:Vpc",
        "aws:ec2/natGateway:NatGateway",
        "aws:lb/loadBalancer:LoadBalancer",
        "aws:rds/instance:Instance",
        "aws:msk/cluster:Cluster",
        "aws:kms/key:Key",
        "aws:cloudwatch/metricAlarm:MetricAlarm",
    }
    assert kinds & dear == set()
    assert {each.name for each in preview.of("aws:msk/topic:Topic")} == {
        f"pr-1.{topic}" for topic in TOPICS
    }
    rule = preview.of("aws:lb/listenerRule:ListenerRule")[0].inputs
    assert rule["priority"] == 1001
    assert rule["conditions"][0]["hostHeader"]["values"] == ["pr-1.dev.example.org"]


def test_a_preview_that_changes_nothing_runs_the_bases_images(
    dev: Recording, preview: Recording
) -> None:
    assert preview.outputs["changed"] == []
    assert preview.outputs["images"] == dev.outputs["images"]
    assert preview.of("docker-build:index:Image") == []


def test_services_start_after_the_release_and_after_what_they_call(dev: Recording) -> None:
    for entry in SERVICES.values():
        waited = dev.one("aws:ecs/service:Service", f"dev-{entry.name}").dependencies
        assert any("lambda/invocation" in urn for urn in waited), entry.name
        for called in entry.calls:
            assert any(urn.endswith(f"aws:ecs/service:Service::dev-{called}") for urn in waited), (
                entry.name,
                called,
            )


def test_the_release_waits_for_its_roles_policies(dev: Recording) -> None:
    waited = dev.one("aws:lambda/invocation:Invocation", "app-release").dependencies
    assert {urn.rpartition("::")[2] for urn in waited} >= {
        "app-release-task-work",
        "app-release-execution-start",
    }


def test_desired_counts_are_autoscalings(stacks: dict[str, Recording]) -> None:
    for stack in stacks.values():
        assert all(each.ignored == ["desiredCount"] for each in stack.of("aws:ecs/service:Service"))


def test_analytics_scales_by_lag_and_the_gateway_by_requests(prod: Recording) -> None:
    policies = {each.name for each in prod.of("aws:appautoscaling/policy:Policy")}
    assert {"prod-analytics-lag", "prod-gateway-requests"} <= policies
    assert {f"prod-{service}-cpu" for service in SERVICES} <= policies


def test_two_brokers_can_hold_every_topic_that_kafka_makes_for_itself(
    stacks: dict[str, Recording],
) -> None:
    """Kafka's own default of three copies would leave a group without its offsets' topic,
    for ever.
    """
    for stack in stacks.values():
        for each in stack.of("aws:msk/configuration:Configuration"):
            (cluster,) = stack.of("aws:msk/cluster:Cluster")
            settings = dict(
                line.split("=") for line in each.inputs["serverProperties"].splitlines()
            )
            brokers = cluster.inputs["numberOfBrokerNodes"]
            for name in ("default", "offsets.topic", "transaction.state.log"):
                assert 2 <= int(settings[f"{name}.replication.factor"]) <= brokers
            assert int(settings["transaction.state.log.min.isr"]) < int(
                settings["default.replication.factor"]
            )


def test_a_databases_changes_come_at_once_where_no_window_guards_it(
    stacks: dict[str, Recording],
) -> None:
    for name, stack in stacks.items():
        for each in stack.of("aws:rds/instance:Instance"):
            assert each.inputs["applyImmediately"] == (name != "prod")


def test_tls_is_forced_by_the_method_that_rds_reports(dev: Recording) -> None:
    (group,) = dev.of("aws:rds/parameterGroup:ParameterGroup")
    (forced,) = [each for each in group.inputs["parameters"] if each["name"] == "rds.force_ssl"]
    assert (forced["value"], forced["applyMethod"]) == ("1", "pending-reboot")


def test_a_services_capacity_can_be_changed(stacks: dict[str, Recording]) -> None:
    """The provider refuses another capacity provider where a new deployment is not asked for."""
    for stack in stacks.values():
        for each in stack.of("aws:ecs/service:Service"):
            assert each.inputs["capacityProviderStrategies"]
            assert each.inputs["forceNewDeployment"] is True, each.name


def test_the_brokers_make_no_topic_by_themselves(dev: Recording) -> None:
    properties = dev.of("aws:msk/configuration:Configuration")[0].inputs["serverProperties"]
    assert "auto.create.topics.enable=false" in properties


def test_a_task_definition_is_the_same_bytes_each_time(dev: Recording) -> None:
    for each in dev.of("aws:ecs/taskDefinition:TaskDefinition"):
        (container,) = json.loads(each.inputs["containerDefinitions"])
        names = [variable["name"] for variable in container["environment"]]
        assert names == sorted(names)
        assert all(variable["value"] is not None for variable in container["environment"])
        assert all(
            port["hostPort"] == port["containerPort"] for port in container.get("portMappings", [])
        )


def test_no_proxy_cuts_a_call_off_that_the_gateway_still_waits_for(
    stacks: dict[str, Recording],
) -> None:
    for stack in stacks.values():
        for each in stack.of("aws:ecs/service:Service"):
            for offered in each.inputs["serviceConnectConfiguration"].get("services") or []:
                call = offered["timeout"]["perRequestTimeoutSeconds"]
                assert (
                    RequestLimits().total_seconds < call <= offered["timeout"]["idleTimeoutSeconds"]
                ), each.name


def test_proxies_speak_tls_in_staging_and_production(stacks: dict[str, Recording]) -> None:
    for name, stack in stacks.items():
        billing = stack.one("aws:ecs/service:Service", f"{name}-billing").inputs[
            "serviceConnectConfiguration"
        ]
        assert bool(billing["services"][0].get("tls")) == (name in ("staging", "prod")), name


def test_outputs_hold_no_secret(stacks: dict[str, Recording]) -> None:
    for stack in stacks.values():
        text = json.dumps(stack.outputs)
        assert not [marker for marker in ("rds!", SIGNATURE, LOGIN) if marker in text]
