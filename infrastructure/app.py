"""The app: the catalogue's services on a platform, the same code for an environment and for a
preview.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pulumi
import pulumi_aws as aws

from apps.catalogue import (
    PREVIEW_CLIENT,
    SERVICES,
    TOPICS,
    TRIAL_CLIENT_SECRET,
    TRIAL_PASSWORD,
    TRIAL_USER,
    Replicas,
    Resources,
    Service,
    environment,
)
from infrastructure.app_network import allow_calls, make_service_groups, open_outbound
from infrastructure.app_release import Release, ReleaseArgs, make_release
from infrastructure.config import connections
from infrastructure.config.model import EnvironmentStack, PreviewStack, Stack
from infrastructure.config.naming import names_of
from infrastructure.config.platform_outputs import PlatformOutputs
from infrastructure.data.msk import make_topic
from infrastructure.data.secrets import make_secrets
from infrastructure.ecs.image_source import RELEASE
from infrastructure.ecs.images import ImageSet
from infrastructure.ecs.locate import AwsLocate
from infrastructure.ecs.monitoring import dashboard
from infrastructure.ecs.release_task import invoke
from infrastructure.ecs.service import EcsService
from infrastructure.ecs.service_args import PublicRoute, ServiceArgs
from infrastructure.iam.roles import PermissionsBoundary
from infrastructure.iam.service_roles import ServiceResources, answers_arn
from infrastructure.network.edges import in_order

Text = pulumi.Input[str]
PREVIEW_LOG_DAYS = 3
PREVIEW_REPLICAS = Replicas(1, 1)
# One reviewer at a time: the smallest size that Fargate has.
PREVIEW_RESOURCES = Resources(256, 512)


@dataclass(frozen=True, slots=True, kw_only=True)
class AppArgs:
    """`boundary`: of every role that the app makes.

    `masters`: ARNs of the databases' master secrets.

    A preview has no `masters`.
    """

    stack: Stack
    platform: PlatformOutputs
    images: ImageSet
    boundary: PermissionsBoundary
    masters: Mapping[str, Text]


class App(pulumi.ComponentResource):
    """Outputs: `url`."""

    def __init__(
        self, name: str, args: AppArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("patient:infrastructure:App", name, None, opts)
        self.child = pulumi.ResourceOptions(parent=self)
        self.args, self.stack, self.platform = args, args.stack, args.platform
        self.names = names_of(args.stack)
        self.host = self.find_host()
        self.url = pulumi.Output.concat("https://", self.host)
        self.resources = ServiceResources(
            region=self.stack.region,
            account_id=self.platform.account_id,
            key_arn=self.platform.key_arn,
            stream_arn=self.platform.stream_arn,
            resource_ids=self.platform.database_resource_ids,
            role=self.names.role,
            topic=self.names.topic,
            group=self.names.topic,
            answers_arn=answers_arn(self.stack.region, self.platform.account_id, self.names.stack)
            if isinstance(self.stack, EnvironmentStack)
            else None,
        )
        self.namespace = aws.servicediscovery.HttpNamespace(
            name, name=f"{self.names.stack}.patient-management", opts=self.child
        )
        self.secrets = make_secrets(
            self.names, self.stack, key_arn=self.platform.key_arn, opts=self.protected_options
        )
        topics = self.make_topics()
        self.release = self.make_release(name)
        self.services = self.start_services([*topics, self.release.invocation])
        if isinstance(self.stack, EnvironmentStack):
            self.await_services(name)
            self.show()
        self.register_outputs({"url": self.url})

    def find_host(self) -> Text:
        if isinstance(self.stack, PreviewStack):
            return pulumi.Output.concat(self.stack.name, ".", self.platform.domain)
        return self.stack.config.domain

    @property
    def sign_in(self) -> dict[str, pulumi.Input[str]]:
        """Tells who enters a preview, and the places where the secrets lie."""
        return {
            "user": TRIAL_USER,
            "password_arn": self.secrets[TRIAL_PASSWORD.name],
            "client_id": PREVIEW_CLIENT,
            "client_secret_arn": self.secrets[TRIAL_CLIENT_SECRET.name],
        }

    @property
    def running(self) -> dict[str, dict[str, pulumi.Output[str]]]:
        """Returns what ECS runs, if it runs what was declared."""
        return {
            name: {"name": each.service_name, "definition": each.definition}
            for name, each in self.services.items()
        }

    @property
    def protected(self) -> bool:
        """Returns whether a deployment may not delete what holds data."""
        return isinstance(self.stack, EnvironmentStack) and self.stack.config.deletion_protection

    @property
    def protected_options(self) -> pulumi.ResourceOptions:
        """Returns the options of what cannot be made again as it was."""
        return pulumi.ResourceOptions.merge(
            self.child, pulumi.ResourceOptions(protect=self.protected)
        )

    def make_topics(self) -> list[pulumi.Resource]:
        preview = isinstance(self.stack, PreviewStack)
        return [
            make_topic(
                self.names.topic(topic.name),
                topic=topic,
                name=self.names.topic(topic.name),
                retention_ms=topic.preview_retention_ms if preview else topic.retention_ms,
                cluster_arn=self.platform.stream_arn,
                replication_factor=self.platform.replication_factor,
                opts=self.protected_options,
            )
            for topic in TOPICS.values()
        ]

    def make_release(self, name: str) -> Release:
        args = ReleaseArgs(
            stack=self.stack,
            platform=self.platform,
            names=self.names,
            resources=self.resources,
            image=self.args.images.refs[RELEASE],
            public_url=self.url,
            secrets=self.secrets,
            masters=self.args.masters,
            log_days=self.log_days,
            boundary=self.args.boundary,
            secrets_version=self.secrets_version,
        )
        return make_release(name, args, self.child)

    @property
    def log_days(self) -> int:
        return (
            self.stack.config.log_retention_days
            if isinstance(self.stack, EnvironmentStack)
            else PREVIEW_LOG_DAYS
        )

    def start_services(self, after: list[pulumi.Resource]) -> dict[str, EcsService]:
        stack, prefix = self.stack, self.names.stack
        own = make_service_groups(prefix, self.platform.vpc_id, self.child)
        rules = [
            *allow_calls(prefix, own, self.child),
            *open_outbound(prefix, stack, own["auth"], self.child),
        ]
        size = (
            stack.config.data.pool_size
            if isinstance(stack, EnvironmentStack)
            else connections.PREVIEW_POOL_SIZE
        )
        locate = AwsLocate(
            kind=stack.kind,
            public_url=self.url,
            platform=self.platform,
            resources=self.resources,
            settings=stack.config.app,
            pool_size=size,
        )
        started: dict[str, EcsService] = {}
        for entry in in_order(SERVICES):
            args = self.service_args(entry, own[entry.name], locate)
            called = [started[each] for each in entry.calls]
            started[entry.name] = EcsService(
                f"{prefix}-{entry.name}", args, [*after, *rules, *called], self.child
            )
        return started

    def service_args(self, entry: Service, own_group: Text, locate: AwsLocate) -> ServiceArgs:
        platform, stack = self.platform, self.stack
        groups: list[Text] = [own_group, platform.apis_group_id]
        groups += [platform.database_group_ids[database] for database in entry.databases]
        if entry.uses_broker:
            groups.append(platform.stream_group_id)
        if entry.public:
            groups.append(platform.target_group_id)
        preview = isinstance(stack, PreviewStack)
        return ServiceArgs(
            entry=replace(entry, resources=PREVIEW_RESOURCES) if preview else entry,
            stack=stack.name,
            platform=platform,
            resources=self.resources,
            image=self.args.images.refs[entry.name],
            environment={**environment(entry, locate), **self.secrets_environment(entry)},
            secrets={secret: self.secrets[secret] for secret in entry.secrets},
            groups=groups,
            namespace_arn=self.namespace.arn,
            log_group_name=self.names.log(entry.name),
            log_retention_days=self.log_days,
            replicas=replicas(entry, stack),
            spot=stack.config.spot,
            # A preview waits for its gateway, and its tests ask every service; an environment's
            # runner waits for all services at once.
            steady=preview and entry.public,
            watched=isinstance(stack, EnvironmentStack),
            insights=isinstance(stack, EnvironmentStack) and stack.config.insights,
            boundary=self.args.boundary,
            public_route=PublicRoute(host=self.host, priority=self.names.priority)
            if entry.public
            else None,
        )

    def await_services(self, name: str) -> None:
        """Has the runner wait until every service runs what was declared.

        The services were made in the order of their calls, for Service Connect tells a task only
        of names that there were at its start. Their deployments go on side by side.
        """
        services = pulumi.Output.all(
            *(
                pulumi.Output.all(each.service_name, each.definition)
                for each in self.services.values()
            )
        ).apply(dict)
        payload = {"action": "steady", "services": services}
        invoke(f"{name}-steady", self.release.runner_name, payload, self.child)

    @property
    def secrets_version(self) -> int:
        stack = self.stack
        return stack.config.secrets_version if isinstance(stack, EnvironmentStack) else 1

    def secrets_environment(self, entry: Service) -> dict[str, Text]:
        """Returns what changes a task's definition with its secrets: ECS reads them at a start
        only.
        """
        if self.secrets_version == 1 or not entry.secrets:
            return {}
        return {"SECRETS_VERSION": str(self.secrets_version)}

    def show(self) -> None:
        dashboard(
            f"patient-{self.names.stack}",
            region=self.stack.region,
            platform=self.platform,
            services={service: started.service_name for service, started in self.services.items()},
            consumers=[
                (self.names.topic(entry.name), self.names.topic(topic))
                for entry in SERVICES.values()
                for topic in entry.consumes
            ],
            opts=self.child,
        )


def replicas(entry: Service, stack: Stack) -> Replicas:
    """Returns the catalogue's, narrowed by the environment."""
    if isinstance(stack, PreviewStack):
        return PREVIEW_REPLICAS
    return connections.replicas(entry, stack.config, production=stack.production)
