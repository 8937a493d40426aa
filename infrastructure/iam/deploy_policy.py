"""What a deployment may do in the account: what the program makes, under this environment's names and tag.

Where an ARN carries a name, the name is this environment's. Where it does not (networks, keys, certificates), a denial
by tag keeps it from what another stack of this project made. It makes roles only within a boundary, and changes no
boundary, no key's policy, and nothing that GitHub's own rights are made of: docs/decisions/0603.
"""

from collections.abc import Callable, Mapping, Sequence

from infrastructure.config.naming import PROJECT, STACK_TAG
from infrastructure.iam.boundaries import allow
from infrastructure.iam.deploy_limits import DeployReach, denials, keys, of, roles
from infrastructure.iam.roles import Statement

# What names no resource by its nature: makers of things whose names AWS chooses, and looks.
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


def nameless(reach: DeployReach) -> list[Statement]:
    makes_authority = ["acm-pca:CreateCertificateAuthority"] if reach.proxies_tls else []
    return [allow([*NAMELESS, *makes_authority], "*")]


def data(reach: DeployReach) -> list[Statement]:
    label, arn = reach.label, reach.arn
    stream = [f"{kind}/{label}/*" for kind in ("cluster", "topic")]
    return [
        allow(
            of(
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
            of("kafka", "*Topic", "DeleteC*", "Update*", "*agResource"),
            arn("kafka", *stream, f"configuration/{label}-*"),
        ),
        # MSK makes a topic in its caller's name. Of what is in it, nothing: see `denials`.
        allow(
            of("kafka-cluster", "*Topic*", "Connect"),
            arn("kafka", *stream),
        ),
        allow(
            of("secretsmanager", "*eSecret", "GetResourcePolicy", "*agResource"),
            arn("secretsmanager", f"secret:{PROJECT}/{reach.environment}/*"),
        ),
        # The master's, which RDS makes in its caller's name.
        allow(
            of("secretsmanager", "CreateSecret", "TagResource"),
            arn("secretsmanager", "secret:rds!*"),
        ),
    ]


def images(reach: DeployReach) -> list[Statement]:
    """Where they are built. No image that was tested is deleted: production runs it too."""
    if reach.takes_from:
        return []
    actions = (
        "BatchCheckLayerAvailability", "BatchGetImage", "CompleteLayerUpload", "CreateRepository",
        "DeleteLifecyclePolicy", "Describe*", "Get*", "InitiateLayerUpload", "ListTagsForResource", "PutI*",
        "PutLifecyclePolicy", "*agResource", "UploadLayerPart",
    )  # fmt: skip
    previews = reach.arn("ecr", "repository/preview/*")
    return [
        allow(of("ecr", *actions), [*reach.arn("ecr", f"repository/{PROJECT}/*"), *previews]),
        allow(of("ecr", "DeleteRepository"), previews),
    ]


def running(reach: DeployReach) -> list[Statement]:
    name, label, arn = reach.environment, reach.label, reach.arn
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
            of("ecs", "DeleteCluster", "PutClusterCapacityProviders", "UpdateCluster*"),
            arn("ecs", cluster),
        ),
        allow(of("ecs", "*eService"), arn("ecs", services)),
        allow(of("ecs", "*agResource"), arn("ecs", cluster, services, definitions)),
        allow(
            of("servicediscovery", "*eNamespace", "*eHttpNamespace"),
            arn("servicediscovery", "namespace/*"),
        ),
        allow(
            of("servicediscovery", "TagResource"),
            "*",
            {"StringEquals": {f"aws:RequestTag/{STACK_TAG}": name}},
        ),
        allow(
            of("application-autoscaling", "*Scal*", "*agResource", "ListTagsForResource"),
            scaling(reach),
        ),
        allow(
            of("lambda", "*eFunction*", "Get*", "List*", "*agResource"),
            arn("lambda", f"function:{PROJECT}-{name}-*"),
        ),
        allow(
            of("logs", "*KmsKey", "*eLogGroup", "*RetentionPolicy", "*agResource", "ListTags*"),
            arn("logs", *(f"log-group:{group}*" for group in groups)),
        ),
    ]


def scaling(reach: DeployReach) -> list[str]:
    return reach.arn("application-autoscaling", "scalable-target/*")


