"""Makes one service of the catalogue on ECS: task, roles, log, public route, scaling and alarms."""

from collections.abc import Sequence
from typing import Any

import pulumi
import pulumi_aws as aws

from infrastructure.config import limits
from infrastructure.config.platform_outputs import PlatformOutputs
from infrastructure.ecs.alarms import watch_errors, watch_service
from infrastructure.ecs.scaling import scale
from infrastructure.ecs.service_args import ServiceArgs
from infrastructure.ecs.task import container, health_check, ports, task_definition
from infrastructure.iam.roles import role_of_service
from infrastructure.iam.service_roles import execution_statements, repository_arn, task_statements

Text = pulumi.Input[str]
DRAIN_SECONDS = 30
GRACE_SECONDS = 90
# Longer than the gateway waits for any answer.
CALL_SECONDS = 60
# Of a connection between proxies; not less than a call.
IDLE_SECONDS = 300


class EcsService(pulumi.ComponentResource):
    """Outputs: `service_name`, and `definition`, its task's ARN.

    `after`: what must be there before it starts; children inherit no `depends_on`.
    """

    def __init__(
        self,
        name: str,
        args: ServiceArgs,
        after: Sequence[pulumi.Resource],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("patient:infrastructure:Service", name, None, opts)
        self.child = pulumi.ResourceOptions(parent=self)
        entry = args.entry
        limits.check_fargate_size(entry.resources.cpu, entry.resources.memory)
        limits.check_port(entry.port)
        limits.check_security_groups(len(args.groups))
        log = aws.cloudwatch.LogGroup(
            name,
            name=args.log_group_name,
            retention_in_days=args.log_retention_days,
            kms_key_id=args.platform.key_arn,
            opts=self.child,
        )
        task = self.define(name, args, log)
        target, doors = self.make_public_route(name, args)
        # ECS takes a version back that is healthy and wrong: one that logs errors.
        errors = watch_errors(name, log, args, self.child) if args.watched else None
        service = aws.ecs.Service(
            name,
            cluster=args.platform.cluster_arn,
            task_definition=task.arn,
            desired_count=args.replicas.minimum,
            capacity_provider_strategies=[
                aws.ecs.ServiceCapacityProviderStrategyArgs(
                    capacity_provider="FARGATE_SPOT" if args.spot else "FARGATE", weight=1
                )
            ],
            # The provider changes capacity providers no other way; it makes no deployment by
            # itself.
            force_new_deployment=True,
            network_configuration=aws.ecs.ServiceNetworkConfigurationArgs(
                subnets=args.platform.private_subnet_ids,
                security_groups=list(args.groups),
                assign_public_ip=False,
            ),
            load_balancers=[
                aws.ecs.ServiceLoadBalancerArgs(
                    target_group_arn=target.arn,
                    container_name=entry.name,
                    container_port=entry.port,
                )
            ]
            if target
            else None,
            health_check_grace_period_seconds=GRACE_SECONDS if target else None,
            service_connect_configuration=self.connect(args, log),
            deployment_circuit_breaker=aws.ecs.ServiceDeploymentCircuitBreakerArgs(
                enable=True, rollback=True
            ),
            alarms=aws.ecs.ServiceAlarmsArgs(alarm_names=[errors.name], enable=True, rollback=True)
            if errors
            else None,
            deployment_minimum_healthy_percent=100,
            deployment_maximum_percent=200,
            availability_zone_rebalancing="ENABLED",
            enable_execute_command=False,
            enable_ecs_managed_tags=True,
            propagate_tags="SERVICE",
            # Services wait for those that they call: a wait for a steady state in each would be
            # four in a row.
            wait_for_steady_state=args.steady,
            opts=pulumi.ResourceOptions.merge(
                self.child,
                # How many run is autoscaling's to say.
                pulumi.ResourceOptions(
                    ignore_changes=["desiredCount"], depends_on=[*after, *doors, *self.policies]
                ),
            ),
        )
        self.service_name = service.name
        self.definition = task.arn
        suffix = target.arn_suffix if target else None
        scale(name, args, service, suffix, self.child)
        if args.watched:
            watch_service(name, args, service, suffix, self.child)
        self.register_outputs({"service_name": self.service_name, "definition": self.definition})

    def define(
        self, name: str, args: ServiceArgs, log: aws.cloudwatch.LogGroup
    ) -> aws.ecs.TaskDefinition:
        entry = args.entry
        repository = repository_arn(args.image)
        execution = role_of_service(
            f"{name}-execution",
            "ecs-tasks.amazonaws.com",
            {
                "start": execution_statements(
                    args.resources, repository, log.arn, list(args.secrets.values())
                )
            },
            self.child,
            args.boundary,
        )
        task = role_of_service(
            f"{name}-task",
            "ecs-tasks.amazonaws.com",
            {"work": task_statements(entry, args.resources)},
            self.child,
            args.boundary,
        )
        self.policies = [*execution.policies, *task.policies]
        return task_definition(
            name,
            family=f"{args.stack}-{entry.name}",
            cpu=entry.resources.cpu,
            memory_mib=entry.resources.memory,
            execution=execution,
            task=task,
            container_definitions=container(
                entry.name,
                image=args.image,
                environment=args.environment,
                secrets=args.secrets,
                log_group=log.name,
                region=args.resources.region,
                portMappings=ports(entry),
                healthCheck=health_check(entry),
                stopTimeout=entry.stop_seconds,
            ),
            opts=self.child,
        )

    def make_public_route(
        self, name: str, args: ServiceArgs
    ) -> tuple[aws.lb.TargetGroup | None, list[pulumi.Resource]]:
        if args.public_route is None:
            return None, []
        limits.check_priority(args.public_route.priority)
        entry = args.entry
        target = aws.lb.TargetGroup(
            name,
            port=entry.port,
            # The gateway's certificate is its own, made at start: balancers do not check a
            # target's.
            protocol="HTTPS",
            target_type="ip",
            vpc_id=args.platform.vpc_id,
            deregistration_delay=DRAIN_SECONDS,
            load_balancing_algorithm_type="least_outstanding_requests",
            health_check=aws.lb.TargetGroupHealthCheckArgs(
                protocol="HTTPS",
                path=entry.readiness.path,
                interval=entry.readiness.period_seconds,
                timeout=entry.readiness.timeout_seconds,
                unhealthy_threshold=entry.readiness.failure_threshold,
                healthy_threshold=2,
                matcher="200",
            ),
            opts=self.child,
        )
        rule = aws.lb.ListenerRule(
            name,
            listener_arn=args.platform.listener_arn,
            priority=args.public_route.priority,
            conditions=[
                aws.lb.ListenerRuleConditionArgs(
                    host_header=aws.lb.ListenerRuleConditionHostHeaderArgs(
                        values=[args.public_route.host]
                    )
                )
            ],
            actions=[aws.lb.ListenerRuleActionArgs(type="forward", target_group_arn=target.arn)],
            opts=self.child,
        )
        # ECS refuses a target group that no listener uses.
        return target, [rule]

    def connect(
        self, args: ServiceArgs, log: aws.cloudwatch.LogGroup
    ) -> aws.ecs.ServiceServiceConnectConfigurationArgs:
        entry = args.entry
        offered = aws.ecs.ServiceServiceConnectConfigurationServiceArgs(
            port_name=entry.name,
            discovery_name=entry.name,
            client_alias=[
                aws.ecs.ServiceServiceConnectConfigurationServiceClientAliasArgs(
                    dns_name=entry.name, port=entry.port
                )
            ],
            tls=proxy_tls(args.platform),
            # By themselves proxies cut a call off after 15 seconds, while the service may still
            # commit it.
            timeout=aws.ecs.ServiceServiceConnectConfigurationServiceTimeoutArgs(
                per_request_timeout_seconds=CALL_SECONDS,
                # Unsaid, the provider sends 0: never.
                idle_timeout_seconds=IDLE_SECONDS,
            ),
        )
        return aws.ecs.ServiceServiceConnectConfigurationArgs(
            enabled=True,
            namespace=args.namespace_arn,
            # Nobody calls the public service but the balancer: it is a client only.
            services=[] if entry.public else [offered],
            log_configuration=aws.ecs.ServiceServiceConnectConfigurationLogConfigurationArgs(
                log_driver="awslogs",
                options={
                    "awslogs-group": log.name,
                    "awslogs-region": args.resources.region,
                    "awslogs-stream-prefix": "connect",
                },
            ),
        )


def proxy_tls(platform: PlatformOutputs) -> Any:
    """Returns the proxies' TLS, None where the platform has no authority: proxies then
    speak plainly.
    """

    def choose(parts: list[str]) -> dict[str, Any] | None:
        authority, key, role = parts
        if not authority:
            return None
        return {
            "issuer_cert_authority": {"aws_pca_authority_arn": authority},
            "kms_key": key,
            "role_arn": role,
        }

    return pulumi.Output.all(
        platform.authority_arn, platform.key_arn, platform.connect_role_arn
    ).apply(choose)
