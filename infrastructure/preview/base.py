"""The base environment as a preview knows it: its stack's outputs, in which nothing is secret."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from infrastructure.preview.errors import (
    AccessDeniedError,
    PreviewError,
    StackMissingError,
    error_of_aws,
)
from infrastructure.preview.leftovers import Databases, Images, Leftovers, LogGroups, Topics
from infrastructure.preview.names import Preview, RefusedError
from infrastructure.preview.sweep import Tagged

# A Lambda function's own limit, and a little for the answer's way.
RUNNER_TIMEOUT_SECONDS = 15 * 60 + 30
IMAGES_PREFIX = "preview/"
LOG_GROUPS_PREFIX = "/patient-management/"


@dataclass(frozen=True, slots=True)
class Base:
    name: str
    domain: str
    runner: str
    stream_arn: str


class Reads(Protocol):
    def outputs(self, name: str) -> Mapping[str, Any]: ...


def read_base(stacks: Reads, name: str) -> Base:
    """Raises Refusal where the base shows itself to no previews, has them switched off, or is older
    than this.
    """
    try:
        platform = stacks.outputs(name).get("platform")
    except StackMissingError as missing:
        raise RefusedError(
            f"{name} is not shown to previews here: bring it up, then scripts/preview publish "
            f"--base {name}"
        ) from missing
    if not isinstance(platform, dict) or not platform.get("preview_runner_name"):
        raise RefusedError(
            f"{name} takes no previews: set patient-management:previews in Pulumi.{name}.yaml, "
            f"bring it up, publish it"
        )
    if lacks := [key for key in ("domain", "stream_arn") if not platform.get(key)]:
        raise RefusedError(
            f"{name} shows no {', '.join(lacks)}: bring it up by this version and publish it"
        )
    return Base(name, platform["domain"], platform["preview_runner_name"], platform["stream_arn"])


@dataclass(frozen=True, slots=True)
class Runner:
    """The base's runner, which alone reaches the databases.

    It takes an action and a number, never a name.
    """

    function: str
    client: Any

    def run(self, action: str, preview: Preview | None) -> Mapping[str, Any]:
        payload = {"action": action, **({"pr": preview.number} if preview else {})}
        try:
            answer = self.client.invoke(
                FunctionName=self.function, Payload=json.dumps(payload).encode()
            )
            body = json.loads(answer["Payload"].read() or b"null")
        except (BotoCoreError, ClientError) as error:
            raise error_of_aws(f"run {payload}", error) from error
        except ValueError as error:
            raise PreviewError(f"run {payload}: the runner's answer is no JSON") from error
        if "FunctionError" in answer:
            message = body.get("errorMessage", "") if isinstance(body, dict) else ""
            kind = AccessDeniedError if "AccessDenied" in message else PreviewError
            raise kind(f"run {payload}: {message}")
        return body if isinstance(body, dict) else {}


def leftovers_on(base: Base, session: boto3.Session) -> Leftovers:
    patient = Config(read_timeout=RUNNER_TIMEOUT_SECONDS, retries={"total_max_attempts": 1})
    runner = Runner(base.runner, session.client("lambda", config=patient))
    return Leftovers(
        (
            Tagged(session),
            Databases(runner.run),
            Topics(session.client("kafka"), base.stream_arn),
            Images(session.client("ecr"), IMAGES_PREFIX),
            LogGroups(session.client("logs"), LOG_GROUPS_PREFIX),
        )
    )
