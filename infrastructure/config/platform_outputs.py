"""What an app needs of a platform, the same whether it was built in this stack or is read from
another's outputs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import pulumi

from apps.catalogue import DATABASES

Text = pulumi.Output[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformOutputs:
    """Names and ARNs, nothing secret: a master secret's ARN is where it lies, not what it is.

    Mappings are by database name. `authority_arn` and `connect_role_arn` are empty where proxies
    have no TLS.
    """

    account_id: Text
    domain: Text
    vpc_id: Text
    private_subnet_ids: pulumi.Output[list[str]]
    trusted_proxies: Text
    apis_group_id: Text
    key_arn: Text
    listener_arn: Text
    balancer_suffix: Text
    target_group_id: Text
    database_addresses: Mapping[str, Text]
    database_resource_ids: Mapping[str, Text]
    database_group_ids: Mapping[str, Text]
    database_admin_group_id: Text
    brokers: Text
    stream_arn: Text
    stream_name: Text
    stream_group_id: Text
    replication_factor: pulumi.Output[int]
    cluster_arn: Text
    cluster_name: Text
    authority_arn: Text
    connect_role_arn: Text
    notices_arn: Text
    preview_runner_name: Text
    preview_boundary_arn: Text
    repository_urls: pulumi.Output[dict[str, str]]
    preview_repository_urls: pulumi.Output[dict[str, str]]

    def exported(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}


BY_DATABASE = ("database_addresses", "database_resource_ids", "database_group_ids")


def pick(*path: str) -> Callable[[Any], Any]:
    def follow(value: Any) -> Any:
        for key in path:
            value = value[key]
        return value

    return follow


class PlatformRef:
    """The platform of a base environment, read from its stack's outputs. It makes nothing."""

    def __init__(self, base: str) -> None:
        # In the same organization and project, whoever runs it.
        reference = pulumi.StackReference(
            f"{pulumi.get_organization()}/{pulumi.get_project()}/{base}"
        )
        self.reference = reference
        platform = reference.require_output("platform")

        def read(name: str) -> Any:
            if name in BY_DATABASE:
                return {database: platform.apply(pick(name, database)) for database in DATABASES}
            return platform.apply(pick(name))

        self.outputs = PlatformOutputs(
            **{field.name: read(field.name) for field in fields(PlatformOutputs)}
        )
        self.images: pulumi.Output[dict[str, dict[str, str]]] = reference.require_output("images")

    async def sources(self) -> dict[str, str]:
        """Returns the digests of what the base's images were made of; empty where
        it has none yet.
        """
        details = await self.reference.get_output_details("images")
        return {image: made["source"] for image, made in (details.value or {}).items()}
