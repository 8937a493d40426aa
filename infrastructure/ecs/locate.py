"""Where the services of an app find what they need on AWS: the catalogue asks, this answers."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

from apps.catalogue import Service, Topic
from infrastructure.config.connections import PREVIEW_POOL_SIZE
from infrastructure.config.platform_outputs import PlatformOutputs
from infrastructure.data.databases import PORT as DATABASE_PORT
from infrastructure.iam.service_roles import ServiceResources

Text = pulumi.Input[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsLocate:
    """`pool_size`: connections, of each service to each of its databases; a preview's is always the
    smallest.
    """

    kind: str
    public_url: Text
    platform: PlatformOutputs
    resources: ServiceResources
    settings: Mapping[str, str]
    pool_size: int = PREVIEW_POOL_SIZE

    def common(self, entry: Service) -> Mapping[str, Text]:
        values: dict[str, Text] = {
            "AWS_DEFAULT_REGION": self.resources.region,
            "AWS_REGION": self.resources.region,
            "ENVIRONMENT": self.kind,
            "HOST": "0.0.0.0",
            "LOG_FORMAT": "json",
            "PORT": str(entry.port),
            "PUBLIC_URL": self.public_url,
        }
        if entry.databases:
            values["DATABASE_IAM"] = "true"
            values["DATABASE_POOL_SIZE"] = str(self.pool_size)
        return values

    def database(self, entry: Service, name: str) -> Text:
        role = self.resources.role(name)
        address = self.platform.database_addresses[name]
        return pulumi.Output.concat(f"postgresql://{role}@", address, f":{DATABASE_PORT}/{role}")

    def broker(self, entry: Service) -> Mapping[str, Text]:
        return {"KAFKA_BOOTSTRAP_SERVERS": self.platform.brokers, "KAFKA_SECURITY": "msk_iam"}

    def topic(self, topic: Topic) -> Text:
        return self.resources.topic(topic.name)

    def consumer_group(self, entry: Service) -> Text:
        return self.resources.group(entry.name)

    def service(self, entry: Service) -> Text:
        """Returns the name that Service Connect gives it inside every task of the namespace."""
        return (
            f"{entry.name}:{entry.port}"
            if entry.protocol == "grpc"
            else f"http://{entry.name}:{entry.port}"
        )

    def setting(self, entry: Service, name: str) -> Text | None:
        if name == "TLS_SELF_SIGNED":
            return "true"
        if name == "TRUSTED_PROXIES":
            return self.platform.trusted_proxies
        return self.settings.get(name)
