"""RDS PostgreSQL: the instances that the settings name, each with its databases, reached by IAM
token over TLS only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from infrastructure.config.model import Data, Instance, Restore
from infrastructure.config.naming import MASTER
from infrastructure.iam.roles import PermissionsBoundary, role_of_service
from infrastructure.network.security_groups import allow_traffic, id_when_open, make_group

PORT = 5432
EXPORTED_LOGS = ("postgresql", "upgrade")
# The version whose parameter group has no version in its name.
FIRST_VERSION = "18"


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
    """Locates a database.

    `resource_id` names its instance in `rds-db:connect`; the ARN is of its master secret.
    """

    address: pulumi.Output[str]
    resource_id: pulumi.Output[str]
    master_secret_arn: pulumi.Output[str]
    client_group_id: pulumi.Output[str]


class Databases(pulumi.ComponentResource):
    """Outputs: `hosts` by database, `identifiers` by instance, `admin_group_id`.

    What carries the group `admin_group_id` reaches every instance.
    """

    def __init__(
        self, name: str, args: DatabasesArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("patient:infrastructure:Databases", name, None, opts)
        self.child = pulumi.ResourceOptions(parent=self)
        self.args = args
        self.subnets = aws.rds.SubnetGroup(name, subnet_ids=args.subnet_ids, opts=self.child)
        self.parameters = self.make_parameters(name)
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

    def make_parameters(self, name: str) -> Mapping[str, aws.rds.ParameterGroup]:
        """Returns a parameter group for each version that an instance has or is upgraded from."""
        instances = self.args.data.instances.values()
        versions = {instance.engine_version for instance in instances}
        versions |= {instance.upgraded_from for instance in instances if instance.upgraded_from}
        return {
            version: aws.rds.ParameterGroup(
                name if version == FIRST_VERSION else f"{name}-postgres{version}",
                family=f"postgres{version}",
                parameters=parameters(),
                opts=self.child,
            )
            for version in sorted(versions)
        }

    def open_instance(self, name: str, label: str, instance: Instance) -> dict[str, Host]:
        """Makes the instance, opens it to the release, and returns its databases' hosts."""
        group = make_group(
            f"{name}-{label}", self.args.vpc_id, f"The database instance {label}", self.child
        )
        self.admin_ways += allow_traffic(
            f"{name}-admin-{label}",
            source_id=self.admin.id,
            target_id=group.id,
            port=PORT,
            description="Release to instance",
            opts=self.child,
        )

        identifier = identifier_of(f"{name}-{label}", instance)
        logs = self.make_logs(identifier)
        made = self.make_instance(identifier, label, instance, group, logs)
        self.identifiers[label] = made.identifier

        return {
            database: self.open_database(name, database, made, group)
            for database in sorted(instance.databases)
        }

    def make_logs(self, identifier: str) -> list[aws.cloudwatch.LogGroup]:
        """Makes the log groups that RDS would make itself, without our key and never to expire."""
        return [
            aws.cloudwatch.LogGroup(
                f"{identifier}-{log}",
                name=f"/aws/rds/instance/{identifier}/{log}",
                retention_in_days=self.args.log_retention_days,
                kms_key_id=self.args.key_arn,
                opts=self.child,
            )
            for log in EXPORTED_LOGS
        ]

    def make_instance(
        self,
        identifier: str,
        label: str,
        instance: Instance,
        group: aws.ec2.SecurityGroup,
        logs: Sequence[pulumi.CustomResource],
    ) -> aws.rds.Instance:
        args, data = self.args, self.args.data
        return aws.rds.Instance(
            identifier,
            identifier=identifier,
            engine="postgres",
            engine_version=instance.engine_version,
            allow_major_version_upgrade=True if instance.upgraded_from else None,
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
            vpc_security_group_ids=[group.id],
            parameter_group_name=self.parameters[instance.engine_version].name,
            publicly_accessible=False,
            multi_az=data.multi_az,
            **backup_source(instance.restore),
            # Point-in-time recovery is on wherever backups are kept.
            backup_retention_period=data.backup_retention_days,
            backup_window="03:00-04:00",
            maintenance_window="sun:04:30-sun:05:30",
            # Elsewhere a change is applied at once, or services would roll against a size that
            # comes on Sunday. Production waits for the window.
            apply_immediately=not data.deletion_protection,
            copy_tags_to_snapshot=True,
            delete_automated_backups=not data.deletion_protection,
            deletion_protection=data.deletion_protection,
            skip_final_snapshot=not data.deletion_protection,
            # Snapshots outlive the stack. The subnet group's suffix differs in every life of the
            # stack.
            final_snapshot_identifier=pulumi.Output.concat(
                self.subnets.name, "-", identifier_of(label, instance), "-final"
            )
            if data.deletion_protection
            else None,
            enabled_cloudwatch_logs_exports=list(EXPORTED_LOGS),
            monitoring_interval=60,
            monitoring_role_arn=self.monitoring.arn,
            performance_insights_enabled=data.performance_insights,
            performance_insights_kms_key_id=args.key_arn if data.performance_insights else None,
            opts=pulumi.ResourceOptions.merge(
                self.child,
                pulumi.ResourceOptions(
                    protect=data.deletion_protection,
                    depends_on=[*logs, *self.monitoring.policies],
                ),
            ),
        )

    def open_database(
        self,
        name: str,
        database: str,
        instance: aws.rds.Instance,
        group: aws.ec2.SecurityGroup,
    ) -> Host:
        """Makes the security group that reaches the database's instance, and returns its host."""
        client = make_group(
            f"{name}-{database}-client",
            self.args.vpc_id,
            f"Carried by who reaches {database}",
            self.child,
        )
        rules = allow_traffic(
            f"{name}-{database}",
            source_id=client.id,
            target_id=group.id,
            port=PORT,
            description=f"Client of {database}",
            opts=self.child,
        )
        return Host(
            address=instance.address,
            resource_id=instance.resource_id,
            master_secret_arn=instance.master_user_secrets.apply(
                lambda secrets: str(secrets[0].secret_arn)
            ),
            client_group_id=id_when_open(client, rules),
        )


