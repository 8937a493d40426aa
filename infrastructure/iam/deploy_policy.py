"""The policy of a deployment: it may manage what the program declares, under this environment's names and tag.

Where an ARN carries a name, the name is this environment's. Where it does not (networks, keys, certificates), a denial
by tag keeps it from what another stack of this project made. It makes roles only within a boundary, and changes no
boundary, no key's policy, and nothing that GitHub's own rights are made of: docs/decisions/0603.
"""

from collections.abc import Callable, Mapping, Sequence

from infrastructure.config.naming import PROJECT, STACK_TAG
from infrastructure.iam.boundaries import allow
from infrastructure.iam.deploy_limits import (
    DeployResources,
    actions_of,
    denials,
    key_statements,
    role_statements,
)
from infrastructure.iam.roles import Statement

# Actions that take no resource: AWS chooses the name of what they create, or they only read.
NAMELESS = (
    "acm:RequestCertificate", "application-autoscaling:Describe*", "ec2:Describe*", "ec2:GetManagedPrefixListEntries",
    "ecr:GetAuthorizationToken", "ecs:*TaskDefinition", "ecs:CreateCluster", "ecs:Describe*", "ecs:List*",
    "elasticloadbalancing:Describe*", "iam:Get*", "iam:List*", "kafka:CreateC*", "kafka:Describe*",
    "kafka:GetBootstrapBrokers", "kafka:List*", "kms:CreateKey", "kms:ListAliases",
    # With these MSK and flow logs are told where to write.
    "logs:*LogDelivery", "logs:DescribeLogGroups", "logs:DescribeResourcePolicies", "logs:ListLogDeliveries",
    "logs:PutResourcePolicy", "rds:Describe*", "route53:ListHostedZones*", "servicediscovery:CreateHttpNamespace",
    "servicediscovery:Get*", "servicediscovery:List*",
)  # fmt: skip
NETWORK = (
    "*Vpc", "ModifyVpcAttribute", "*VpcEndpoint", "DeleteVpcEndpoints", "*Subnet", "ModifySubnetAttribute",
    "*InternetGateway", "*NatGateway", "*Address", "*Route", "*RouteTable*", "*SecurityGroup*", "*FlowLogs", "*Tags",
)  # fmt: skip


def unnamed_statements(resources: DeployResources) -> list[Statement]:
    makes_authority = ["acm-pca:CreateCertificateAuthority"] if resources.proxies_tls else []
    return [allow([*NAMELESS, *makes_authority], "*")]


def data_statements(resources: DeployResources) -> list[Statement]:
    label, arn = resources.label, resources.arn
    stream = [f"{kind}/{label}/*" for kind in ("cluster", "topic")]
    return [
        allow(
            actions_of(
                "rds",
                "*DBInstance",
                "*DBParameterGroup",
                "*DBSubnetGroup",
                "*Tags*",
                "CreateDBSnapshot",
            ),
            arn("rds", f"*:{label}-*", "og:default*"),
        ),
        allow(
            actions_of("kafka", "*Topic", "DeleteC*", "Update*", "*agResource"),
            arn("kafka", *stream, f"configuration/{label}-*"),
        ),
        # MSK makes a topic in its caller's name. Of what is in it, nothing: see `denials`.
        allow(
            actions_of("kafka-cluster", "*Topic*", "Connect"),
            arn("kafka", *stream),
        ),
        allow(
            actions_of("secretsmanager", "*eSecret", "GetResourcePolicy", "*agResource"),
            arn("secretsmanager", f"secret:{PROJECT}/{resources.environment}/*"),
        ),
        # The secret of the client by which the smoke test signs in.
        allow(actions_of("secretsmanager", "GetSecretValue"), resources.client_answers),
        # The master's, which RDS makes in its caller's name.
        allow(
            actions_of("secretsmanager", "CreateSecret", "TagResource"),
            arn("secretsmanager", "secret:rds!*"),
        ),
    ]


