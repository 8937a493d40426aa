"""What AWS itself refuses or forgets, and neither a type nor moto says: shapes, waits, rights,
metrics, names.
"""

import json
from fnmatch import fnmatchcase
from typing import Any

import pytest

from apps.kit.lag import METRIC_NAMESPACE, Lag, metric_line, metrics_environment
from infrastructure.ecs.images import PREVIEW_DAYS
from infrastructure.policies.stacks import log_patterns
from infrastructure.recording import Recording, Resource
from tests.infrastructure.tasks import environment_of

pytestmark = pytest.mark.infrastructure


def keys(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*map(keys, value.values()))
    return set().union(*map(keys, value)) if isinstance(value, list) else set()


def waits_for(resource: Resource) -> set[str]:
    return {urn.rpartition("::")[2] for urn in resource.dependencies}


def test_the_firewall_reaches_the_provider_in_its_own_words(dev: Recording) -> None:
    (acl,) = dev.of("aws:wafv2/webAcl:WebAcl")
    assert {key for key in keys(dict(acl.inputs)) if "_" in key} == set()
    rule = next(rule for rule in acl.inputs["rules"] if rule["name"] == "bodies-elsewhere")
    outside = rule["statement"]["andStatement"]["statements"][1]
    assert len(outside["notStatement"]["statement"]["orStatement"]["statements"]) == 2


def test_a_new_definition_updates_the_release_and_never_replaces_it(
    stacks: dict[str, Recording],
) -> None:
    for name, stack in stacks.items():
        invocation = stack.one("aws:lambda/invocation:Invocation", "app-release")
        assert "triggers" not in invocation.inputs
        assert invocation.inputs["lifecycleScope"] == "CRUD"
        definition = next(
            each.outputs["arn"]
            for each in stack.of("aws:ecs/taskDefinition:TaskDefinition")
            if each.inputs["family"] == f"{name}-release"
        )
        assert json.loads(invocation.inputs["input"])["task"] == definition


def test_proxies_keep_their_keys_under_ours_and_services_wait_for_that(prod: Recording) -> None:
    policy = prod.one("aws:iam/rolePolicy:RolePolicy", "patient-prod-connect-keep")
    (statement,) = json.loads(policy.inputs["policy"])["Statement"]
    wanted = {"Encrypt", "Decrypt", "GenerateDataKey", "GenerateDataKeyPair", "DescribeKey"}
    assert set(statement["Action"]) == {f"kms:{action}" for action in wanted}
    assert statement["Resource"] == prod.one("aws:kms/key:Key", "data").outputs["arn"]
    attached = {each.name for each in prod.of("aws:iam/rolePolicyAttachment:RolePolicyAttachment")}
    mine = {name for name in attached if name.startswith("patient-prod-connect-")} | {policy.name}
    assert len(mine) == 2
    for service in prod.of("aws:ecs/service:Service"):
        # The gateway offers nothing to proxies, and waits for those who do.
        if service.inputs["serviceConnectConfiguration"].get("services"):
            assert mine <= waits_for(service), service.name


def test_services_wait_for_the_clusters_capacity(stacks: dict[str, Recording]) -> None:
    for name in ("dev", "staging", "prod"):
        for service in stacks[name].of("aws:ecs/service:Service"):
            assert any("ClusterCapacityProviders" in urn for urn in service.dependencies), (
                service.name
            )


def test_production_runs_on_no_spot(prod: Recording) -> None:
    services = prod.of("aws:ecs/service:Service")
    used = {
        each["capacityProvider"]
        for service in services
        for each in service.inputs["capacityProviderStrategies"]
    }
    (providers,) = prod.of("aws:ecs/clusterCapacityProviders:ClusterCapacityProviders")
    used |= {
        each["capacityProvider"] for each in providers.inputs["defaultCapacityProviderStrategies"]
    }
    assert used == {"FARGATE"}


@pytest.mark.parametrize("service", ["analytics", "billing"])
def test_dead_letters_ring_by_the_metric_that_the_service_writes(
    dev: Recording, service: str
) -> None:
    name = f"dev-{service}-dead-letters"
    alarm = dev.one("aws:cloudwatch/metricAlarm:MetricAlarm", name).inputs
    variables = environment_of(dev.one("aws:ecs/taskDefinition:TaskDefinition", f"dev-{service}"))
    environment = metrics_environment(variables["ENVIRONMENT"], variables["LOG_FORMAT"])
    assert environment is not None
    group = variables["KAFKA_CONSUMER_GROUP"]
    line: Any = metric_line(Lag((), 7, 1), environment, group, 0)
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert alarm["namespace"] == directive["Namespace"] == METRIC_NAMESPACE
    assert alarm["metricName"] in {metric["Name"] for metric in directive["Metrics"]}
    assert alarm["dimensions"] == {name: line[name] for name in directive["Dimensions"][0]}
    assert (alarm["comparisonOperator"], alarm["threshold"]) == ("GreaterThanThreshold", 0)
    # It goes off again: of what was set aside long ago it says nothing.
    assert line[alarm["metricName"]] == 1
    assert alarm["alarmActions"] == [dev.one("aws:sns/topic:Topic", "patient-dev").outputs["arn"]]


