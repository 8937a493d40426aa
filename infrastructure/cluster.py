"""The ECS cluster and its capacity: Fargate, and outside production its Spot."""

import pulumi
import pulumi_aws as aws


class Cluster(pulumi.ComponentResource):
    def __init__(self, name: str, *, spot: bool, insights: bool, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("patient:infrastructure:Cluster", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        cluster = aws.ecs.Cluster(
            name,
            settings=[
                aws.ecs.ClusterSettingArgs(name="containerInsights", value="enabled" if insights else "disabled")
            ],
            opts=child,
        )
        providers = aws.ecs.ClusterCapacityProviders(
            name,
            cluster_name=cluster.name,
            capacity_providers=["FARGATE", "FARGATE_SPOT"],
            default_capacity_provider_strategies=[
                aws.ecs.ClusterCapacityProvidersDefaultCapacityProviderStrategyArgs(
                    capacity_provider="FARGATE_SPOT" if spot else "FARGATE", weight=1
                )
            ],
            opts=child,
        )
        # A service that names a provider which the cluster does not have yet is refused: it waits.
        self.arn = pulumi.Output.all(cluster.arn, providers.id).apply(lambda made: str(made[0]))
        self.name = cluster.name
        self.register_outputs({"arn": self.arn})