def image_statements(resources: DeployResources) -> list[Statement]:
    """Returns the rights of an environment that builds images. It may not delete a tested image: production runs it."""
    if resources.takes_from:
        return []
    actions = (
        "BatchCheckLayerAvailability", "BatchGetImage", "CompleteLayerUpload", "CreateRepository",
        "DeleteLifecyclePolicy", "Describe*", "Get*", "InitiateLayerUpload", "ListTagsForResource", "PutI*",
        "PutLifecyclePolicy", "*agResource", "UploadLayerPart",
    )  # fmt: skip
    previews = resources.arn("ecr", "repository/preview/*")
    return [
        allow(
            actions_of("ecr", *actions),
            [*resources.arn("ecr", f"repository/{PROJECT}/*"), *previews],
        ),
        allow(actions_of("ecr", "DeleteRepository"), previews),
    ]


def compute_statements(resources: DeployResources) -> list[Statement]:
    name, label, arn = resources.environment, resources.label, resources.arn
    cluster, definitions, services = (
        f"cluster/{label}-*",
        f"task-definition/{name}-*",
        f"service/{label}-*/{name}-*",
    )
    groups = (
        f"/{PROJECT}/{name}/",
        f"/aws/lambda/{PROJECT}-{name}-",
        f"/aws/rds/instance/{label}-",
        f"/aws/ecs/containerinsights/{label}",
    )
    return [
        allow(
            actions_of("ecs", "DeleteCluster", "PutClusterCapacityProviders", "UpdateCluster*"),
            arn("ecs", cluster),
        ),
        allow(actions_of("ecs", "*eService"), arn("ecs", services)),
        allow(actions_of("ecs", "*agResource"), arn("ecs", cluster, services, definitions)),
        allow(
            actions_of("servicediscovery", "*eNamespace", "*eHttpNamespace"),
            arn("servicediscovery", "namespace/*"),
        ),
        allow(
            actions_of("servicediscovery", "TagResource"),
            "*",
            {"StringEquals": {f"aws:RequestTag/{STACK_TAG}": name}},
        ),
        allow(
            actions_of("application-autoscaling", "*Scal*", "*agResource", "ListTagsForResource"),
            scaling_targets(resources),
        ),
        allow(
            actions_of("lambda", "*eFunction*", "*Permission", "Get*", "List*", "*agResource"),
            arn("lambda", f"function:{PROJECT}-{name}-*"),
        ),
        allow(
            actions_of("events", "*Rule", "*Targets*", "*agResource", "ListTagsForResource"),
            arn("events", f"rule/{PROJECT}-{name}-*"),
        ),
        allow(
            actions_of(
                "logs", "*KmsKey", "*eLogGroup", "*RetentionPolicy", "*agResource", "ListTags*"
            ),
            arn("logs", *(f"log-group:{group}*" for group in groups)),
        ),
    ]


def scaling_targets(resources: DeployResources) -> list[str]:
    return resources.arn("application-autoscaling", "scalable-target/*")


