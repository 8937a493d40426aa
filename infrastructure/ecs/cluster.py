"""The ECS cluster and its capacity: Fargate, and outside production its Spot."""

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterArgs:
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
        cluster = aws.ecs.Cluster(
            name,
            settings=[
                aws.ecs.ClusterSettingArgs(
                    name="containerInsights", value="enabled" if args.insights else "disabled"
                )
            ],
            opts=child,
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
        waits: list[pulumi.CustomResource] = [providers]
        if args.insights:
            # Container Insights would make it itself, without our key and never to expire.
            measures = aws.cloudwatch.LogGroup(
                f"{name}-insights",
                name=pulumi.Output.concat(
                    "/aws/ecs/containerinsights/", cluster.name, "/performance"
                ),
                retention_in_days=args.log_retention_days,
                kms_key_id=args.key_arn,
                opts=child,
            )
            waits.append(measures)
        # A service that names a provider which the cluster does not have yet is refused: it waits.
        self.arn = pulumi.Output.all(cluster.arn, *(each.id for each in waits)).apply(
            lambda made: str(made[0])
        )
        self.name = cluster.name
        self.register_outputs({"arn": self.arn})
