"""RDS PostgreSQL: the instances that the settings name, each with its databases, reached by IAM token over TLS only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infrastructure.config.model import Data, Instance
from infrastructure.config.naming import MASTER
from infrastructure.iam.roles import PermissionsBoundary, role_of_service
from infrastructure.network.security_groups import allow_traffic, id_when_open, make_group

PORT = 5432
ENGINE_VERSION = "18"
FAMILY = "postgres18"
EXPORTED_LOGS = ("postgresql", "upgrade")


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabasesArgs:
    vpc_id: pulumi.Input[str]
    subnet_ids: pulumi.Input[Sequence[str]]
    key_arn: pulumi.Input[str]
    data: Data
    log_retention_days: int
    boundary: PermissionsBoundary


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """Where a database lies. `resource_id` names its instance in `rds-db:connect`; the ARN is of its master secret."""

    address: pulumi.Output[str]
    resource_id: pulumi.Output[str]
    master_secret_arn: pulumi.Output[str]
    client_group_id: pulumi.Output[str]


class Databases(pulumi.ComponentResource):
    """Outputs: `hosts` by database, `identifiers` by instance, `admin_group_id`: what carries it reaches them all."""

    def __init__(
        self, name: str, args: DatabasesArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("patient:infrastructure:Databases", name, None, opts)
        self.child = pulumi.ResourceOptions(parent=self)
        self.args = args
        self.subnets = aws.rds.SubnetGroup(name, subnet_ids=args.subnet_ids, opts=self.child)
        self.parameters = aws.rds.ParameterGroup(
            name,
            family=FAMILY,
            parameters=[
                # RDS's default since PostgreSQL 15, which it reports as taken on at a start.
                parameter("rds.force_ssl", "1", reboot=True),
                # Statements carry people's data: only what was changed and by whom is logged.
                parameter("log_statement", "ddl"),
                # A list since PostgreSQL 18.
                parameter("log_connections", "all", reboot=True),
                parameter("log_disconnections", "1"),
                parameter("log_min_duration_statement", "1000"),
                parameter("log_parameter_max_length", "0"),
                parameter("log_parameter_max_length_on_error", "0"),
            ],
            opts=self.child,
        )
        self.monitoring = role_of_service(
            f"{name}-monitoring",
            "monitoring.rds.amazonaws.com",
            {},
            self.child,
            args.boundary,
            managed=["service-role/AmazonRDSEnhancedMonitoringRole"],
        )
        self.admin = make_group(
            f"{name}-admin",
            args.vpc_id,
            "Carried by the release: it reaches every instance",
            self.child,
        )
        self.admin_ways: list[pulumi.CustomResource] = []
        self.identifiers: dict[str, pulumi.Output[str]] = {}
        self.hosts: Mapping[str, Host] = {
            database: host
            for label, instance in sorted(args.data.instances.items())
            for database, host in self.open_instance(name, label, instance).items()
        }
        self.admin_group_id = id_when_open(self.admin, self.admin_ways)
        self.register_outputs({})

    def open_instance(self, name: str, label: str, instance: Instance) -> dict[str, Host]:
        args, child = self.args, self.child
        reached = make_group(
            f"{name}-{label}", args.vpc_id, f"The database instance {label}", child
        )
        self.admin_ways += allow_traffic(
            f"{name}-admin-{label}",
            source_id=self.admin.id,
            target_id=reached.id,
            port=PORT,
            description="Release to instance",
            opts=child,
        )
        identifier = f"{name}-{label}"
        # RDS would make them itself, without our key and never to expire.
        logs = [
            aws.cloudwatch.LogGroup(
                f"{identifier}-{log}",
                name=f"/aws/rds/instance/{identifier}/{log}",
                retention_in_days=args.log_retention_days,
                kms_key_id=args.key_arn,
                opts=child,
            )
            for log in EXPORTED_LOGS
        ]
        made = aws.rds.Instance(
            identifier,
            identifier=identifier,
            engine="postgres",
            engine_version=ENGINE_VERSION,
            auto_minor_version_upgrade=True,
            instance_class=instance.instance_class,
            allocated_storage=instance.storage_gib,
            max_allocated_storage=instance.storage_limit_gib,
            storage_type="gp3",
            storage_encrypted=True,
            kms_key_id=args.key_arn,
            username=MASTER,
            manage_master_user_password=True,
            master_user_secret_kms_key_id=args.key_arn,
            iam_database_authentication_enabled=True,
            ca_cert_identifier="rds-ca-rsa2048-g1",
            port=PORT,
            db_subnet_group_name=self.subnets.name,
            vpc_security_group_ids=[reached.id],
            parameter_group_name=self.parameters.name,
            publicly_accessible=False,
            multi_az=args.data.multi_az,
            # Point-in-time recovery is on wherever backups are kept.
            backup_retention_period=args.data.backup_retention_days,
            backup_window="03:00-04:00",
            maintenance_window="sun:04:30-sun:05:30",
            # Else services would roll at once against a size that comes on Sunday. Production waits for the window.
            apply_immediately=not args.data.deletion_protection,
            copy_tags_to_snapshot=True,
            delete_automated_backups=not args.data.deletion_protection,
            deletion_protection=args.data.deletion_protection,
            skip_final_snapshot=not args.data.deletion_protection,
            # Snapshots outlive the stack: the subnet group's own suffix tells one life of it from the next.
            final_snapshot_identifier=pulumi.Output.concat(self.subnets.name, f"-{label}-final")
            if args.data.deletion_protection
            else None,
            enabled_cloudwatch_logs_exports=list(EXPORTED_LOGS),
            monitoring_interval=60,
            monitoring_role_arn=self.monitoring.arn,
            performance_insights_enabled=args.data.performance_insights,
            performance_insights_kms_key_id=args.key_arn
            if args.data.performance_insights
            else None,
            opts=pulumi.ResourceOptions.merge(
                child,
                pulumi.ResourceOptions(
                    protect=args.data.deletion_protection,
                    depends_on=[*logs, *self.monitoring.policies],
                ),
            ),
        )
        self.identifiers[label] = made.identifier
        hosts = {}
        for database in sorted(instance.databases):
            client = make_group(
                f"{name}-{database}-client",
                args.vpc_id,
                f"Carried by who reaches {database}",
                child,
            )
            rules = allow_traffic(
                f"{name}-{database}",
                source_id=client.id,
                target_id=reached.id,
                port=PORT,
                description=f"Client of {database}",
                opts=child,
            )
            hosts[database] = Host(
                address=made.address,
                resource_id=made.resource_id,
                master_secret_arn=made.master_user_secrets.apply(
                    lambda secrets: str(secrets[0].secret_arn)
                ),
                client_group_id=id_when_open(client, rules),
            )
        return hosts


def parameter(
    name: str, value: str, *, reboot: bool = False
) -> aws.rds.ParameterGroupParameterArgs:
    return aws.rds.ParameterGroupParameterArgs(
        name=name, value=value, apply_method="pending-reboot" if reboot else "immediate"
    )
