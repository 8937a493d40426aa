"""The platform: what an environment owns once, and every app on it shares."""

from dataclasses import dataclass
from typing import TypeAlias

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
# URL by image.
Urls: TypeAlias = pulumi.Output[dict[str, str]]


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
        self.child = pulumi.ResourceOptions(parent=self)
        self.stack, self.config = args.stack, args.stack.config
        self.label = f"patient-{self.stack.name}"
        self.account_id = aws.get_caller_identity_output().account_id
        self.account = AwsAccount(self.stack.region, self.account_id)

        self.keys = self.make_keys()
        self.platform_boundary = platform_boundary(
            f"{self.label}-platform",
            self.account,
            self.stack.name,
            self.keys.arn,
            proxies_tls=self.config.service_tls,
            opts=self.child,
        )
        self.network, self.balancer = self.make_network()
        self.databases, self.stream = self.make_data()
        self.cluster, self.certificates = self.make_compute()
        self.monitoring = self.make_monitoring()
        self.masters = {
            database: host.master_secret_arn for database, host in self.databases.hosts.items()
        }
        urls, preview_urls = self.make_repositories(args.promoted)
        resources = self.app_resources()
        self.boundary = app_boundary(
            f"{self.label}-app", self.account, self.stack.name, resources, self.child
        )
        self.outputs = self.make_outputs(resources, urls, preview_urls)
        self.register_outputs({})

    def make_keys(self) -> Keys:
        """Makes the key of all data, and lets the log groups of the environment use it."""
        stack, label = self.stack, self.label
        prefixes = (
            f"{LOGS}/{stack.name}/",
            f"/aws/lambda/patient-management-{stack.name}-",
            f"/aws/rds/instance/{label}-",
            f"/aws/ecs/containerinsights/{label}",
            f"{LOG_PREFIX}{label}",
            *((f"{LOGS}/pr-",) if self.config.previews else ()),
        )
        return Keys(
            "data",
            KeysArgs(
                environment=stack.name,
                region=stack.region,
                account_id=self.account_id,
                log_group_prefixes=prefixes,
                keep=self.config.data.deletion_protection,
            ),
            self.child,
        )

    def make_network(self) -> tuple[Network, Balancer]:
        """Makes the VPC and the balancer in its public subnets."""
        stack, config = self.stack, self.config
        network = Network(
            self.label,
            NetworkArgs(
                region=stack.region,
                cidr=config.vpc_cidr,
                zones=config.availability_zones,
                nat=config.nat,
                interface_endpoints=config.interface_endpoints,
                log_retention_days=config.log_retention_days,
                key_arn=self.keys.arn,
                log_group_name=f"{LOGS}/{stack.name}/flows",
                boundary=self.platform_boundary,
            ),
            self.child,
        )
        balancer = Balancer(
            self.label,
            BalancerArgs(
                vpc_id=network.vpc_id,
                subnet_ids=network.public_subnet_ids,
                domain=config.domain,
                zone_name=config.zone_name,
                waf=config.waf,
                rate_limit_requests=config.rate_limit_requests,
                log_retention_days=config.log_retention_days,
                key_arn=self.keys.arn,
                deletion_protection=config.deletion_protection,
                wildcard=config.previews,
            ),
            self.child,
        )
        return network, balancer

    def make_data(self) -> tuple[Databases, MskCluster]:
        """Makes the databases' instances and the brokers, in subnets without a way out."""
        config = self.config
        databases = Databases(
            self.label,
            DatabasesArgs(
                vpc_id=self.network.vpc_id,
                subnet_ids=self.network.isolated_subnet_ids,
                key_arn=self.keys.arn,
                data=config.data,
                log_retention_days=config.log_retention_days,
                boundary=self.platform_boundary,
            ),
            self.child,
        )
        stream = MskCluster(
            self.label,
            MskArgs(
                vpc_id=self.network.vpc_id,
                subnet_ids=self.network.isolated_subnet_ids,
                key_arn=self.keys.arn,
                settings=config.stream,
                log_group_name=f"{LOGS}/{self.stack.name}/brokers",
                log_retention_days=config.log_retention_days,
                protect=config.deletion_protection,
            ),
            self.child,
        )
        return databases, stream

    def make_compute(self) -> tuple[Cluster, Certificates | None]:
        """Makes the cluster and, for TLS between services, the authority of its proxies."""
        config = self.config
        cluster = Cluster(
            self.label,
            ClusterArgs(
                cluster_name=f"{self.label}-services",
                spot=config.spot,
                insights=config.insights,
                log_retention_days=config.log_retention_days,
                key_arn=self.keys.arn,
            ),
            self.child,
        )
        certificates = (
            Certificates(
                self.label, self.stack.name, self.keys.arn, self.platform_boundary, self.child
            )
            if config.service_tls
            else None
        )
        return cluster, certificates

    def make_monitoring(self) -> Monitoring:
        """Makes the topic for notices, the budget and the platform's own alarms."""
        return Monitoring(
            self.label,
            MonitoringArgs(
                environment=self.stack.name,
                account_id=self.account_id,
                key_arn=self.keys.arn,
                budget_usd=self.config.budget_usd,
                notices_email=self.config.notices_email,
                databases=self.databases,
                stream=self.stream,
                brokers=self.config.stream.brokers,
                cluster_arn=self.cluster.arn,
            ),
            self.child,
        )

    def app_resources(self) -> AppResources:
        """Returns what the boundaries of an app's roles name."""
        hosts = self.databases.hosts
        return AppResources(
            key_arn=self.keys.arn,
            stream_arn=self.stream.cluster_arn,
            cluster_arn=self.cluster.arn,
            cluster_name=self.cluster.name,
            resource_ids={database: host.resource_id for database, host in hosts.items()},
            masters=self.masters,
            previews=self.config.previews,
        )

    def make_outputs(
        self, resources: AppResources, urls: Urls, preview_urls: Urls
    ) -> PlatformOutputs:
        """Returns what apps on this platform are told, and makes the previews' boundary."""
        config, network, stream, cluster = self.config, self.network, self.stream, self.cluster
        hosts = self.databases.hosts
        empty = pulumi.Output.from_input("")
        return PlatformOutputs(
            account_id=self.account_id,
            domain=pulumi.Output.from_input(config.domain),
            vpc_id=network.vpc_id,
            private_subnet_ids=network.private_subnet_ids.apply(list),
            trusted_proxies=pulumi.Output.from_input(",".join(public_blocks(config))),
            apis_group_id=network.apis_group_id,
            key_arn=self.keys.arn,
            listener_arn=self.balancer.listener_arn,
            balancer_suffix=self.balancer.arn_suffix,
            target_group_id=self.balancer.target_group_id,
            database_addresses={database: host.address for database, host in hosts.items()},
            database_resource_ids={database: host.resource_id for database, host in hosts.items()},
            database_group_ids={database: host.client_group_id for database, host in hosts.items()},
            database_admin_group_id=self.databases.admin_group_id,
            brokers=stream.bootstrap_brokers,
            stream_arn=stream.cluster_arn,
            stream_name=stream.cluster_name,
            stream_group_id=stream.client_group_id,
            replication_factor=pulumi.Output.from_input(stream.replication_factor),
            cluster_arn=cluster.arn,
            cluster_name=cluster.name,
            authority_arn=self.certificates.authority_arn if self.certificates else empty,
            connect_role_arn=self.certificates.role_arn if self.certificates else empty,
            notices_arn=self.monitoring.notices_arn,
            preview_runner_name=pulumi.Output.from_input(
                preview_runner_name(self.stack.name) if config.previews else ""
            ),
            preview_boundary_arn=preview_boundary(
                f"{self.label}-preview", self.account, resources, self.child
            )
            if config.previews
            else empty,
            repository_urls=urls,
            preview_repository_urls=preview_urls,
        )

    def make_repositories(
        self, promoted: pulumi.Output[dict[str, dict[str, str]]] | None
    ) -> tuple[Urls, Urls]:
        """Returns the repositories' URLs and those of the previews.

        The stack owns them where it builds images; one that promotes has the building stack's.
        """
        if promoted is not None:
            return (
                promoted.apply(lambda platform: platform["repository_urls"]),
                promoted.apply(lambda platform: platform["preview_repository_urls"]),
            )
        config = self.config
        made = Repositories(
            "repositories",
            self.keys.arn,
            config.images_life,
            config.image_readers,
            opts=self.child,
        )
        return pulumi.Output.all(**made.urls), pulumi.Output.all(**made.preview_urls)


def public_blocks(config: EnvironmentSettings) -> tuple[str, ...]:
    """Returns where the balancer's own addresses lie: whose forwarded headers are believed."""
    return next(
        spec.blocks
        for spec in subnets.plan_subnets(config.vpc_cidr, len(config.availability_zones))
        if spec.type == "Public"
    )


def preview_runner_name(environment: str) -> str:
    return f"patient-management-{environment}-preview-runner"
