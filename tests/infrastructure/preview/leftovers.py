"""What a run that was killed may leave of a preview, thing by thing, on what its base has."""

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import boto3

from infrastructure.config.naming import PREVIEW_PATH, STACK_TAG

NUMBERS = itertools.count(1)
DENY = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]}
FIXED = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}
MANIFEST = {
    "schemaVersion": 2,
    "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
    "config": {"digest": "sha256:0"},
    "layers": [],
}


@dataclass(frozen=True)
class Ground:
    """A base's: network, cluster, balancer and repository."""

    session: boto3.Session
    vpc: str = field(init=False)
    subnets: list[str] = field(init=False)
    listener: str = field(init=False)

    def __post_init__(self) -> None:
        ec2, elb = self.client("ec2"), self.client("elbv2")
        found = {
            "vpc": ec2.describe_vpcs()["Vpcs"][0]["VpcId"],
            "subnets": [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"][:2]],
        }
        balancer = elb.create_load_balancer(Name="dev", Subnets=found["subnets"])["LoadBalancers"][
            0
        ]["LoadBalancerArn"]
        listener = elb.create_listener(
            LoadBalancerArn=balancer, Protocol="HTTP", Port=80, DefaultActions=[FIXED]
        )
        found["listener"] = listener["Listeners"][0]["ListenerArn"]
        for name, value in found.items():
            object.__setattr__(self, name, value)
        self.client("ecs").create_cluster(clusterName="dev")
        self.client("ecr").create_repository(repositoryName="preview/gateway")

    def client(self, service: str) -> Any:
        client: Callable[..., Any] = self.session.client
        return client(service)


def tags(stack: str) -> list[dict[str, str]]:
    return [{"Key": STACK_TAG, "Value": stack}]


def ecs_tags(stack: str) -> list[dict[str, str]]:
    return [{"key": STACK_TAG, "value": stack}]


def named(stack: str) -> str:
    """Another name each time: AWS keeps some for a while after their end."""
    return f"{stack}-{next(NUMBERS)}"


def make_group(ground: Ground, stack: str) -> str:
    made = ground.client("ec2").create_security_group(
        GroupName=named(stack),
        Description="own",
        VpcId=ground.vpc,
        TagSpecifications=[{"ResourceType": "security-group", "Tags": tags(stack)}],
    )
    return str(made["GroupId"])


def make_group_rule(ground: Ground, stack: str) -> None:
    group = make_group(ground, stack)
    ground.client("ec2").authorize_security_group_ingress(
        GroupId=group,
        IpPermissions=[
            {
                "IpProtocol": "tcp",
                "FromPort": 4004,
                "ToPort": 4004,
                "UserIdGroupPairs": [{"GroupId": group}],
            }
        ],
        TagSpecifications=[{"ResourceType": "security-group-rule", "Tags": tags(stack)}],
    )


def make_target_group(ground: Ground, stack: str) -> str:
    made = ground.client("elbv2").create_target_group(
        Name=named(stack), Protocol="HTTPS", Port=4004, VpcId=ground.vpc, Tags=tags(stack)
    )
    return str(made["TargetGroups"][0]["TargetGroupArn"])


def make_listener_rule(ground: Ground, stack: str, tagged: bool = True) -> None:
    """`tagged`: a run may be killed before AWS has written a rule's tags."""
    ground.client("elbv2").create_rule(
        ListenerArn=ground.listener,
        Priority=1000 + next(NUMBERS),
        Conditions=[{"Field": "host-header", "Values": [f"{stack}.dev.example.org"]}],
        Actions=[{"Type": "forward", "TargetGroupArn": make_target_group(ground, stack)}],
        **({"Tags": tags(stack)} if tagged else {}),
    )


def make_definition(ground: Ground, stack: str) -> str:
    family = named(stack)
    container = {"name": "gateway", "image": "gateway", "memory": 512}
    ground.client("ecs").register_task_definition(
        family=family, containerDefinitions=[container], tags=ecs_tags(stack)
    )
    return family


def make_service(ground: Ground, stack: str) -> None:
    network = {"subnets": ground.subnets, "securityGroups": [make_group(ground, stack)]}
    ground.client("ecs").create_service(
        cluster="dev",
        serviceName=named(stack),
        taskDefinition=make_definition(ground, stack),
        desiredCount=1,
        networkConfiguration={"awsvpcConfiguration": network},
        tags=ecs_tags(stack),
    )


def make_secret(ground: Ground, stack: str) -> None:
    ground.client("secretsmanager").create_secret(
        Name=f"preview/{stack}/{named('X')}", Tags=tags(stack)
    )


def make_alarm(ground: Ground, stack: str) -> None:
    ground.client("cloudwatch").put_metric_alarm(
        AlarmName=named(stack),
        ComparisonOperator="GreaterThanThreshold",
        EvaluationPeriods=1,
        MetricName="CPU",
        Namespace="AWS/ECS",
        Period=60,
        Statistic="Average",
        Threshold=1.0,
        Tags=tags(stack),
    )


def make_role(ground: Ground, stack: str) -> None:
    iam, name = ground.client("iam"), named(stack)
    iam.create_role(
        RoleName=name, Path=PREVIEW_PATH, AssumeRolePolicyDocument="{}", Tags=tags(stack)
    )
    iam.put_role_policy(RoleName=name, PolicyName="work", PolicyDocument=json.dumps(DENY))


def make_namespace(ground: Ground, stack: str) -> None:
    ground.client("servicediscovery").create_http_namespace(Name=named(stack), Tags=tags(stack))


def make_log_group(ground: Ground, stack: str) -> None:
    group = f"/patient-management/{stack}/{named('service')}"
    ground.client("logs").create_log_group(logGroupName=group, tags={STACK_TAG: stack})


def make_image(ground: Ground, stack: str) -> None:
    content = MANIFEST | {"config": {"digest": f"sha256:{next(NUMBERS)}"}}
    ground.client("ecr").put_image(
        repositoryName="preview/gateway", imageManifest=json.dumps(content), imageTag=named(stack)
    )


MAKERS: dict[str, Callable[[Ground, str], object]] = {
    "security group": make_group,
    "rule of a group": make_group_rule,
    "target group": make_target_group,
    "listener rule": make_listener_rule,
    "listener rule without tags": partial(make_listener_rule, tagged=False),
    "task definition": make_definition,
    "service": make_service,
    "secret": make_secret,
    "alarm": make_alarm,
    "role": make_role,
    "namespace": make_namespace,
    "log group": make_log_group,
    "image": make_image,
}
