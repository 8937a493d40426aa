"""The policy of a deployment: it may manage what the program declares, under this environment's
names and tag.

Where an ARN carries a name, the name is this environment's. Where it does not (networks, keys,
certificates), a denial by tag keeps it from what another stack of this project made. It makes roles
only within a boundary, and changes no boundary, no key's policy, and nothing that GitHub's own
rights are made of: docs/decisions/0603.
"""

from collections.abc import Callable, Mapping, Sequence

from infrastructure.config.naming import LOG_PREFIX, PROJECT, STACK_TAG
from infrastructure.iam import deploy_actions
from infrastructure.iam.boundaries import allow
from infrastructure.iam.deploy_actions import TAGGING, actions_of
from infrastructure.iam.deploy_limits import (
    DeployResources,
    denials,
    key_statements,
    role_statements,
)
from infrastructure.iam.roles import Statement


def unnamed_statements(resources: DeployResources) -> list[Statement]:
    makes_authority = ["acm-pca:CreateCertificateAuthority"] if resources.proxies_tls else []
    return [allow([*deploy_actions.NAMELESS, *makes_authority], "*")]


def data_statements(resources: DeployResources) -> list[Statement]:
    label, arn = resources.label, resources.arn
    stream = [f"{kind}/{label}/*" for kind in ("cluster", "topic")]
    return [
        allow(
            deploy_actions.DATABASES,
            arn("rds", f"*:{label}-*", "og:default*"),
        ),
        allow(
            deploy_actions.BROKERS,
            arn("kafka", *stream, f"configuration/{label}-*"),
        ),
        allow(
            deploy_actions.TOPICS,
            arn("kafka", *stream),
        ),
        allow(
            deploy_actions.SECRETS,
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
    """Returns the rights of an environment that builds images.

    It may not delete a tested image: production runs it.
    """
    if resources.takes_from:
        return []
    previews = resources.arn("ecr", "repository/preview/*")
    return [
        allow(
            deploy_actions.REGISTRY,
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
        f"{LOG_PREFIX}{label}",
    )
    return [
        allow(
            deploy_actions.CLUSTER,
            arn("ecs", cluster),
        ),
        allow(deploy_actions.SERVICES, arn("ecs", services)),
        allow(actions_of("ecs", *TAGGING), arn("ecs", cluster, services, definitions)),
        allow(
            deploy_actions.NAMESPACES,
            arn("servicediscovery", "namespace/*"),
        ),
        allow(
            actions_of("servicediscovery", "TagResource"),
            "*",
            {"StringEquals": {f"aws:RequestTag/{STACK_TAG}": name}},
        ),
        allow(
            deploy_actions.SCALING,
            scaling_targets(resources),
        ),
        allow(
            deploy_actions.FUNCTIONS,
            arn("lambda", f"function:{PROJECT}-{name}-*"),
        ),
        allow(
            deploy_actions.EVENTS,
            arn("events", f"rule/{PROJECT}-{name}-*"),
        ),
        allow(
            deploy_actions.LOGS,
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
        allow(deploy_actions.NETWORK, arn("ec2", "*")),
        allow(
            deploy_actions.BALANCING,
            arn("elasticloadbalancing", *balancers, f"targetgroup/{resources.environment}-*"),
        ),
        allow(
            deploy_actions.FIREWALL,
            [*arn("wafv2", "regional/*"), *arn("elasticloadbalancing", balancers[0])],
        ),
        allow(
            deploy_actions.CERTIFICATES,
            arn("acm", "certificate/*"),
        ),
        allow(
            actions_of("route53", "ChangeResourceRecordSets"),
            zone,
            {"ForAllValues:StringLike": own},
        ),
        allow(deploy_actions.ZONE, [zone, "arn:aws:route53:::change/*"]),
    ]
    if resources.proxies_tls:
        statements.append(
            allow(deploy_actions.AUTHORITIES, arn("acm-pca", "certificate-authority/*"))
        )
    return statements


def monitoring_statements(resources: DeployResources) -> list[Statement]:
    label = resources.label
    return [
        allow(
            deploy_actions.ALARMS,
            resources.arn("cloudwatch", "alarm:*"),
        ),
        allow(
            actions_of("cloudwatch", "DeleteDashboards", "GetDashboard", "PutDashboard"),
            resources.everywhere("cloudwatch", f"dashboard/{label}"),
        ),
        allow(
            deploy_actions.NOTICES,
            resources.arn("sns", f"{label}-*"),
        ),
        allow(
            deploy_actions.BUDGET,
            resources.everywhere("budgets", f"budget/{label}-*"),
        ),
    ]


def bucket_statements(resources: DeployResources) -> list[Statement]:
    """Returns the rights on buckets and, of objects, on Pulumi's state alone.

    A deployment deletes no bucket.
    """
    # As many characters as Pulumi's suffix has: with a star the pattern would match objects too.
    own = [f"arn:aws:s3:::{resources.label}-log-{'?' * 7}", *resources.preview_state[:1]]
    statements = [allow(deploy_actions.BUCKET, own)]
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


# A policy each: IAM takes 6,144 characters in one, and ten policies in a role.
DEPLOY_PARTS: Mapping[str, Sequence[Callable[[DeployResources], list[Statement]]]] = {
    "things": (unnamed_statements, data_statements, image_statements, bucket_statements),
    "compute": (compute_statements, monitoring_statements),
    "doors": (network_statements,),
    "limits": (key_statements, role_statements, denials),
}


def deploy_statements(resources: DeployResources, part: str) -> list[Statement]:
    return [statement for each in DEPLOY_PARTS[part] for statement in each(resources)]
