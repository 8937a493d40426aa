"""Amazon's list prices in us-east-1, in USD, each with where it stands and the day of looking.

One place: what it costs is computed from these.

Written down by hand from AWS's public price pages, not fetched: check them before a budget depends
on them.
"""

from dataclasses import dataclass

REGION = "us-east-1"
HOURS_A_MONTH = 730
PAGES = "https://aws.amazon.com"


@dataclass(frozen=True, slots=True)
class Source:
    """A price page and the day on which the prices were read from it (ISO 8601)."""

    page: str
    as_of: str = "2026-11-22"

    @property
    def url(self) -> str:
        return f"{PAGES}/{self.page}"


FARGATE_ARM_VCPU_HOUR = 0.03238
FARGATE_ARM_GIB_HOUR = 0.00356
# Spot moves with supply: the page says up to 70 percent below. The estimate gives both.
SPOT_SHARE = 0.30
DEAREST_SPOT_SHARE = 0.35

NAT_HOUR = 0.045
NAT_GIB = 0.045
PUBLIC_IPV4_HOUR = 0.005
# Each side pays: one GiB from a task in one zone to a broker in another is 0.02.
ZONES_GIB = 0.02
BALANCER_HOUR = 0.0225
BALANCER_UNIT_HOUR = 0.008
ENDPOINT_HOUR = 0.01

# PostgreSQL, one zone; a standby in another doubles instance and storage.
DATABASE_HOUR = {
    "db.t4g.micro": 0.016,
    "db.t4g.small": 0.032,
    "db.t4g.medium": 0.065,
    "db.t4g.large": 0.129,
    "db.m7g.large": 0.168,
    "db.m7g.xlarge": 0.337,
}
DATABASE_GIB_MONTH = 0.115

BROKER_HOUR = {"kafka.t3.small": 0.0456, "kafka.m7g.large": 0.204, "kafka.m7g.xlarge": 0.408}
BROKER_GIB_MONTH = 0.10

IMAGE_GIB_MONTH = 0.10
KEY_MONTH = 1.0
SECRET_MONTH = 0.40
FIREWALL_MONTH = 5.0
FIREWALL_RULE_MONTH = 1.0
FIREWALL_MILLION_REQUESTS = 0.60
PRIVATE_AUTHORITY_SHORT_LIVED_MONTH = 50.0
ALARM_MONTH = 0.10
DASHBOARD_MONTH = 3.0
# Written; keeping one for a month is 0.03 more.
LOG_GIB = 0.50
LOG_GIB_MONTH = 0.03
CONTAINER_METRIC_MONTH = 0.30

_FARGATE = Source("fargate/pricing/")
_VPC = Source("vpc/pricing/")
_EC2 = Source("ec2/pricing/on-demand/")
_BALANCER = Source("elasticloadbalancing/pricing/")
_PRIVATELINK = Source("privatelink/pricing/")
_RDS = Source("rds/postgresql/pricing/")
_MSK = Source("msk/pricing/")
_ECR = Source("ecr/pricing/")
_KMS = Source("kms/pricing/")
_SECRETS = Source("secrets-manager/pricing/")
_FIREWALL = Source("waf/pricing/")
_AUTHORITY = Source("private-ca/pricing/")
_CLOUDWATCH = Source("cloudwatch/pricing/")
# The source of each price above.
SOURCES = {
    "FARGATE_ARM_VCPU_HOUR": _FARGATE,
    "FARGATE_ARM_GIB_HOUR": _FARGATE,
    "SPOT_SHARE": _FARGATE,
    "DEAREST_SPOT_SHARE": _FARGATE,
    "NAT_HOUR": _VPC,
    "NAT_GIB": _VPC,
    "PUBLIC_IPV4_HOUR": _VPC,
    "ZONES_GIB": _EC2,
    "BALANCER_HOUR": _BALANCER,
    "BALANCER_UNIT_HOUR": _BALANCER,
    "ENDPOINT_HOUR": _PRIVATELINK,
    "DATABASE_HOUR": _RDS,
    "DATABASE_GIB_MONTH": _RDS,
    "BROKER_HOUR": _MSK,
    "BROKER_GIB_MONTH": _MSK,
    "IMAGE_GIB_MONTH": _ECR,
    "KEY_MONTH": _KMS,
    "SECRET_MONTH": _SECRETS,
    "FIREWALL_MONTH": _FIREWALL,
    "FIREWALL_RULE_MONTH": _FIREWALL,
    "FIREWALL_MILLION_REQUESTS": _FIREWALL,
    "PRIVATE_AUTHORITY_SHORT_LIVED_MONTH": _AUTHORITY,
    "ALARM_MONTH": _CLOUDWATCH,
    "DASHBOARD_MONTH": _CLOUDWATCH,
    "LOG_GIB": _CLOUDWATCH,
    "LOG_GIB_MONTH": _CLOUDWATCH,
    "CONTAINER_METRIC_MONTH": _CLOUDWATCH,
}
