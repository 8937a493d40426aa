"""ECR repositories and the services' images: built if their source changed, otherwise taken from
another stack.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pulumi
import pulumi_aws as aws
import pulumi_docker_build as docker
import pulumi_random as random

from infrastructure.config.files import ROOT
from infrastructure.ecs.image_source import IMAGES, source_digest, version_of
from infrastructure.iam.roles import document
from infrastructure.iam.service_roles import PULL

CACHE_TAG = "cache-main"
UNTAGGED_DAYS = 14
# Long, because a kept preview may run an old image: only what was left behind is to go.
PREVIEW_DAYS = 90
TAG_PREFIX = "source-"
# A tag is a change of the service's source. Production runs one of the newest.
KEPT_IMAGES = 100
CONTEXTS = Path("build/images")


class Repositories(pulumi.ComponentResource):
    """Outputs: `urls` and `preview_urls` by service.

    Those of `urls` survive the stack, for others run their images.

    `life`: generation of the repositories; from 2 on they are imported. `readers`: other accounts
    that pull the images.
    """

    def __init__(
        self,
        name: str,
        key_arn: pulumi.Input[str],
        life: int,
        readers: Sequence[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("patient:infrastructure:Repositories", name, None, opts)
        self.key_arn = key_arn
        self.life = life
        self.readers = readers
        self.urls: Mapping[str, pulumi.Output[str]] = {
            service: self.repository(f"patient-management/{service}", keep=True)
            for service in IMAGES
        }
        self.preview_urls: Mapping[str, pulumi.Output[str]] = {
            service: self.repository(f"preview/{service}", keep=False) for service in IMAGES
        }
        self.register_outputs({})

    def repository(self, name: str, *, keep: bool) -> pulumi.Output[str]:
        made = aws.ecr.Repository(
            name.replace("/", "-"),
            name=name,
            image_tag_mutability="IMMUTABLE_WITH_EXCLUSION",
            image_tag_mutability_exclusion_filters=[
                aws.ecr.RepositoryImageTagMutabilityExclusionFilterArgs(
                    filter="cache-*", filter_type="WILDCARD"
                )
            ],
            image_scanning_configuration=aws.ecr.RepositoryImageScanningConfigurationArgs(
                scan_on_push=True
            ),
            # Kept images must stay readable after the environment's key is deleted; they hold
            # nothing secret.
            encryption_configurations=[
                aws.ecr.RepositoryEncryptionConfigurationArgs(encryption_type="AES256")
                if keep
                else aws.ecr.RepositoryEncryptionConfigurationArgs(
                    encryption_type="KMS", kms_key=self.key_arn
                )
            ],
            # Set only when true: AWS does not store `force_delete`, and an imported repository must
            # equal what is declared.
            force_delete=None if keep else True,
            opts=pulumi.ResourceOptions(
                parent=self, retain_on_delete=keep, import_=name if keep and self.life > 1 else None
            ),
        )
        aws.ecr.LifecyclePolicy(
            name.replace("/", "-"),
            repository=made.name,
            policy=json.dumps(
                {
                    "rules": [expire("untagged", UNTAGGED_DAYS), keep_newest(2, KEPT_IMAGES)]
                    if keep
                    else [expire("any", PREVIEW_DAYS)]
                },
                sort_keys=True,
            ),
            opts=pulumi.ResourceOptions(parent=made),
        )
        if keep and self.readers:
            principals = [f"arn:aws:iam::{account}:root" for account in sorted(self.readers)]
            pull = {
                "Sid": "Pull",
                "Effect": "Allow",
                "Principal": {"AWS": principals},
                "Action": PULL,
            }
            aws.ecr.RepositoryPolicy(
                name.replace("/", "-"),
                repository=made.name,
                policy=document([pull]),
                opts=pulumi.ResourceOptions(parent=made),
            )
        return made.repository_url


def expire(status: str, days: int) -> dict[str, object]:
    return {
        "rulePriority": 1,
        "selection": {
            "tagStatus": status,
            "countType": "sinceImagePushed",
            "countUnit": "days",
            "countNumber": days,
        },
        "action": {"type": "expire"},
    }


def keep_newest(priority: int, count: int) -> dict[str, object]:
    """Returns the rule that expires built images but the newest `count`."""
    return {
        "rulePriority": priority,
        "selection": {
            "tagStatus": "tagged",
            "tagPrefixList": [TAG_PREFIX],
            "countType": "imageCountMoreThan",
            "countNumber": count,
        },
        "action": {"type": "expire"},
    }


@dataclass(frozen=True, slots=True)
class ImageSet:
    """`refs` by service, each `repository:tag@sha256:...`; `sources`: digests of the files that
    each was built from.
    """

    refs: Mapping[str, pulumi.Output[str]]
    sources: Mapping[str, pulumi.Output[str]]

    def exported(self) -> dict[str, dict[str, pulumi.Output[str]]]:
        return {
            service: {"ref": self.refs[service], "source": self.sources[service]}
            for service in sorted(self.refs)
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildArgs:
    """`tag_prefix` tells a preview's images.

    Only main writes the cache; `cache_urls` is read by all.
    """

    urls: pulumi.Output[dict[str, str]]
    cache_urls: pulumi.Output[dict[str, str]]
    writes_cache: bool
    tag_prefix: str = ""


class Images(pulumi.ComponentResource):
    """Builds and pushes the images of `services`. Output: `set`."""

    def __init__(
        self,
        name: str,
        services: tuple[str, ...],
        args: BuildArgs,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("patient:infrastructure:Images", name, None, opts)
        refs = {service: self.build(service, args).ref for service in services}
        self.set = ImageSet(
            refs={service: refs[service] for service in services},
            sources={
                service: pulumi.Output.from_input(source_digest(service)) for service in services
            },
        )
        self.register_outputs({})

    def build(self, service: str, args: BuildArgs) -> docker.Image:
        url = args.urls.apply(lambda urls: urls[service])
        cache = pulumi.Output.concat(
            args.cache_urls.apply(lambda urls: urls[service]), ":", CACHE_TAG
        )
        # Relative to the working directory, so that the path is the same in every checkout.
        context = os.path.relpath(ROOT / CONTEXTS / service)
        source = source_digest(service)
        # Tags are immutable, and two builds of one source differ in their bytes. So each build has
        # a tag of its own, also after a return to an earlier source or in repositories of another
        # generation.
        build = random.RandomId(
            f"image-{service}",
            byte_length=4,
            keepers={"source": source},
            opts=pulumi.ResourceOptions(parent=self),
        )
        token = aws.ecr.get_authorization_token_output()
        return docker.Image(
            f"image-{service}",
            context=docker.BuildContextArgs(location=context),
            dockerfile=docker.DockerfileArgs(location=f"{context}/apps/Dockerfile"),
            # No commit id and no time: they would change the image without a change of its source.
            build_args={"SERVICE": service, "SERVICE_VERSION": version_of(source)},
            # Without it two previews of one source would share a digest, and the end of one would
            # delete it.
            labels={"preview": args.tag_prefix.rstrip("-")} if args.tag_prefix else None,
            platforms=[docker.Platform.LINUX_ARM64],
            push=True,
            build_on_preview=False,
            tags=[
                pulumi.Output.concat(
                    url, f":{args.tag_prefix}{TAG_PREFIX}{source[:20]}-", build.hex
                )
            ],
            cache_from=[docker.CacheFromArgs(registry=docker.CacheFromRegistryArgs(ref=cache))],
            cache_to=[
                docker.CacheToArgs(
                    registry=docker.CacheToRegistryArgs(
                        ref=cache,
                        mode=docker.CacheMode.MAX,
                        image_manifest=True,
                        oci_media_types=True,
                    )
                )
            ]
            if args.writes_cache
            else None,
            registries=[
                docker.RegistryArgs(
                    address=url.apply(lambda text: text.split("/")[0]),
                    username=token.user_name,
                    password=pulumi.Output.secret(token.password),
                )
            ],
            # The provider would delete main's images with the stack, while other environments run
            # them.
            opts=pulumi.ResourceOptions(parent=self, retain_on_delete=args.writes_cache),
        )


def taken_over(
    images: pulumi.Output[Mapping[str, Mapping[str, str]]], services: tuple[str, ...]
) -> ImageSet:
    """Returns the images that another stack built, by digest, from its exported `images`."""

    def pick(service: str, key: str) -> pulumi.Output[str]:
        return images.apply(lambda exported: exported[service][key])

    return ImageSet(
        refs={service: pick(service, "ref") for service in services},
        sources={service: pick(service, "source") for service in services},
    )
