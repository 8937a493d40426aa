"""The ECS cluster and its capacity: Fargate, and outside production its Spot."""

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterArgs:
    """`cluster_name`: of a cluster that is made anew; an existing one keeps its name."""

    cluster_name: str
    spot: bool
    insights: bool
    log_retention_days: int
    key_arn: pulumi.Input[str]


class Cluster(pulumi.ComponentResource):
    """Outputs: `arn`, known once services can be made in it, and `name`."""

    def __init__(
        self, name: str, args: ClusterArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("patient:infrastructure:Cluster", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        # Container Insights would make its log group itself, without our key and never to expire,
        # as soon as the cluster is there. So the group comes first, and the cluster's name is said.
        # A stack from before keeps the cluster and the group that it has: another name would
        # replace both, and every service.
        kept = pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(ignore_changes=["name"]))
        waits: list[pulumi.Resource] = []
        if args.insights:
            measures = aws.cloudwatch.LogGroup(
                f"{name}-insights",
                name=f"/aws/ecs/containerinsights/{args.cluster_name}/performance",
                retention_in_days=args.log_retention_days,
                kms_key_id=args.key_arn,
                opts=kept,
            )
            waits.append(measures)
        cluster = aws.ecs.Cluster(
            name,
            name=args.cluster_name,
            settings=[
                aws.ecs.ClusterSettingArgs(
                    name="containerInsights", value="enabled" if args.insights else "disabled"
                )
            ],
            opts=pulumi.ResourceOptions.merge(kept, pulumi.ResourceOptions(depends_on=waits)),
        )
        providers = aws.ecs.ClusterCapacityProviders(
            name,
            cluster_name=cluster.name,
            capacity_providers=["FARGATE", "FARGATE_SPOT"],
            default_capacity_provider_strategies=[
                aws.ecs.ClusterCapacityProvidersDefaultCapacityProviderStrategyArgs(
                    capacity_provider="FARGATE_SPOT" if args.spot else "FARGATE", weight=1
                )
            ],
            opts=child,
        )
        # A service that names a provider which the cluster does not have yet is refused: it waits.
        self.arn = pulumi.Output.all(cluster.arn, providers.id).apply(lambda made: str(made[0]))
        self.name = cluster.name
        self.register_outputs({"arn": self.arn})
