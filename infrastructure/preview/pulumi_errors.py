"""Pulumi's errors as those of `errors`, with what went wrong and without the progress before it."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from pulumi import automation

from infrastructure.preview.errors import (
    DENIED,
    IN_USE,
    AccessDeniedError,
    PreviewError,
    ResourceInUseError,
    StackLockedError,
    StackMissingError,
)

# A lock in a bucket names who made it and when: "... created by root@host (pid 7) at
# 2026-01-31T12:00:00Z".
LOCKED_AT = re.compile(r"\(pid \d+\) at (\S+)")
ERROR_CHARACTERS = 3_000
# What went wrong with which resource, until the next heading.
DIAGNOSTICS = re.compile(r"^ *Diagnostics:\n(.*?)(?=^\S|\Z)", re.MULTILINE | re.DOTALL)
# The resource that lines below it are about; the program itself is the stack's.
RESOURCE = re.compile(r"^(?=  \S+ \(.+\):$)", re.MULTILINE)
PROGRAM = "pulumi:pulumi:Stack "
# The program's last words when the engine stops it because of what the other lines say.
STOPPED = re.compile(r"Traceback .*KeyboardInterrupt", re.DOTALL)


@contextmanager
def translated_errors(action: str) -> Iterator[None]:
    try:
        yield
    except automation.CommandError as error:
        raise error_of(action, error) from error
    except json.JSONDecodeError as error:
        raise PreviewError(f"{action}: pulumi answered what is no JSON: {error}") from error


def error_of(action: str, error: automation.CommandError) -> PreviewError:
    text = str(error)
    message = f"{action}: {end_of(text)}"
    if isinstance(error, automation.ConcurrentUpdateError):
        return StackLockedError(message, locked_since(text))
    if isinstance(error, automation.StackNotFoundError):
        return StackMissingError(message)
    if DENIED.search(text):
        return AccessDeniedError(message)
    if IN_USE.search(text):
        return ResourceInUseError(message)
    return PreviewError(message)


def locked_since(text: str) -> datetime | None:
    times = [aware(datetime.fromisoformat(time)) for time in LOCKED_AT.findall(text)]
    return max((time for time in times if time), default=None)


def end_of(text: str) -> str:
    """Returns the error's own lines: the progress before them was shown while it happened."""
    if diagnostics := DIAGNOSTICS.search(text):
        # A program that is stopped since a resource failed says so at length: the cause goes first.
        resources = sorted(
            RESOURCE.split(diagnostics[1]), key=lambda each: each.strip().startswith(PROGRAM)
        )
        return "\n".join(filter(None, map(faults_of, resources)))[:ERROR_CHARACTERS]
    lines = [line.strip().removeprefix("stderr: ") for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if "error:" in line or LOCKED_AT.search(line)]
    return "\n".join(telling or lines)[-ERROR_CHARACTERS:]


def faults_of(resource: str) -> str:
    """Returns the lines about one resource; nothing where there are warnings alone."""
    blocks = [block for block in resource.split("\n\n") if not STOPPED.fullmatch(block.strip())]
    lines = [line.strip() for line in "\n\n".join(blocks).splitlines() if "warning:" not in line]
    told = [line for line in lines if line]
    return "\n".join(told) if len(told) > 1 or not RESOURCE.match(resource) else ""


def aware(time: datetime | None) -> datetime | None:
    return time.replace(tzinfo=UTC) if time and time.tzinfo is None else time
