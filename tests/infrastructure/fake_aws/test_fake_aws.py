"""What the bridge says that it made stands in moto as the program declared it: no part was left out
on the way.
"""

import json
from typing import Any

import pytest

from infrastructure.plan.paper import ACCOUNT
from infrastructure.recording import Recording, Resource
from tests.infrastructure.conftest import Account
from tests.infrastructure.fake_aws.aws_json import pascal
from tests.infrastructure.fake_aws.deletion import ENDS
from tests.infrastructure.fake_aws.moto_resources import CREATORS, ON_PAPER

pytestmark = pytest.mark.infrastructure


@pytest.fixture
def client(account: Account) -> Any:
    return account.cloud.client


def only(stack: Recording, kind: str) -> Resource:
    (found,) = stack.of(f"aws:{kind}")
    return found


def test_each_kind_is_made_or_on_paper_and_has_its_end() -> None:
    assert not ON_PAPER & set(CREATORS)
    assert {*ON_PAPER, *CREATORS} - set(ENDS) == set()


def test_the_firewall_has_its_rules(client: Any, dev: Recording) -> None:
    acl = only(dev, "wafv2/webAcl:WebAcl")
    name = acl.outputs["arn"].split("/")[-2]
    rules = client("wafv2").get_web_acl(Name=name, Id=acl.id, Scope="REGIONAL")["WebACL"]["Rules"]
    assert {rule["Name"]: set(rule["Statement"]) for rule in rules} == {
        rule["name"]: set(pascal(rule["statement"])) for rule in acl.inputs["rules"]
    }


def test_databases_have_their_parameters(client: Any, dev: Recording) -> None:
    group = only(dev, "rds/parameterGroup:ParameterGroup")
    pages = (
        client("rds")
        .get_paginator("describe_db_parameters")
        .paginate(DBParameterGroupName=group.id)
    )
    set_ = {
        each["ParameterName"]: each.get("ParameterValue")
        for page in pages
        for each in page["Parameters"]
    }
    assert {
        each["name"]: each["value"] for each in group.inputs["parameters"]
    }.items() <= set_.items()


def test_policies_of_scaling_track_what_they_declare(client: Any, dev: Recording) -> None:
    for each in dev.of("aws:appautoscaling/policy:Policy"):
        found = client("application-autoscaling").describe_scaling_policies(
            ServiceNamespace=each.inputs["serviceNamespace"],
            ResourceId=each.inputs["resourceId"],
            PolicyNames=[each.name],
        )["ScalingPolicies"]
        wanted = pascal(each.inputs["targetTrackingScalingPolicyConfiguration"])
        assert [wanted] == [
            policy["TargetTrackingScalingPolicyConfiguration"]
            for policy in found
            if policy["PolicyName"] == each.name
        ]


def test_each_subnet_goes_by_its_own_table(client: Any, dev: Recording) -> None:
    vpc = {"Name": "vpc-id", "Values": [dev.outputs["platform"]["vpc_id"]]}
    tables = client("ec2").describe_route_tables(Filters=[vpc])["RouteTables"]
    told = {
        link["SubnetId"] for table in tables for link in table["Associations"] if "SubnetId" in link
    }
    assert told == {each.id for each in dev.of("aws:ec2/subnet:Subnet")}
    default = {"Name": "group-name", "Values": ["default"]}
    (group,) = client("ec2").describe_security_groups(Filters=[vpc, default])["SecurityGroups"]
    assert group["IpPermissions"] == group["IpPermissionsEgress"] == []


def test_the_cluster_has_its_capacity(client: Any, prod: Recording) -> None:
    made = only(prod, "ecs/clusterCapacityProviders:ClusterCapacityProviders").inputs
    (cluster,) = client("ecs").describe_clusters(clusters=[made["clusterName"]])["clusters"]
    assert cluster["capacityProviders"] == made["capacityProviders"]
    assert cluster["defaultCapacityProviderStrategy"] == made["defaultCapacityProviderStrategies"]


def test_the_authority_is_active_by_a_certificate_of_its_own(client: Any, prod: Recording) -> None:
    arn = {
        "CertificateAuthorityArn": only(prod, "acmpca/certificateAuthority:CertificateAuthority").id
    }
    assert (
        client("acm-pca").describe_certificate_authority(**arn)["CertificateAuthority"]["Status"]
        == "ACTIVE"
    )
    certificate = client("acm-pca").get_certificate_authority_certificate(**arn)["Certificate"]
    assert certificate == only(prod, "acmpca/certificate:Certificate").outputs["certificate"]


def test_notices_are_let_in_and_sent_on(client: Any, prod: Recording) -> None:
    topic = only(prod, "sns/topic:Topic").id
    attributes = client("sns").get_topic_attributes(TopicArn=topic)["Attributes"]
    assert json.loads(attributes["Policy"]) == json.loads(
        only(prod, "sns/topicPolicy:TopicPolicy").inputs["policy"]
    )
    (subscribed,) = client("sns").list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    wanted = only(prod, "sns/topicSubscription:TopicSubscription").inputs
    assert (subscribed["Protocol"], subscribed["Endpoint"]) == (
        wanted["protocol"],
        wanted["endpoint"],
    )
    budget = {"AccountId": ACCOUNT, "BudgetName": only(prod, "budgets/budget:Budget").id}
    told = client("budgets").describe_notifications_for_budget(**budget)["Notifications"]
    assert [(each["NotificationType"], each["Threshold"]) for each in told] == [
        ("ACTUAL", 80),
        ("FORECASTED", 100),
    ]