def test_silence_rings_only_where_it_means_that_all_is_gone(stacks: dict[str, Recording]) -> None:
    for name in ("dev", "staging", "prod"):
        alarms = stacks[name].of("aws:cloudwatch/metricAlarm:MetricAlarm")
        silent = {
            each.inputs["metricName"]
            for each in alarms
            if each.inputs["treatMissingData"] == "breaching"
        }
        # Tasks are counted where Container Insights is on. Elsewhere the balancer's own errors
        # tell.
        assert silent == (
            {"ActiveControllerCount"}
            if name == "dev"
            else {"ActiveControllerCount", "RunningTaskCount"}
        )
        (unreached,) = [
            each.inputs for each in alarms if each.inputs["metricName"] == "HTTPCode_ELB_5XX_Count"
        ]
        assert unreached["dimensions"] == {
            "LoadBalancer": stacks[name].outputs["platform"]["balancer_suffix"]
        }


def test_every_task_is_told_its_region_by_both_names(stacks: dict[str, Recording]) -> None:
    for stack in stacks.values():
        for definition in stack.of("aws:ecs/taskDefinition:TaskDefinition"):
            values = environment_of(definition)
            assert values["AWS_REGION"] == values["AWS_DEFAULT_REGION"] == stack.stack.region


def test_what_uses_a_role_waits_for_its_rights(dev: Recording) -> None:
    (flows,) = dev.of("aws:ec2/flowLog:FlowLog")
    assert "patient-dev-flows-write" in waits_for(flows)
    for instance in dev.of("aws:rds/instance:Instance"):
        assert "patient-dev-monitoring-AmazonRDSEnhancedMonitoringRole" in waits_for(instance)


def test_the_databases_logs_are_ours_before_they_are_written(stacks: dict[str, Recording]) -> None:
    for name in ("dev", "staging", "prod"):
        groups = {
            each.inputs["name"]: each
            for each in stacks[name].of("aws:cloudwatch/logGroup:LogGroup")
        }
        for instance in stacks[name].of("aws:rds/instance:Instance"):
            for log in instance.inputs["enabledCloudwatchLogsExports"]:
                group = groups[f"/aws/rds/instance/{instance.inputs['identifier']}/{log}"]
                assert group.inputs["retentionInDays"]
                assert group.inputs["kmsKeyId"]
                assert group.name in waits_for(instance)


def test_connections_are_logged_in_the_words_of_postgresql_18(dev: Recording) -> None:
    (group,) = dev.of("aws:rds/parameterGroup:ParameterGroup")
    values = {each["name"]: each["value"] for each in group.inputs["parameters"]}
    assert group.inputs["family"] == "postgres18"
    # RDS's list of values may lack `all`; `1` is the same and stands in it.
    assert values["log_connections"] == "1"


def test_a_last_snapshot_is_named_after_this_life_of_the_stack(prod: Recording) -> None:
    (subnets,) = prod.of("aws:rds/subnetGroup:SubnetGroup")
    names = [
        each.inputs["finalSnapshotIdentifier"] for each in prod.of("aws:rds/instance:Instance")
    ]
    assert len(set(names)) == len(names)
    assert subnets.outputs["name"] != subnets.name
    assert all(name.startswith(subnets.outputs["name"]) for name in names)


def test_the_balancer_asks_for_readiness_over_tls(stacks: dict[str, Recording]) -> None:
    for stack in stacks.values():
        (target,) = stack.of("aws:lb/targetGroup:TargetGroup")
        check = target.inputs["healthCheck"]
        assert (target.inputs["protocol"], check["protocol"], check["path"]) == (
            "HTTPS",
            "HTTPS",
            "/readyz",
        )


def test_the_proxy_knows_which_service_speaks_grpc(dev: Recording) -> None:
    found = {}
    for definition in dev.of("aws:ecs/taskDefinition:TaskDefinition"):
        (container,) = json.loads(definition.inputs["containerDefinitions"])
        for port in container.get("portMappings", []):
            found[container["name"]] = port.get("appProtocol")
    assert found == {
        "auth": "http",
        "patient": "http",
        "analytics": "http",
        "console": "http",
        "billing": "grpc",
        "gateway": None,
    }


def test_the_key_is_for_every_log_group_of_an_environment_and_its_previews(
    stacks: dict[str, Recording],
) -> None:
    for name, stack in stacks.items():
        base = stacks["dev"] if name == "pr-1" else stack
        patterns = log_patterns(base.one("aws:kms/key:Key", "data").inputs["policy"])
        for group in stack.of("aws:cloudwatch/logGroup:LogGroup"):
            assert any(fnmatchcase(group.inputs["name"], pattern) for pattern in patterns), (
                group.inputs["name"]
            )


def test_a_previews_image_stays_while_the_preview_is_kept(dev: Recording) -> None:
    policy = dev.one("aws:ecr/lifecyclePolicy:LifecyclePolicy", "preview-gateway").inputs["policy"]
    assert json.loads(policy)["rules"][0]["selection"]["countNumber"] == PREVIEW_DAYS == 90


def test_root_authoritys_own_certificate_comes_without_a_chain(staging: Recording) -> None:
    (installed,) = staging.of(
        "aws:acmpca/certificateAuthorityCertificate:CertificateAuthorityCertificate"
    )
    assert installed.inputs["certificate"]
    assert "certificateChain" not in installed.inputs
