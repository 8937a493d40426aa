"""What AWS and Pulumi refuse, as errors that say what to do; and what is no error at all."""

import io
import json
from collections.abc import Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionError, NoCredentialsError
from pulumi import automation

from infrastructure.preview.__main__ import outputs_of
from infrastructure.preview.base import Runner, read_base
from infrastructure.preview.errors import (
    AccessDeniedError,
    PreviewError,
    ResourceInUseError,
    StackLockedError,
    StackMissingError,
)
from infrastructure.preview.leftovers import translated_aws_errors
from infrastructure.preview.names import Preview, RefusedError
from infrastructure.preview.publish import publish
from infrastructure.preview.pulumi_errors import ERROR_CHARACTERS, end_of, translated_errors

pytestmark = pytest.mark.infrastructure
PREVIEW = Preview(7)


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "Call")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (refused("AccessDeniedException"), AccessDeniedError),
        (refused("DependencyViolation"), ResourceInUseError),
        (refused("ThrottlingException"), PreviewError),
        (NoCredentialsError(), AccessDeniedError),
        (ConnectionError(error=OSError("away")), PreviewError),
    ],
)
def test_refusal_of_aws_says_what_was_done(error: Exception, kind: type[Exception]) -> None:
    with pytest.raises(kind, match="look around") as raised, translated_aws_errors("look around"):
        raise error
    assert type(raised.value) is kind


def pulumi_error(kind: type[automation.CommandError], text: str) -> automation.CommandError:
    return kind(automation.CommandResult(stdout="", stderr=text, code=255))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (pulumi_error(automation.CommandError, "error: it broke"), PreviewError),
        (pulumi_error(automation.StackNotFoundError, "error: no stack"), StackMissingError),
        (pulumi_error(automation.ConcurrentUpdateError, "error: locked"), StackLockedError),
        (json.JSONDecodeError("no", "x", 0), PreviewError),
    ],
)
def test_error_of_pulumi_says_what_was_done(error: Exception, kind: type[Exception]) -> None:
    with pytest.raises(kind, match="bring up") as raised, translated_errors("bring up"):
        raise error
    assert type(raised.value) is kind


def test_error_of_pulumi_is_cut_to_what_can_be_read() -> None:
    told = "error: " + "x" * ERROR_CHARACTERS
    assert end_of(told) == told[-ERROR_CHARACTERS:]
    diagnostics = f"Diagnostics:\n  {'y' * (ERROR_CHARACTERS + 1)}\n"
    assert end_of(diagnostics) == "y" * ERROR_CHARACTERS


def test_failed_resource_is_told_before_what_the_stopped_program_says_of_it() -> None:
    stopped = "    Traceback (most recent call last):\n" + "      line of it\n" * ERROR_CHARACTERS
    told = end_of(
        f"Diagnostics:\n  pulumi:pulumi:Stack (p-pr-7):\n    error: update failed\n{stopped}\n"
        "  aws:lb:TargetGroup (gateway):\n    warning: it is old\n\n"
        "  aws:lambda:Invocation (app-release):\n    error: migrate failed\n\n"
        "Resources:\n    7 unchanged\n"
    )
    assert told.splitlines()[:2] == [
        "aws:lambda:Invocation (app-release):",
        "error: migrate failed",
    ]
    assert "error: update failed" in told
    assert "Resources" not in told


class FakeStacks:
    """Stacks by their outputs; any other is missing."""

    def __init__(self, **stacks: Mapping[str, Any]) -> None:
        self.stacks = stacks

    def outputs(self, name: str) -> Mapping[str, Any]:
        if name not in self.stacks:
            raise StackMissingError(f"{name} is missing")
        return self.stacks[name]


PLATFORM = {"domain": "d", "preview_runner_name": "r", "stream_arn": "s"}


@pytest.mark.parametrize(
    ("stacks", "reason"),
    [
        ({}, "is not shown to previews here"),
        ({"dev": {}}, "takes no previews"),
        ({"dev": {"platform": "text"}}, "takes no previews"),
        ({"dev": {"platform": {**PLATFORM, "preview_runner_name": ""}}}, "takes no previews"),
        ({"dev": {"platform": {**PLATFORM, "domain": ""}}}, "shows no domain"),
    ],
)
def test_base_that_takes_no_previews_says_how_it_would(stacks: dict[str, Any], reason: str) -> None:
    assert read_base(FakeStacks(dev={"platform": PLATFORM}), "dev").runner == "r"
    with pytest.raises(RefusedError, match=reason):
        read_base(FakeStacks(**stacks), "dev")


def test_stack_that_was_never_brought_up_says_how_it_is() -> None:
    stacks: Any = FakeStacks()
    with pytest.raises(StackMissingError, match="scripts/preview up --pr 7"):
        outputs_of(stacks, PREVIEW)
    with pytest.raises(StackMissingError, match="pulumi up --stack dev"):
        publish("dev", stacks, stacks)


class FakeLambda:
    def __init__(self, answer: bytes = b"", error: Exception | None = None, **more: str) -> None:
        self.answer = {"Payload": io.BytesIO(answer), **more}
        self.error = error
        self.payloads: list[Any] = []

    def invoke(self, *, FunctionName: str, Payload: bytes) -> Any:
        self.payloads.append(json.loads(Payload))
        if self.error:
            raise self.error
        return self.answer


@pytest.mark.parametrize(
    ("client", "kind"),
    [
        (FakeLambda(b"no JSON"), PreviewError),
        (FakeLambda(error=refused("AccessDeniedException")), AccessDeniedError),
        (FakeLambda(error=ConnectionError(error=OSError("away"))), PreviewError),
        (FakeLambda(b'{"errorMessage": "it broke"}', FunctionError="Unhandled"), PreviewError),
        (FakeLambda(b'"text"', FunctionError="Unhandled"), PreviewError),
        (
            FakeLambda(b'{"errorMessage": "AccessDenied: no"}', FunctionError="Unhandled"),
            AccessDeniedError,
        ),
    ],
)
def test_runner_that_fails_says_what_it_was_to_run(
    client: FakeLambda, kind: type[Exception]
) -> None:
    with pytest.raises(kind, match=r"^run .*drop.*7") as raised:
        Runner("f", client).run("drop", PREVIEW)
    assert type(raised.value) is kind
    assert client.payloads == [{"action": "drop", "pr": 7}]


@pytest.mark.parametrize(
    ("answer", "found"), [(b'{"a": 1}', {"a": 1}), (b"", {}), (b"null", {}), (b"[]", {})]
)
def test_runners_answer_is_an_object(answer: bytes, found: dict[str, Any]) -> None:
    client = FakeLambda(answer)
    assert Runner("f", client).run("list", None) == found
    assert client.payloads == [{"action": "list"}]
