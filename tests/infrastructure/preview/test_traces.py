"""The places that the driver looks at, on AWS's API: moto's where it has the service, the SDK's stubs where not."""

import io
import itertools
import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.response import StreamingBody
from botocore.stub import Stubber
from moto import mock_aws

from infrastructure.preview.base import Runner, read_base
from infrastructure.preview.faults import Denied, Fault, Missing
from infrastructure.preview.names import Preview, Refusal
from infrastructure.preview.sweep import KINDS, STACK_TAG, Tagged
from infrastructure.preview.traces import Databases, Images, LogGroups, Topics, Trace, Traces

pytestmark = pytest.mark.infrastructure

ONE, TWELVE = Preview(1), Preview(12)
CLUSTER = "arn:aws:kafka:us-east-1:123456789012:cluster/patient-dev/0a1b2c3d-1"


ACCOUNTS = itertools.count(210_000_000_000)


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Iterator[boto3.Session]:
    """In an account of its own: moto may be under way already, with what other tests made."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        role = f"arn:aws:iam::{next(ACCOUNTS)}:role/tests"
        credentials = boto3.client("sts").assume_role(RoleArn=role, RoleSessionName="tests")["Credentials"]
        yield boto3.Session(
            aws_access_key_id=credentials["AccessKeyId"],
            aws_secret_access_key=credentials["SecretAccessKey"],
            aws_session_token=credentials["SessionToken"],
            region_name="us-east-1",
        )


def names(traces: list[Trace]) -> list[tuple[int, str]]:
    return sorted((trace.preview.number, trace.name) for trace in traces)


def test_log_groups_are_found_by_the_whole_name_of_their_stack(session: boto3.Session) -> None:
    logs = session.client("logs")
    for group in ("pr-1/gateway", "pr-12/gateway", "dev/gateway", "pr-1x/gateway", "pr-/gateway", "pr-7"):
        logs.create_log_group(logGroupName=f"/patient-management/{group}")
    kind = LogGroups(logs, "/patient-management/")
    assert names(kind.find()) == [(1, "/patient-management/pr-1/gateway"), (12, "/patient-management/pr-12/gateway")]
    kind.remove(ONE)
    kind.remove(ONE)
    left = {group["logGroupName"] for group in logs.describe_log_groups()["logGroups"]}
    assert "/patient-management/pr-1/gateway" not in left
    assert len(left) == 5


def push(ecr: Any, repository: str, tag: str, content: str) -> None:
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {"digest": content},
        "layers": [],
    }
    ecr.put_image(repositoryName=repository, imageManifest=json.dumps(manifest), imageTag=tag)


def test_images_go_by_tag_and_only_from_the_previews_repositories(session: boto3.Session) -> None:
    ecr = session.client("ecr")
    for repository in ("preview/gateway", "patient-management/gateway"):
        ecr.create_repository(repositoryName=repository)
        push(ecr, repository, "pr-1-source-aa", "one")
    push(ecr, "preview/gateway", "pr-12-source-bb", "twelve")
    push(ecr, "preview/gateway", "pr-12-source-aa", "one")
    kind = Images(ecr, "preview/")
    kind.remove(ONE)
    assert names(kind.find()) == [
        (12, "preview/gateway:pr-12-source-aa"),
        (12, "preview/gateway:pr-12-source-bb"),
    ]
    assert len(ecr.list_images(repositoryName="patient-management/gateway")["imageIds"]) == 1


def test_topics_of_one_preview_go_and_the_bases_stay(session: boto3.Session) -> None:
    kafka = session.client("kafka")
    listed = {
        "Topics": [{"TopicName": name} for name in ("patient", "pr-1.patient", "pr-12.patient", "pr-1.patient.dlq")]
    }
    with Stubber(kafka) as stub:
        for _ in range(2):
            stub.add_response("list_topics", listed, {"ClusterArn": CLUSTER})
        stub.add_response("delete_topic", {}, {"ClusterArn": CLUSTER, "TopicName": "pr-1.patient"})
        stub.add_client_error("delete_topic", "NotFoundException")
        kind = Topics(kafka, CLUSTER)
        assert names(kind.find()) == [(1, "pr-1.patient"), (1, "pr-1.patient.dlq"), (12, "pr-12.patient")]
        kind.remove(ONE)
        stub.assert_no_pending_responses()


def test_denied_list_of_topics_is_a_fault_of_its_own(session: boto3.Session) -> None:
    kafka = session.client("kafka")
    with Stubber(kafka) as stub:
        stub.add_client_error("list_topics", "AccessDeniedException", "not authorized to perform: kafka:ListTopics")
        with pytest.raises(Denied, match="kafka:ListTopics"):
            Topics(kafka, CLUSTER).find()


def answer(body: object, **more: object) -> dict[str, object]:
    data = json.dumps(body).encode()
    return {"StatusCode": 200, "Payload": StreamingBody(io.BytesIO(data), len(data)), **more}


def test_runner_is_told_an_action_and_a_number_and_never_a_name(session: boto3.Session) -> None:
    client = session.client("lambda")
    with Stubber(client) as stub:
        wanted = {"FunctionName": "runner", "Payload": b'{"action": "drop", "pr": 12}'}
        stub.add_response("invoke", answer({"ran": ["drop"]}), wanted)
        Databases(Runner("runner", client).run).remove(TWELVE)
        stub.assert_no_pending_responses()


def test_runner_that_fails_is_loud(session: boto3.Session) -> None:
    client = session.client("lambda")
    with Stubber(client) as stub:
        failed = answer({"errorMessage": "drop failed: exit codes {'release': 1}"}, FunctionError="Unhandled")
        stub.add_response("invoke", failed)
        with pytest.raises(Fault, match="exit codes"):
            Databases(Runner("runner", client).run).remove(TWELVE)


def test_databases_of_previews_are_told_from_all_others() -> None:
    kind = Databases(lambda action, preview: {"databases": ["patient", "pr_1_patient", "pr_12_auth", "pr_x_auth"]})
    assert names(kind.find()) == [(1, "pr_1_patient"), (12, "pr_12_auth")]


def test_place_that_cannot_be_looked_at_is_named(session: boto3.Session) -> None:
    kafka = session.client("kafka")
    session.client("logs").create_log_group(logGroupName="/patient-management/pr-1/gateway")
    with Stubber(kafka) as stub:
        stub.add_client_error("list_topics", "AccessDeniedException")
        found = Traces((Topics(kafka, CLUSTER), LogGroups(session.client("logs"), "/patient-management/"))).find()
    assert [trace.name for trace in found.traces] == ["/patient-management/pr-1/gateway"]
    assert found.unseen[0].startswith("topic: not looked at")


def tagged(stack: str) -> list[dict[str, str]]:
    return [{"Key": STACK_TAG, "Value": stack}]


def make(session: boto3.Session, stack: str) -> None:
    """What a run that was killed may leave: of each kind that carries the tag."""
    ec2, elb = session.client("ec2"), session.client("elbv2")
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    subnets = [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"][:2]]
    group = ec2.create_security_group(
        GroupName=f"{stack}-gateway",
        Description="own",
        VpcId=vpc,
        TagSpecifications=[{"ResourceType": "security-group", "Tags": tagged(stack)}],
    )["GroupId"]
    balancer = elb.create_load_balancer(Name=f"of-{stack}", Subnets=subnets)["LoadBalancers"][0]["LoadBalancerArn"]
    target = elb.create_target_group(Name=stack, Protocol="HTTPS", Port=4004, VpcId=vpc, Tags=tagged(stack))
    arn = target["TargetGroups"][0]["TargetGroupArn"]
    action = {"Type": "forward", "TargetGroupArn": arn}
    fixed = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}
    listener = elb.create_listener(LoadBalancerArn=balancer, Protocol="HTTP", Port=80, DefaultActions=[fixed])
    elb.create_rule(
        ListenerArn=listener["Listeners"][0]["ListenerArn"],
        Priority=1012,
        Conditions=[{"Field": "host-header", "Values": [f"{stack}.dev.example.org"]}],
        Actions=[action],
        Tags=tagged(stack),
    )
    ecs = session.client("ecs")
    ecs.create_cluster(clusterName="dev")
    ecs.register_task_definition(
        family=f"{stack}-gateway",
        containerDefinitions=[{"name": "gateway", "image": "gateway", "memory": 512}],
        tags=[{"key": STACK_TAG, "value": stack}],
    )
    ecs.create_service(
        cluster="dev",
        serviceName=f"{stack}-gateway",
        taskDefinition=f"{stack}-gateway",
        desiredCount=1,
        networkConfiguration={"awsvpcConfiguration": {"subnets": subnets, "securityGroups": [group]}},
        tags=[{"key": STACK_TAG, "value": stack}],
    )
    session.client("secretsmanager").create_secret(Name=f"preview/{stack}/X", Tags=tagged(stack))
    session.client("cloudwatch").put_metric_alarm(
        AlarmName=f"{stack}-gateway",
        ComparisonOperator="GreaterThanThreshold",
        EvaluationPeriods=1,
        MetricName="CPU",
        Namespace="AWS/ECS",
        Period=60,
        Statistic="Average",
        Threshold=1.0,
        Tags=tagged(stack),
    )
    iam = session.client("iam")
    iam.create_role(RoleName=f"{stack}-task", Path="/preview/", AssumeRolePolicyDocument="{}", Tags=tagged(stack))
    iam.put_role_policy(
        RoleName=f"{stack}-task",
        PolicyName="work",
        PolicyDocument=json.dumps(
            {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]}
        ),
    )


def test_what_a_killed_run_made_is_found_by_its_tag_and_deleted(session: boto3.Session) -> None:
    for stack in ("pr-1", "pr-12", "dev"):
        make(session, stack)
    kind = Tagged(session)
    of_twelve = names([trace for trace in kind.find() if trace.preview == TWELVE])
    assert {trace.preview for trace in kind.find()} == {ONE, TWELVE}
    kind.remove(ONE)
    kind.remove(ONE)
    assert names(kind.find()) == of_twelve
    roles = {role["RoleName"] for role in session.client("iam").list_roles()["Roles"]}
    assert {"pr-12-task", "dev-task"} <= roles
    assert "pr-1-task" not in roles


def test_what_nobody_knows_how_to_delete_is_named(session: boto3.Session) -> None:
    made = session.client("sns").create_topic(Name="surprise", Tags=tagged("pr-1"))["TopicArn"]
    with pytest.raises(Fault, match=made):
        Tagged(session).remove(ONE)


def test_every_kind_that_is_swept_has_its_place_in_the_order() -> None:
    order = list(KINDS)
    for before, after in (
        ("elasticloadbalancing:listener-rule", "elasticloadbalancing:targetgroup"),
        ("ecs:service", "elasticloadbalancing:targetgroup"),
        ("ecs:service", "ec2:security-group"),
        ("ec2:security-group-rule", "ec2:security-group"),
        ("ecs:service", "iam:role"),
    ):
        assert order.index(before) < order.index(after)


class Outputs:
    def __init__(self, platform: object) -> None:
        self.platform = platform

    def outputs(self, name: str) -> dict[str, object]:
        return {"platform": self.platform}


@pytest.mark.parametrize("platform", [{"preview_runner_name": ""}, {}, None, "s3cret"])
def test_base_without_previews_is_refused_with_the_key_that_switches_them_on(platform: object) -> None:
    with pytest.raises(Refusal, match="patient-management:previews"):
        read_base(Outputs(platform), "dev")


def test_base_that_is_older_than_its_previews_is_refused_by_what_it_lacks() -> None:
    with pytest.raises(Refusal, match=r"dev shows no domain, stream_arn: bring it up"):
        read_base(Outputs({"preview_runner_name": "runner"}), "dev")


def test_base_that_is_not_published_is_refused_with_the_command_that_does_it() -> None:
    class Nothing:
        def outputs(self, name: str) -> dict[str, object]:
            raise Missing("no stack named 'dev' found")

    with pytest.raises(Refusal, match=r"scripts/preview publish --base dev"):
        read_base(Nothing(), "dev")
