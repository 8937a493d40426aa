"""The platform: what an environment owns once, and every app on it shares."""

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infrastructure.config.model import EnvironmentSettings, EnvironmentStack
from infrastructure.config.naming import LOG_PREFIX
from infrastructure.config.platform_outputs import PlatformOutputs
from infrastructure.data.databases import Databases, DatabasesArgs
from infrastructure.data.keys import Keys, KeysArgs
from infrastructure.data.msk import MskArgs, MskCluster
from infrastructure.ecs.cluster import Cluster, ClusterArgs
from infrastructure.ecs.images import Repositories
from infrastructure.ecs.monitoring import Monitoring, MonitoringArgs
from infrastructure.iam.boundaries import (
    AppResources,
    AwsAccount,
    app_boundary,
    platform_boundary,
    preview_boundary,
)
from infrastructure.network import subnets
from infrastructure.network.balancer import Balancer, BalancerArgs
from infrastructure.network.certificates import Certificates
from infrastructure.network.vpc import Network, NetworkArgs

LOGS = "/patient-management"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformArgs:
    stack: EnvironmentStack
    # The outputs `platform` of the environment whose images are promoted.
    promoted: pulumi.Output[dict[str, dict[str, str]]] | None


class Platform(pulumi.ComponentResource):
    """Outputs: `outputs`, which other stacks may read.

    For this stack alone: `masters` (ARNs of the databases' master secrets), `boundary` (of the
    app's roles) and `platform_boundary`.
    """

    def __init__(
        self, name: str, args: PlatformArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("patient:infrastructure:Platform", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        stack, config = args.stack, args.stack.config
        label = f"patient-{stack.name}"
        account_id = aws.get_caller_identity_output().account_id
        prefixes = (
            f"{LOGS}/{stack.name}/",
            f"/aws/lambda/patient-management-{stack.name}-",
            f"/aws/rds/instance/{label}-",
            f"/aws/ecs/containerinsights/{label}",
            f"{LOG_PREFIX}{label}",
            *((f"{LOGS}/pr-",) if config.previews else ()),
        )
        keys = Keys(
            "data",
            KeysArgs(
                environment=stack.name,
                region=stack.region,
                account_id=account_id,
                log_group_prefixes=prefixes,
                keep=config.data.deletion_protection,
            ),
            child,
        )
        account = AwsAccount(stack.region, account_id)
        boundary = platform_boundary(
            f"{label}-platform",
            account,
            stack.name,
            keys.arn,
            proxies_tls=config.service_tls,
            opts=child,
        )
        network = Network(
            label,
            NetworkArgs(
                region=stack.region,
                cidr=config.vpc_cidr,
                zones=config.availability_zones,
                nat=config.nat,
                interface_endpoints=config.interface_endpoints,
                log_retention_days=config.log_retention_days,
                key_arn=keys.arn,
                log_group_name=f"{LOGS}/{stack.name}/flows",
                boundary=boundary,
            ),
            child,
        )
        balancer = Balancer(
            label,
            BalancerArgs(
                vpc_id=network.vpc_id,
                subnet_ids=network.public_subnet_ids,
                domain=config.domain,
                zone_name=config.zone_name,
                waf=config.waf,
                rate_limit_requests=config.rate_limit_requests,
                log_retention_days=config.log_retention_days,
                key_arn=keys.arn,
                deletion_protection=config.deletion_protection,
                wildcard=config.previews,
            ),
            child,
        )
        databases = Databases(
            label,
            DatabasesArgs(
                vpc_id=network.vpc_id,
                subnet_ids=network.isolated_subnet_ids,
                key_arn=keys.arn,
                data=config.data,
                log_retention_days=config.log_retention_days,
                boundary=boundary,
            ),
            child,
        )
        stream = MskCluster(
            label,
            MskArgs(
                vpc_id=network.vpc_id,
                subnet_ids=network.isolated_subnet_ids,
                key_arn=keys.arn,
                settings=config.stream,
                log_group_name=f"{LOGS}/{stack.name}/brokers",
                log_retention_days=config.log_retention_days,
                protect=config.deletion_protection,
            ),
            child,
        )
        cluster = Cluster(
            label,
            ClusterArgs(
                cluster_name=f"{label}-services",
                spot=config.spot,
                insights=config.insights,
                log_retention_days=config.log_retention_days,
                key_arn=keys.arn,
            ),
            child,
        )
        certificates = (
            Certificates(label, stack.name, keys.arn, boundary, child)
            if config.service_tls
            else None
        )
        operations = Monitoring(
            label,
            MonitoringArgs(
                environment=stack.name,
                account_id=account_id,
                key_arn=keys.arn,
                budget_usd=config.budget_usd,
                notices_email=config.notices_email,
                databases=databases,
                stream=stream,
                brokers=config.stream.brokers,
                cluster_arn=cluster.arn,
            ),
            child,
        )
        urls, preview_urls = self.repositories(args, keys.arn, child)
        empty = pulumi.Output.from_input("")
        hosts = databases.hosts
        self.masters = {database: host.master_secret_arn for database, host in hosts.items()}
        self.platform_boundary = boundary
        resources = AppResources(
            key_arn=keys.arn,
            stream_arn=stream.cluster_arn,
            cluster_arn=cluster.arn,
            cluster_name=cluster.name,
            resource_ids={database: host.resource_id for database, host in hosts.items()},
            masters=self.masters,
            previews=config.previews,
        )
        self.boundary = app_boundary(f"{label}-app", account, stack.name, resources, child)
        self.outputs = PlatformOutputs(
            account_id=account_id,
            domain=pulumi.Output.from_input(config.domain),
            vpc_id=network.vpc_id,
            private_subnet_ids=network.private_subnet_ids.apply(list),
            trusted_proxies=pulumi.Output.from_input(",".join(public_blocks(config))),
            apis_group_id=network.apis_group_id,
            key_arn=keys.arn,
            listener_arn=balancer.listener_arn,
            balancer_suffix=balancer.arn_suffix,
            target_group_id=balancer.target_group_id,
            database_addresses={database: host.address for database, host in hosts.items()},
            database_resource_ids={database: host.resource_id for database, host in hosts.items()},
            database_group_ids={database: host.client_group_id for database, host in hosts.items()},
            database_admin_group_id=databases.admin_group_id,
            brokers=stream.bootstrap_brokers,
            stream_arn=stream.cluster_arn,
            stream_name=stream.cluster_name,
            stream_group_id=stream.client_group_id,
            replication_factor=pulumi.Output.from_input(stream.replication_factor),
            cluster_arn=cluster.arn,
            cluster_name=cluster.name,
            authority_arn=certificates.authority_arn if certificates else empty,
            connect_role_arn=certificates.role_arn if certificates else empty,
            notices_arn=operations.notices_arn,
            preview_runner_name=pulumi.Output.from_input(
                preview_runner_name(stack.name) if config.previews else ""
            ),
            preview_boundary_arn=preview_boundary(f"{label}-preview", account, resources, child)
            if config.previews
            else empty,
            repository_urls=urls,
            preview_repository_urls=preview_urls,
        )
        self.register_outputs({})

    def repositories(
        self, args: PlatformArgs, key_arn: pulumi.Input[str], child: pulumi.ResourceOptions
    ) -> tuple[pulumi.Output[dict[str, str]], pulumi.Output[dict[str, str]]]:
        """Owned where images are built. An environment that promotes has the building one's."""
        if args.promoted is not None:
            return (
                args.promoted.apply(lambda platform: platform["repository_urls"]),
                args.promoted.apply(lambda platform: platform["preview_repository_urls"]),
            )
        config = args.stack.config
        made = Repositories(
            "repositories", key_arn, config.images_life, config.image_readers, opts=child
        )
        return pulumi.Output.all(**made.urls), pulumi.Output.all(**made.preview_urls)


def public_blocks(config: EnvironmentSettings) -> tuple[str, ...]:
    """Where the balancer's own addresses lie: whose forwarded headers are believed."""
    return next(
        spec.blocks
        for spec in subnets.plan_subnets(config.vpc_cidr, len(config.availability_zones))
        if spec.type == "Public"
    )


def preview_runner_name(environment: str) -> str:
    return f"patient-management-{environment}-preview-runner"
