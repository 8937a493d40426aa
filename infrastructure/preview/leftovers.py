"""Finds and deletes what a preview can leave in AWS outside its stack's state, by name or by the
tag on all of it.

A run that was killed leaves resources that no state knows of; a database lies where Pulumi does not
look at all.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from infrastructure.preview.errors import PreviewError, error_of_aws
from infrastructure.preview.names import (
    DATABASE,
    IMAGE_TAG,
    TOPIC,
    Preview,
    preview_of,
    preview_of_stack,
)


@dataclass(frozen=True, slots=True, order=True)
class Leftover:
    """A resource of one preview. `kind`: the place where it is; `name`: its name there."""

    kind: str
    preview: Preview
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


class Kind(Protocol):
    """One place to look.

    Both raise Fault; `remove` takes all of one preview's away and is safe to repeat.
    """

    @property
    def name(self) -> str: ...

    def find(self) -> list[Leftover]: ...

    def remove(self, preview: Preview) -> None: ...


@dataclass(frozen=True, slots=True)
class Found:
    """`unseen`: the places that could not be searched. Nothing may be concluded about them."""

    leftovers: tuple[Leftover, ...]
    unseen: tuple[str, ...]

    def of(self, preview: Preview) -> "Found":
        return Found(
            tuple(leftover for leftover in self.leftovers if leftover.preview == preview),
            self.unseen,
        )

    @property
    def left(self) -> tuple[str, ...]:
        return (*map(str, self.leftovers), *self.unseen)


@dataclass(frozen=True, slots=True)
class Leftovers:
    kinds: tuple[Kind, ...]

    def find(self) -> Found:
        leftovers: list[Leftover] = []
        unseen: list[str] = []
        for kind in self.kinds:
            try:
                leftovers += kind.find()
            except PreviewError as fault:
                unseen.append(f"{kind.name}: not looked at: {fault}")
        return Found(tuple(sorted(leftovers)), tuple(unseen))

    def remove(self, preview: Preview) -> tuple[str, ...]:
        """Deletes all leftovers of one preview, place by place.

        Returns the failures: they do not stop the rest.
        """
        failures = []
        for kind in self.kinds:
            try:
                kind.remove(preview)
            except PreviewError as fault:
                failures.append(f"{kind.name}: {fault}")
        return tuple(failures)


def of(preview: Preview, leftovers: list[Leftover]) -> list[Leftover]:
    return [leftover for leftover in leftovers if leftover.preview == preview]


@contextmanager
def translated_aws_errors(action: str) -> Iterator[None]:
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise error_of_aws(action, error) from error


@dataclass(frozen=True, slots=True)
class Databases:
    """Only the base's runner reaches them.

    It builds every name itself and drops what is a preview's, nothing else.
    """

    run: Callable[[str, Preview | None], Any]
    name: str = "database"

    def find(self) -> list[Leftover]:
        answer = self.run("list", None)
        found = [(preview_of(name, DATABASE), name) for name in answer["databases"]]
        return [Leftover(self.name, preview, name) for preview, name in found if preview]

    def remove(self, preview: Preview) -> None:
        # Without looking first: a look takes the runner as long as the drop, which is safe to
        # repeat.
        self.run("drop", preview)


@dataclass(frozen=True, slots=True)
class Topics:
    kafka: Any
    cluster_arn: str
    name: str = "topic"

    def find(self) -> list[Leftover]:
        with translated_aws_errors("list the topics"):
            pages = self.kafka.get_paginator("list_topics").paginate(ClusterArn=self.cluster_arn)
            names = [topic["TopicName"] for page in pages for topic in page.get("Topics", [])]
        return [
            Leftover(self.name, preview, name)
            for name in names
            if (preview := preview_of(name, TOPIC))
        ]

    def remove(self, preview: Preview) -> None:
        for leftover in of(preview, self.find()):
            with translated_aws_errors(f"delete the topic {leftover.name}"):
                with suppress(
                    self.kafka.exceptions.NotFoundException,
                    self.kafka.exceptions.UnknownTopicOrPartitionException,
                ):
                    self.kafka.delete_topic(ClusterArn=self.cluster_arn, TopicName=leftover.name)


@dataclass(frozen=True, slots=True)
class Images:
    """Tags, in the repositories under `prefix`: an image that two previews tagged stays until both
    are gone.
    """

    ecr: Any
    prefix: str
    name: str = "image"

    def find(self) -> list[Leftover]:
        found = []
        with translated_aws_errors("list the preview images"):
            for page in self.ecr.get_paginator("describe_repositories").paginate():
                for repository in page["repositories"]:
                    if repository["repositoryName"].startswith(self.prefix):
                        found += self._tags(repository["repositoryName"])
        return found

    def _tags(self, repository: str) -> list[Leftover]:
        pages = self.ecr.get_paginator("list_images").paginate(
            repositoryName=repository, filter={"tagStatus": "TAGGED"}
        )
        tags = [image["imageTag"] for page in pages for image in page["imageIds"]]
        return [
            Leftover(self.name, preview, f"{repository}:{tag}")
            for tag in tags
            if (preview := preview_of(tag, IMAGE_TAG))
        ]

    def remove(self, preview: Preview) -> None:
        for leftover in of(preview, self.find()):
            repository, _, tag = leftover.name.partition(":")
            with translated_aws_errors(f"delete the image {leftover.name}"):
                self.ecr.batch_delete_image(repositoryName=repository, imageIds=[{"imageTag": tag}])


@dataclass(frozen=True, slots=True)
class LogGroups:
    """`prefix` ends where the stack's name begins: `/patient-management/`."""

    logs: Any
    prefix: str
    name: str = "log group"

    def find(self) -> list[Leftover]:
        found = []
        with translated_aws_errors("list the log groups"):
            pages = self.logs.get_paginator("describe_log_groups").paginate(
                logGroupNamePrefix=f"{self.prefix}pr-"
            )
            for group in (group["logGroupName"] for page in pages for group in page["logGroups"]):
                stack, delimiter, _ = group.removeprefix(self.prefix).partition("/")
                if delimiter and (preview := preview_of_stack(stack)):
                    found.append(Leftover(self.name, preview, group))
        return found

    def remove(self, preview: Preview) -> None:
        for leftover in of(preview, self.find()):
            with translated_aws_errors(f"delete the log group {leftover.name}"):
                with suppress(self.logs.exceptions.ResourceNotFoundException):
                    self.logs.delete_log_group(logGroupName=leftover.name)
