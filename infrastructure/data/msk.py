"""MSK: a provisioned cluster that takes IAM over TLS and nothing else, its configuration, and
topics for each app.

There are no ACLs in Kafka: who may produce and who may consume stands in the roles' policies
(`access.py`).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from apps.catalogue import Topic
from infrastructure.config.model import StreamSettings
from infrastructure.network.security_groups import (
    allow_traffic,
    id_when_open,
    make_group,
    open_egress,
    open_ingress,
)

PORT = 9098
# Storage grows by itself from here on; it never shrinks.
STORAGE_USE_PERCENT = 70


@dataclass(frozen=True, slots=True, kw_only=True)
class MskArgs:
    vpc_id: pulumi.Input[str]
    subnet_ids: pulumi.Input[Sequence[str]]
    key_arn: pulumi.Input[str]
    settings: StreamSettings
    log_group_name: str
    log_retention_days: int
    protect: bool


class MskCluster(pulumi.ComponentResource):
    """Outputs: `bootstrap_brokers`, `cluster_arn`, and `client_group_id`: what carries it reaches
    the brokers.
    """

    def __init__(
        self, name: str, args: MskArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("patient:infrastructure:Stream", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        brokers = make_group(f"{name}-brokers", args.vpc_id, "The brokers", child)
        clients = make_group(
            f"{name}-client", args.vpc_id, "Carried by who produces or consumes", child
        )
        rules = allow_traffic(
            name,
            source_id=clients.id,
            target_id=brokers.id,
            port=PORT,
            description="Kafka by IAM over TLS",
            opts=child,
        )
        # The brokers replicate among themselves over every port that MSK chooses.
        open_ingress(
            f"{name}-among", brokers.id, None, "Brokers among themselves", child, source=brokers.id
        )
        open_egress(
            f"{name}-among", brokers.id, None, "Brokers among themselves", child, target=brokers.id
        )
        logs = aws.cloudwatch.LogGroup(
            name,
            name=args.log_group_name,
            retention_in_days=args.log_retention_days,
            kms_key_id=args.key_arn,
            opts=child,
        )
        copies = replication(args.settings.brokers)
        configuration = aws.msk.Configuration(
            name,
            # A configuration's name cannot be used again while one is being deleted: Pulumi's
            # suffix keeps it unique.
            kafka_versions=[args.settings.kafka_version],
            server_properties="\n".join(
                [
                    "auto.create.topics.enable=false",
                    f"default.replication.factor={copies}",
                    f"min.insync.replicas={max(1, copies - 1)}",
                    # Kafka's own default is three: on two brokers the topic of offsets would never
                    # be made.
                    f"offsets.topic.replication.factor={copies}",
                    f"transaction.state.log.replication.factor={copies}",
                    f"transaction.state.log.min.isr={max(1, copies - 1)}",
                    "unclean.leader.election.enable=false",
                    "allow.everyone.if.no.acl.found=false",
                ]
            ),
            opts=child,
        )
        cluster = aws.msk.Cluster(
            name,
            cluster_name=name,
            kafka_version=args.settings.kafka_version,
            number_of_broker_nodes=args.settings.brokers,
            broker_node_group_info=aws.msk.ClusterBrokerNodeGroupInfoArgs(
                instance_type=args.settings.broker_class,
                client_subnets=args.subnet_ids,
                security_groups=[brokers.id],
                storage_info=aws.msk.ClusterBrokerNodeGroupInfoStorageInfoArgs(
                    ebs_storage_info=aws.msk.ClusterBrokerNodeGroupInfoStorageInfoEbsStorageInfoArgs(
                        volume_size=args.settings.storage_gib
                    )
                ),
            ),
            client_authentication=aws.msk.ClusterClientAuthenticationArgs(
                sasl=aws.msk.ClusterClientAuthenticationSaslArgs(iam=True), unauthenticated=False
            ),
            configuration_info=aws.msk.ClusterConfigurationInfoArgs(
                arn=configuration.arn, revision=configuration.latest_revision
            ),
            encryption_info=aws.msk.ClusterEncryptionInfoArgs(
                encryption_at_rest_kms_key_arn=args.key_arn,
                encryption_in_transit=aws.msk.ClusterEncryptionInfoEncryptionInTransitArgs(
                    client_broker="TLS", in_cluster=True
                ),
            ),
            logging_info=aws.msk.ClusterLoggingInfoArgs(
                broker_logs=aws.msk.ClusterLoggingInfoBrokerLogsArgs(
                    cloudwatch_logs=aws.msk.ClusterLoggingInfoBrokerLogsCloudwatchLogsArgs(
                        enabled=True, log_group=logs.name
                    )
                )
            ),
            # A change of subnets or groups replaces the cluster, and every event with it.
            opts=pulumi.ResourceOptions.merge(
                child,
                pulumi.ResourceOptions(
                    protect=args.protect,
                    # Autoscaling grows it: `grow_storage`.
                    ignore_changes=["brokerNodeGroupInfo.storageInfo.ebsStorageInfo.volumeSize"],
                ),
            ),
        )
        grow_storage(name, cluster, args.settings, child)
        self.cluster_arn = cluster.arn
        self.cluster_name = cluster.cluster_name
        self.bootstrap_brokers = cluster.bootstrap_brokers_sasl_iam
        self.client_group_id = id_when_open(clients, rules)
        self.replication_factor = copies
        self.register_outputs({"cluster_arn": self.cluster_arn})


def grow_storage(
    name: str, cluster: aws.msk.Cluster, settings: StreamSettings, opts: pulumi.ResourceOptions
) -> None:
    """Has the brokers' storage grow to the limit of the settings before it is full."""
    target = aws.appautoscaling.Target(
        f"{name}-storage",
        service_namespace="kafka",
        scalable_dimension="kafka:broker-storage:VolumeSize",
        resource_id=cluster.arn,
        min_capacity=1,
        max_capacity=settings.storage_limit_gib,
        opts=opts,
    )
    aws.appautoscaling.Policy(
        f"{name}-storage",
        policy_type="TargetTrackingScaling",
        service_namespace=target.service_namespace,
        scalable_dimension=target.scalable_dimension,
        resource_id=target.resource_id,
        target_tracking_scaling_policy_configuration=aws.appautoscaling.PolicyTargetTrackingScalingPolicyConfigurationArgs(
            target_value=STORAGE_USE_PERCENT,
            # MSK makes no volume smaller.
            disable_scale_in=True,
            predefined_metric_specification=aws.appautoscaling.PolicyTargetTrackingScalingPolicyConfigurationPredefinedMetricSpecificationArgs(
                predefined_metric_type="KafkaBrokerStorageUtilization"
            ),
        ),
        opts=opts,
    )


def replication(brokers: int) -> int:
    return min(brokers, 3)


def make_topic(
    resource: str,
    *,
    topic: Topic,
    name: str,
    retention_ms: int,
    cluster_arn: pulumi.Input[str],
    replication_factor: pulumi.Input[int],
    opts: pulumi.ResourceOptions,
) -> aws.msk.Topic:
    """Makes a topic; `name` is the topic's full name: a preview's has its prefix."""
    configs = {"cleanup.policy": topic.cleanup_policy, "retention.ms": str(retention_ms)}
    return aws.msk.Topic(
        resource,
        name=name,
        cluster_arn=cluster_arn,
        partition_count=topic.partitions,
        replication_factor=replication_factor,
        configs=json.dumps(configs, sort_keys=True),
        opts=opts,
    )