def doors(reach: DeployReach) -> list[Statement]:
    """Networks have no names: `denials` keeps from another environment's. A zone may hold several environments."""
    label, arn = reach.label, reach.arn
    balancers = [f"{kind}/app/{label}-*" for kind in ("loadbalancer", "listener", "listener-rule")]
    zone = f"arn:aws:route53:::hostedzone/{reach.zone_id}"
    own = {
        "route53:ChangeResourceRecordSetsNormalizedRecordNames": [reach.domain, f"*.{reach.domain}"]
    }
    statements = [
        allow(of("ec2", *NETWORK), arn("ec2", "*")),
        allow(
            of("elasticloadbalancing", "*Tags", "Create*", "Delete*", "Modify*", "Set*"),
            arn("elasticloadbalancing", *balancers, f"targetgroup/{reach.environment}-*"),
        ),
        allow(
            of("wafv2", "*WebACL*", "*agResource", "ListTagsForResource"),
            [*arn("wafv2", "regional/*"), *arn("elasticloadbalancing", balancers[0])],
        ),
        allow(
            of("acm", "DeleteCertificate", "DescribeCertificate", "*Tags*"),
            arn("acm", "certificate/*"),
        ),
        allow(of("route53", "ChangeResourceRecordSets"), zone, {"ForAllValues:StringLike": own}),
        allow(of("route53", "Get*", "List*"), [zone, "arn:aws:route53:::change/*"]),
    ]
    if reach.proxies_tls:
        actions = of(
            "acm-pca", "*CertificateAuthority*", "GetCertificate", "IssueCertificate", "ListTags"
        )
        statements.append(allow(actions, arn("acm-pca", "certificate-authority/*")))
    return statements


def watching(reach: DeployReach) -> list[Statement]:
    label = reach.label
    return [
        allow(
            of(
                "cloudwatch",
                "DeleteAlarms",
                "DescribeAlarms",
                "ListTagsForResource",
                "PutMetricAlarm",
                "*agResource",
            ),
            reach.arn("cloudwatch", "alarm:*"),
        ),
        allow(
            of("cloudwatch", "DeleteDashboards", "GetDashboard", "PutDashboard"),
            reach.everywhere("cloudwatch", f"dashboard/{label}"),
        ),
        allow(
            of(
                "sns",
                "CreateTopic",
                "DeleteTopic",
                "Get*",
                "List*",
                "Set*",
                "*ubscribe",
                "*agResource",
            ),
            reach.arn("sns", f"{label}-*"),
        ),
        allow(
            of("budgets", "ModifyBudget", "ViewBudget", "*agResource", "ListTagsForResource"),
            reach.everywhere("budgets", f"budget/{label}-*"),
        ),
    ]


def buckets(reach: DeployReach) -> list[Statement]:
    """Buckets themselves, and of objects the state's alone. None is ever deleted by a deployment."""
    # As long as Pulumi's own suffix is: a pattern with a star would reach into the bucket.
    own = [f"arn:aws:s3:::{reach.label}-log-{'?' * 7}", *reach.preview_state[:1]]
    statements = [allow(of("s3", "CreateBucket", "Get*", "List*", "Put*", "TagResource"), own)]
    backends = [
        *reach.preview_state[:1],
        *([f"arn:aws:s3:::{reach.state_bucket}"] if reach.state_bucket else []),
    ]
    for bucket in backends:
        mine = [f"{bucket}/.pulumi/*/{PROJECT}/{reach.environment}{end}" for end in (".*", "/*")]
        others = (
            [f"{bucket}/.pulumi/stacks/{PROJECT}/{reach.takes_from}.*"] if reach.takes_from else []
        )
        statements += [
            allow(of("s3", "GetBucketLocation", "ListBucket"), bucket),
            allow(of("s3", "DeleteObject", "PutObject"), mine),
            allow(of("s3", "GetObject"), [f"{bucket}/.pulumi/meta.yaml", *mine, *others]),
        ]
    return statements


# A policy each: AWS takes 6,144 characters in one.
DEPLOY_PARTS: Mapping[str, Sequence[Callable[[DeployReach], list[Statement]]]] = {
    "things": (nameless, data, images, running),
    "doors": (doors, watching, buckets),
    "limits": (keys, roles, denials),
}


def deploy_statements(reach: DeployReach, part: str) -> list[Statement]:
    return [statement for each in DEPLOY_PARTS[part] for statement in each(reach)]