def network_statements(resources: DeployResources) -> list[Statement]:
    """Returns the rights on network, balancer, firewall and DNS.

    ARNs of networks have no names: `denials` excludes those of other environments by tag.
    """
    label, arn = resources.label, resources.arn
    balancers = [f"{kind}/app/{label}-*" for kind in ("loadbalancer", "listener", "listener-rule")]
    zone = f"arn:aws:route53:::hostedzone/{resources.zone_id}"
    own = {
        "route53:ChangeResourceRecordSetsNormalizedRecordNames": [
            resources.domain,
            f"*.{resources.domain}",
        ]
    }
    statements = [
        allow(actions_of("ec2", *NETWORK), arn("ec2", "*")),
        allow(
            actions_of("elasticloadbalancing", "*Tags", "Create*", "Delete*", "Modify*", "Set*"),
            arn("elasticloadbalancing", *balancers, f"targetgroup/{resources.environment}-*"),
        ),
        allow(
            actions_of("wafv2", "*WebACL*", "*agResource", "ListTagsForResource"),
            [*arn("wafv2", "regional/*"), *arn("elasticloadbalancing", balancers[0])],
        ),
        allow(
            actions_of("acm", "DeleteCertificate", "DescribeCertificate", "*Tags*"),
            arn("acm", "certificate/*"),
        ),
        allow(
            actions_of("route53", "ChangeResourceRecordSets"),
            zone,
            {"ForAllValues:StringLike": own},
        ),
        allow(actions_of("route53", "Get*", "List*"), [zone, "arn:aws:route53:::change/*"]),
    ]
    if resources.proxies_tls:
        actions = actions_of(
            "acm-pca", "*CertificateAuthority*", "GetCertificate", "IssueCertificate", "ListTags"
        )
        statements.append(allow(actions, arn("acm-pca", "certificate-authority/*")))
    return statements


def monitoring_statements(resources: DeployResources) -> list[Statement]:
    label = resources.label
    return [
        allow(
            actions_of(
                "cloudwatch",
                "DeleteAlarms",
                "DescribeAlarms",
                "ListTagsForResource",
                "PutMetricAlarm",
                "*agResource",
            ),
            resources.arn("cloudwatch", "alarm:*"),
        ),
        allow(
            actions_of("cloudwatch", "DeleteDashboards", "GetDashboard", "PutDashboard"),
            resources.everywhere("cloudwatch", f"dashboard/{label}"),
        ),
        allow(
            actions_of(
                "sns",
                "CreateTopic",
                "DeleteTopic",
                "Get*",
                "List*",
                "Set*",
                "*ubscribe",
                "*agResource",
            ),
            resources.arn("sns", f"{label}-*"),
        ),
        allow(
            actions_of(
                "budgets", "ModifyBudget", "ViewBudget", "*agResource", "ListTagsForResource"
            ),
            resources.everywhere("budgets", f"budget/{label}-*"),
        ),
    ]


def bucket_statements(resources: DeployResources) -> list[Statement]:
    """Returns the rights on buckets and, of objects, on Pulumi's state alone. A deployment deletes no bucket."""
    # As many characters as Pulumi's suffix has: with a star the pattern would match objects too.
    own = [f"arn:aws:s3:::{resources.label}-log-{'?' * 7}", *resources.preview_state[:1]]
    statements = [
        allow(actions_of("s3", "CreateBucket", "Get*", "List*", "Put*", "TagResource"), own)
    ]
    backends = [
        *resources.preview_state[:1],
        *([f"arn:aws:s3:::{resources.state_bucket}"] if resources.state_bucket else []),
    ]
    for bucket in backends:
        mine = [
            f"{bucket}/.pulumi/*/{PROJECT}/{resources.environment}{end}" for end in (".*", "/*")
        ]
        others = (
            [f"{bucket}/.pulumi/stacks/{PROJECT}/{resources.takes_from}.*"]
            if resources.takes_from
            else []
        )
        statements += [
            allow(actions_of("s3", "GetBucketLocation", "ListBucket"), bucket),
            allow(actions_of("s3", "DeleteObject", "PutObject"), mine),
            allow(actions_of("s3", "GetObject"), [f"{bucket}/.pulumi/meta.yaml", *mine, *others]),
        ]
    return statements


# A policy each: AWS takes 6,144 characters in one.
DEPLOY_PARTS: Mapping[str, Sequence[Callable[[DeployResources], list[Statement]]]] = {
    "things": (unnamed_statements, data_statements, image_statements, compute_statements),
    "doors": (network_statements, monitoring_statements, bucket_statements),
    "limits": (key_statements, role_statements, denials),
}


def deploy_statements(resources: DeployResources, part: str) -> list[Statement]:
    return [statement for each in DEPLOY_PARTS[part] for statement in each(resources)]