def identifier_of(name: str, instance: Instance) -> str:
    """Returns the name of this generation of an instance; the first has no number."""
    return name if instance.generation == 1 else f"{name}-{instance.generation}"


def backup_source(restore: Restore | None) -> dict[str, Any]:
    """Returns the arguments that fill a new instance from a backup."""
    if restore is None:
        return {}
    if restore.snapshot is not None:
        return {"snapshot_identifier": restore.snapshot}
    return {
        "restore_to_point_in_time": aws.rds.InstanceRestoreToPointInTimeArgs(
            source_db_instance_identifier=restore.instance,
            restore_time=restore.time,
            use_latest_restorable_time=None if restore.time else True,
        )
    }


def parameters() -> list[aws.rds.ParameterGroupParameterArgs]:
    return [
        # RDS's default since PostgreSQL 15, which it reports as taken on at a start.
        parameter("rds.force_ssl", "1", reboot=True),
        # Statements carry people's data: only what was changed and by whom is logged.
        parameter("log_statement", "ddl"),
        # PostgreSQL 18 takes a list as well; RDS knows the number in every version.
        parameter("log_connections", "1", reboot=True),
        parameter("log_disconnections", "1"),
        parameter("log_min_duration_statement", "1000"),
        parameter("log_parameter_max_length", "0"),
        parameter("log_parameter_max_length_on_error", "0"),
    ]


def parameter(
    name: str, value: str, *, reboot: bool = False
) -> aws.rds.ParameterGroupParameterArgs:
    return aws.rds.ParameterGroupParameterArgs(
        name=name, value=value, apply_method="pending-reboot" if reboot else "immediate"
    )
