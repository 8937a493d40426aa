"""What a stack must hold as a whole: where one resource stands to others."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from apps.catalogue import SECRETS, SERVICES
from infrastructure.config import limits
from infrastructure.policies.rule import Named
from infrastructure.policies.running import WAYS


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    type: str
    name: str
    urn: str
    props: Mapping[str, Any]
    dependencies: Sequence[str]


Faults = Iterator[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class StackRule(Named):
    """A rule on all resources of a stack. `check` yields (the resource's URN, the fault)."""

    check: Callable[[Sequence[Thing]], Faults]


def of(things: Sequence[Thing], kind: str) -> list[Thing]:
    return [each for each in things if each.type == kind]


def flows(things: Sequence[Thing]) -> Faults:
    for vpc in of(things, "awsx:ec2:Vpc"):
        if not of(things, "aws:ec2/flowLog:FlowLog"):
            yield vpc.urn, "the VPC has no flow log"


def firewall(things: Sequence[Thing]) -> Faults:
    for balancer in of(things, "aws:lb/loadBalancer:LoadBalancer"):
        if not of(things, "aws:wafv2/webAclAssociation:WebAclAssociation"):
            yield balancer.urn, "no firewall stands before the balancer"


def lifecycles(things: Sequence[Thing]) -> Faults:
    kept = {each.name for each in of(things, "aws:ecr/lifecyclePolicy:LifecyclePolicy")}
    for each in of(things, "aws:ecr/repository:Repository"):
        if each.name not in kept:
            yield each.urn, "images are never cleaned up"


def isolated(things: Sequence[Thing]) -> Faults:
    """Finds data in public subnets. The balancer lies in every public subnet, and in no other: it
    tells which are public.
    """
    public: set[str] = set()
    for each in of(things, "aws:lb/loadBalancer:LoadBalancer"):
        public |= set(each.props.get("subnets") or [])
    for each in things:
        if public.intersection(data_subnets(each)):
            yield each.urn, "data lies in a public subnet"


def data_subnets(thing: Thing) -> list[str]:
    if thing.type == "aws:rds/subnetGroup:SubnetGroup":
        return list(thing.props.get("subnetIds") or [])
    if thing.type == "aws:msk/cluster:Cluster":
        return list((thing.props.get("brokerNodeGroupInfo") or {}).get("clientSubnets") or [])
    return []


def order(things: Sequence[Thing]) -> Faults:
    for each in of(things, "aws:ecs/service:Service"):
        if not any("aws:lambda/invocation:Invocation" in urn for urn in each.dependencies):
            yield each.urn, "it may start before the release"
        entry = SERVICES.get(each.name.rpartition("-")[2])
        for called in entry.calls if entry else ():
            waits = any(
                urn.endswith(f"-{called}") and "aws:ecs/service:Service" in urn
                for urn in each.dependencies
            )
            if not waits:
                yield each.urn, f"it may start before {called}, which it calls"
    ways = [way for kind in WAYS for way in of(things, kind)]
    for each in things:
        carried = groups_of(each)
        for way in ways:
            if way.props.get("securityGroupId") in carried and way.urn not in each.dependencies:
                yield each.urn, f"it may start before its way {way.name} is open"


def groups_of(thing: Thing) -> set[str]:
    """Returns the security groups of what runs, or of what it starts."""
    if thing.type == "aws:ecs/service:Service":
        network = thing.props.get("networkConfiguration") or {}
        return {each for each in network.get("securityGroups") or [] if isinstance(each, str)}
    if thing.type == "aws:lambda/function:Function":
        groups = ((thing.props.get("environment") or {}).get("variables") or {}).get("GROUPS")
        return set(groups.split(",")) if isinstance(groups, str) else set()
    return set()


def own_secrets(things: Sequence[Thing]) -> Faults:
    """Checks that a task is handed only the secrets of its catalogue entry."""
    for each in of(things, "aws:ecs/taskDefinition:TaskDefinition"):
        text = each.props.get("containerDefinitions")
        for container in json.loads(text) if isinstance(text, str) else []:
            entry = SERVICES.get(container["name"])
            for secret in container.get("secrets") or []:
                if entry is None or secret["name"] not in entry.secrets:
                    yield each.urn, f"{secret['name']} is not {container['name']}'s"


def own_policies(things: Sequence[Thing]) -> Faults:
    """Checks that a service's roles name no other service's secret."""
    owners = {name: entry.name for entry in SERVICES.values() for name in entry.secrets}
    for each in of(things, "aws:iam/rolePolicy:RolePolicy"):
        service = next((name for name in SERVICES if f"-{name}-" in each.name), None)
        policy = each.props.get("policy")
        if service is None or not isinstance(policy, str):
            continue
        for secret in SECRETS:
            if f"{secret}-" in policy and owners.get(secret) != service:
                yield each.urn, f"{service} may read {secret}"


def names(things: Sequence[Thing]) -> Faults:
    for each in things:
        given = each.props.get("name")
        try:
            if isinstance(given, str):
                limits.check_name(each.type, given)
            elif each.type in limits.NAME_CHARACTERS and "namePrefix" not in each.props:
                limits.check_name(each.type, each.name, suffixed=True)
        except limits.LimitError as error:
            yield each.urn, str(error)


def log_keys(things: Sequence[Thing]) -> Faults:
    """Checks the keys' policies: CloudWatch Logs refuses a key whose policy does not name
    the log group.
    """
    for key in of(things, "aws:kms/key:Key"):
        patterns = log_patterns(key.props.get("policy"))
        for each in of(things, "aws:cloudwatch/logGroup:LogGroup") if patterns else ():
            if each.props.get("kmsKeyId") and not any(
                fnmatchcase(str(each.props["name"]), one) for one in patterns
            ):
                yield each.urn, f"the key lets nobody encrypt {each.props['name']}"


def log_patterns(policy: object) -> list[str]:
    """Returns names of log groups, with `*`. Empty where the policy is not known yet."""
    statements = json.loads(policy)["Statement"] if isinstance(policy, str) else []
    arns = [
        arn
        for statement in statements
        for arn in statement.get("Condition", {})
        .get("ArnLike", {})
        .get("kms:EncryptionContext:aws:logs:arn", [])
    ]
    return [arn.partition(":log-group:")[2] for arn in arns]


STACK_RULES: tuple[StackRule, ...] = (
    StackRule(
        name="vpc-flows",
        controls=("EC2.6", "HIPAA.Security-VPCFlowLogsEnabled"),
        why="the network is recorded",
        check=flows,
    ),
    StackRule(
        name="balancer-firewall",
        controls=("ELB.16", "HIPAA.Security-ALBWAFEnabled"),
        why="a firewall stands before it",
        check=firewall,
    ),
    StackRule(
        name="registry-lifecycle", controls=("ECR.3",), why="old images go", check=lifecycles
    ),
    StackRule(
        name="data-isolated",
        controls=("RDS.46", "PM.6"),
        why="no data lies in a public subnet",
        check=isolated,
    ),
    StackRule(
        name="order", controls=("PM.7",), why="nothing starts before what it needs", check=order
    ),
    StackRule(
        name="secrets-own",
        controls=("PM.8",),
        why="a task holds its own secrets only",
        check=own_secrets,
    ),
    StackRule(
        name="secrets-readable",
        controls=("PM.9",),
        why="a role reads its own service's secrets only",
        check=own_policies,
    ),
    StackRule(
        name="log-keys",
        controls=("PM.11",),
        why="every log group is one that the key is for",
        check=log_keys,
    ),
    StackRule(name="names", controls=("PM.10",), why="AWS takes the names", check=names),
)
