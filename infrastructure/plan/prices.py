"""Amazon's list prices in us-east-1, in USD, as of the day below.

One place: what it costs is computed from these.

Written down by hand from AWS's public price pages, not fetched: check them before a budget depends
on them.
"""

AS_OF = "2026-11-22"
REGION = "us-east-1"
HOURS_A_MONTH = 730

FARGATE_ARM_VCPU_HOUR = 0.03238
FARGATE_ARM_GIB_HOUR = 0.00356
# Spot moves with supply: about 70 percent below.
SPOT_SHARE = 0.30

NAT_HOUR = 0.045
NAT_GIB = 0.045
PUBLIC_IPV4_HOUR = 0.005
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

KEY_MONTH = 1.0
SECRET_MONTH = 0.40
FIREWALL_MONTH = 5.0
FIREWALL_RULE_MONTH = 1.0
FIREWALL_MILLION_REQUESTS = 0.60
PRIVATE_AUTHORITY_SHORT_LIVED_MONTH = 50.0
ALARM_MONTH = 0.10
DASHBOARD_MONTH = 3.0
LOG_GIB = 0.50
CONTAINER_METRIC_MONTH = 0.30
