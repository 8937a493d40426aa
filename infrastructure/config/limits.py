"""AWS's limits on names, sizes and values that neither the SDK nor a mocked API checks; each raises
LimitError.
"""

import re

# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html: memory in
# MiB by cpu.
FARGATE_MEMORY_MIB = {
    256: (512, 1024, 2048),
    512: range(1024, 4096 + 1, 1024),
    1024: range(2048, 8192 + 1, 1024),
    2048: range(4096, 16384 + 1, 1024),
    4096: range(8192, 30720 + 1, 1024),
    8192: range(16384, 61440 + 1, 4096),
    16384: range(32768, 122880 + 1, 8192),
}
LOG_RETENTION_DAYS = frozenset(
    (
        1,
        3,
        5,
        7,
        14,
        30,
        60,
        90,
        120,
        150,
        180,
        365,
        400,
        545,
        731,
        1096,
        1827,
        2192,
        2557,
        2922,
        3288,
        3653,
    )
)
# Pulumi's own suffix on a name that it makes: a hyphen and seven hexadecimal digits.
SUFFIX_CHARACTERS = 8
NAME_CHARACTERS = {
    "aws:lb/loadBalancer:LoadBalancer": 32,
    "aws:lb/targetGroup:TargetGroup": 32,
    "aws:iam/role:Role": 64,
    "aws:iam/policy:Policy": 128,
    "aws:rds/instance:Instance": 63,
    "aws:rds/parameterGroup:ParameterGroup": 255,
    "aws:rds/subnetGroup:SubnetGroup": 255,
    "aws:msk/cluster:Cluster": 64,
    "aws:ecs/cluster:Cluster": 255,
    "aws:ecs/service:Service": 255,
    "aws:lambda/function:Function": 64,
    "aws:s3/bucket:Bucket": 63,
    "aws:wafv2/webAcl:WebAcl": 128,
    "aws:sns/topic:Topic": 256,
    "aws:cloudwatch/logGroup:LogGroup": 512,
    "aws:cloudwatch/metricAlarm:MetricAlarm": 255,
    "aws:kms/alias:Alias": 256,
    "aws:ecr/repository:Repository": 256,
    "aws:ec2/securityGroup:SecurityGroup": 255,
    "aws:servicediscovery/httpNamespace:HttpNamespace": 1024,
}
DATABASE_CHARACTERS = 63
# Of a security group and of its rules:
# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateSecurityGroup.html
GROUP_DESCRIPTION = re.compile(r"[a-zA-Z0-9. _\-:/()#,@\[\]+=&;{}!$*]{1,255}")
SECURITY_GROUPS_A_TASK = 5


class LimitError(ValueError):
    """A value that AWS would refuse, said before anything is made."""


def check_fargate_size(cpu: int, memory_mib: int) -> None:
    if memory_mib not in FARGATE_MEMORY_MIB.get(cpu, ()):
        raise LimitError(f"Fargate has no size of {cpu} CPU units with {memory_mib} MiB")


def check_name(kind: str, name: str, *, suffixed: bool = False) -> None:
    """Checks a name's length. `suffixed`: Pulumi appends its own suffix, so the name must
    leave room for it.
    """
    length = len(name) + (SUFFIX_CHARACTERS if suffixed else 0)
    limit = NAME_CHARACTERS.get(kind)
    if limit is not None and length > limit:
        raise LimitError(f"{name}: {length} characters, and {kind} takes {limit}")


def check_database_name(name: str) -> None:
    if len(name) > DATABASE_CHARACTERS or not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise LimitError(
            f"{name} is no name of a database or role: lower case, digits, underscores,"
            f" {DATABASE_CHARACTERS} at most"
        )


def check_port(port: int) -> None:
    # Below 1024 a task without privileges cannot listen.
    if not 1024 <= port <= 65535:
        raise LimitError(f"{port} is no port that a service without privileges can listen on")


def check_retention(days: int) -> None:
    if days not in LOG_RETENTION_DAYS:
        raise LimitError(
            f"CloudWatch Logs keeps nothing for {days} days; it has {sorted(LOG_RETENTION_DAYS)}"
        )


def check_group_description(text: str) -> None:
    if not GROUP_DESCRIPTION.fullmatch(text):
        raise LimitError(f"a security group takes no such description: {text}")


def check_security_groups(count: int) -> None:
    if count > SECURITY_GROUPS_A_TASK:
        raise LimitError(f"{count} security groups on one task; AWS takes {SECURITY_GROUPS_A_TASK}")


def check_priority(priority: int) -> None:
    if not 1 <= priority <= 50_000:
        raise LimitError(f"a listener has priorities from 1 to 50000, not {priority}")
