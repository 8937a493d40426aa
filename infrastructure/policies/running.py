"""Rules on what runs and how it is reached, by FSBP and HIPAA control.

Tasks, roles, security groups, the balancer.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from infrastructure.config import limits
from infrastructure.policies.nameless import NAMELESS
from infrastructure.policies.rule import Props, Rule, demand

TASK = "aws:ecs/taskDefinition:TaskDefinition"
BALANCER = "aws:lb/loadBalancer:LoadBalancer"
LISTENER = "aws:lb/listener:Listener"
WAYS = (
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule",
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
)
POLICIES = ("aws:iam/policy:Policy", "aws:iam/rolePolicy:RolePolicy")
ROLE = "aws:iam/role:Role"
OPEN_PORTS = {80, 443}
SECRET_WORDS = ("SECRET", "PASSWORD", "TOKEN", "ENCRYPTION_KEY")


def loads(text: object) -> Any:
    # Not known yet in the preview of a new stack.
    return json.loads(text) if isinstance(text, str) else []


def containers(props: Props) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = loads(props.get("containerDefinitions"))
    return found


def every(fault: str, holds: Any) -> Any:
    def check(props: Props) -> Iterator[str]:
        for container in containers(props):
            if not holds(container):
                yield f"{container.get('name')}: {fault}"

    return check


def world_open(props: Props) -> Iterator[str]:
    open_ = props.get("cidrIpv4") == "0.0.0.0/0" or props.get("cidrIpv6") == "::/0"
    one_port = props.get("fromPort") == props.get("toPort")
    if open_ and not (one_port and props.get("fromPort") in OPEN_PORTS):
        yield f"port {props.get('fromPort', 'any')} is open to the world"


def single_port(props: Props) -> Iterator[str]:
    """Tells whether a rule opens one port. Within one group everything may pass: brokers choose the
    ports among themselves.
    """
    first, last = props.get("fromPort"), props.get("toPort")
    if props.get("ipProtocol") == "tcp":
        if first is None or first != last:
            yield f"ports {first} to {last} in one rule"
    elif props.get("referencedSecurityGroupId") != props.get("securityGroupId"):
        yield "more than TCP on one port, and not within one group"


def inline_rules(props: Props) -> Iterator[str]:
    for rule in props.get("ingress") or []:
        if "0.0.0.0/0" in (rule.get("cidrBlocks") or []):
            yield f"port {rule.get('fromPort')} is open to the world"


def listener(props: Props) -> Iterator[str]:
    if props.get("protocol") == "HTTP":
        if any(action["type"] != "redirect" for action in props["defaultActions"]):
            yield "HTTP does more than redirect to HTTPS"
    elif "TLS13" not in str(props.get("sslPolicy")):
        yield "the TLS policy is not one with TLS 1.3"


def plain_secrets(container: Mapping[str, Any]) -> bool:
    # A switch is called after what it switches: AUTH_PASSWORD_LOGIN_ENABLED.
    given = (
        each
        for each in container.get("environment") or []
        if each.get("value") not in ("true", "false")
    )
    names = (each["name"] for each in given if not each["name"].endswith("_ARN"))
    return not any(word in name for name in names for word in SECRET_WORDS)


def admin(props: Props) -> Iterator[str]:
    document = loads(props.get("policy")) or {"Statement": []}
    for statement in document["Statement"]:
        if statement["Effect"] != "Allow":
            continue
        actions = (
            statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        )
        for action in actions:
            if action == "*" or action.endswith(":*"):
                yield f"{action} is allowed"
        resources = (
            statement["Resource"]
            if isinstance(statement["Resource"], list)
            else [statement["Resource"]]
        )
        named = [action for action in actions if action not in NAMELESS]
        if "*" in resources and named and not statement.get("Condition"):
            yield f"{', '.join(named)} on every resource"


def bounded(props: Props) -> Iterator[str]:
    """Tells whether a role has its boundary. GitHub's roles are apart: what they may is no
    deployment's to write.
    """
    trusts = [
        statement["Principal"]
        for statement in (loads(props.get("assumeRolePolicy")) or {}).get("Statement", [])
    ]
    if any("Service" in principal for principal in trusts) and not props.get("permissionsBoundary"):
        yield "no boundary"


def fargate(props: Props) -> Iterator[str]:
    try:
        limits.check_fargate_size(int(props["cpu"]), int(props["memory"]))
    except limits.LimitError as error:
        yield str(error)


def dropped(container: Mapping[str, Any]) -> bool:
    capabilities = (container.get("linuxParameters") or {}).get("capabilities") or {}
    return bool(capabilities.get("drop") == ["ALL"]) and not container.get("privileged")


RUNNING_RULES: tuple[Rule, ...] = (
    Rule(
        name="group-closed",
        controls=("EC2.18", "EC2.19", "HIPAA.Security-EC2RestrictedCommonPorts"),
        types=("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",),
        why="the world reaches 80 and 443 only",
        check=world_open,
    ),
    Rule(
        name="group-one-port",
        controls=("PM.13",),
        types=WAYS,
        why="a rule opens one port",
        check=single_port,
    ),
    Rule(
        name="group-without-rules",
        controls=("EC2.2", "HIPAA.Security-VPCDefaultSecurityGroupClosed"),
        types=("aws:ec2/defaultSecurityGroup:DefaultSecurityGroup",),
        why="the default group lets nothing through",
        check=demand(
            "it has rules", lambda props: not props.get("ingress") and not props.get("egress")
        ),
    ),
    Rule(
        name="group-inline",
        controls=("EC2.18",),
        types=("aws:ec2/securityGroup:SecurityGroup",),
        why="no group opens itself to the world",
        check=inline_rules,
    ),
    Rule(
        name="balancer-headers",
        controls=("ELB.4", "HIPAA.Security-ALBHttpDropInvalidHeaderEnabled"),
        types=(BALANCER,),
        why="invalid headers are dropped",
        check=demand("invalid headers pass", lambda props: props.get("dropInvalidHeaderFields")),
    ),
    Rule(
        name="balancer-log",
        controls=("ELB.5", "HIPAA.Security-ELBLoggingEnabled"),
        types=(BALANCER,),
        why="requests are logged",
        check=demand("no access log", lambda props: (props.get("accessLogs") or {}).get("enabled")),
    ),
    Rule(
        name="balancer-tls",
        controls=("ELB.1", "ELB.17", "HIPAA.Security-ALBHttpToHttpsRedirection"),
        types=(LISTENER,),
        why="HTTP is redirected, HTTPS has TLS 1.3",
        check=listener,
    ),
    Rule(
        name="task-read-only",
        controls=("ECS.5",),
        types=(TASK,),
        why="a container's root is read-only",
        check=every(
            "its root can be written", lambda container: container.get("readonlyRootFilesystem")
        ),
    ),
    Rule(
        name="task-not-root",
        controls=("ECS.20", "HIPAA.Security-ECSTaskDefinitionUserForHostMode"),
        types=(TASK,),
        why="a container runs as nobody special",
        check=every(
            "it runs as root",
            lambda container: container.get("user", "0").split(":")[0] not in ("", "0", "root"),
        ),
    ),
    Rule(
        name="task-capabilities",
        controls=("ECS.4",),
        types=(TASK,),
        why="a container has no capability",
        check=every("it keeps capabilities", dropped),
    ),
    Rule(
        name="task-log",
        controls=("ECS.9",),
        types=(TASK,),
        why="a container's log is kept",
        check=every(
            "it has no log",
            lambda container: (
                (container.get("logConfiguration") or {}).get("logDriver") == "awslogs"
            ),
        ),
    ),
    Rule(
        name="task-secrets",
        controls=("ECS.8",),
        types=(TASK,),
        why="no secret is an environment variable in plain text",
        check=every("a secret in plain text", plain_secrets),
    ),
    Rule(
        name="task-digest",
        controls=("PM.3",),
        types=(TASK,),
        why="what runs is what was built: an image by digest",
        check=every(
            "its image is not by digest",
            lambda container: "@sha256:" in str(container.get("image")),
        ),
    ),
    Rule(
        name="task-size",
        controls=("PM.4",),
        types=(TASK,),
        why="Fargate has the size",
        check=fargate,
    ),
    Rule(
        name="service-private",
        controls=("ECS.2",),
        types=("aws:ecs/service:Service",),
        why="a task has no public address",
        check=demand(
            "it has",
            lambda props: not (props.get("networkConfiguration") or {}).get("assignPublicIp"),
        ),
    ),
    Rule(
        name="service-rollback",
        controls=("PM.5",),
        types=("aws:ecs/service:Service",),
        why="a deployment that fails goes back",
        check=demand(
            "no rollback",
            lambda props: (props.get("deploymentCircuitBreaker") or {}).get("rollback"),
        ),
    ),
    Rule(
        name="alarm-acts",
        controls=("CloudWatch.15", "HIPAA.Security-CloudWatchAlarmAction"),
        types=("aws:cloudwatch/metricAlarm:MetricAlarm",),
        why="an alarm tells somebody",
        check=demand("it tells nobody", lambda props: props.get("alarmActions")),
    ),
    Rule(
        name="least-privilege",
        controls=("IAM.1", "IAM.21", "HIPAA.Security-IAMPolicyNoStatementsWithAdminAccess"),
        types=POLICIES,
        why="nobody may do everything",
        check=admin,
    ),
    Rule(
        name="role-bounded",
        controls=("PM.12",),
        types=(ROLE,),
        why="what an AWS service takes on has an upper bound",
        check=bounded,
    ),
)
