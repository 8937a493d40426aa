"""Brings one preview up and takes it down. `down` raises LeftBehindError unless nothing is left."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from infrastructure.config.naming import PROJECT
from infrastructure.preview.errors import (
    LeftBehindError,
    PreviewError,
    ResourceInUseError,
    StackLockedError,
    StackMissingError,
)
from infrastructure.preview.leftovers import Leftovers
from infrastructure.preview.names import Preview, RefusedError, preview_of_stack
from infrastructure.preview.settings import AT_ONCE
from infrastructure.preview.stacks import Say, Stacks, StackSummary

T = TypeVar("T")

# Longer than any job may run: the holder of an older lock was killed.
LOCK_STALE_MINUTES = 90
DESTROY_ATTEMPTS = 3
# AWS frees some resources late: network interfaces of a service, a target group behind a rule.
IN_USE_PAUSE_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewRequest:
    """`at_once`: how many previews there may be, this one included.

    `spot`: on spare capacity, which may lack.
    """

    region: str
    lifetime: timedelta
    keep: bool = False
    spot: bool = True
    at_once: int = AT_ONCE


@dataclass(frozen=True, slots=True)
class BroughtUp:
    """A preview that runs.

    `operations` counts what Pulumi did, `outputs` are the stack's, secrets left out.
    """

    preview: Preview
    operations: Mapping[str, int]
    outputs: Mapping[str, Any]
    expires: datetime


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """`leftovers` are looked for on `base`'s platform; a preview of another base is not this
    driver's to touch.
    """

    base: str
    stacks: Stacks
    leftovers: Leftovers
    say: Say
    now: Callable[[], datetime] = field(default=utc_now)
    pause: Callable[[float], None] = field(default=time.sleep)

    def up(self, preview: Preview, wanted: PreviewRequest) -> BroughtUp:
        """Brings the preview up, or up to date, and restarts its lifetime.

        A preview whose last run was killed is taken down first.
        """
        stack, expires = preview.stack, self.now() + wanted.lifetime
        known = self._find(preview)
        if known and (self.stacks.interrupted(stack) or self.stacks.ending(stack)):
            # AWS may hold resources that the state does not know, under the names that this run
            # needs.
            self.say(f"{stack}: its last run did not end; it is taken down first")
            self.down(preview)
            known = None
        self._step(stack, "opened", lambda: self.stacks.open(stack))
        if not known:
            self._take_a_place(stack, wanted.at_once)
        self.stacks.configure(stack, settings(self.base, wanted, expires))
        # A sweep or a person may have deleted resources that the state still has.
        refresh = known is not None and not self.stacks.failed(stack)
        operations = self._step(
            stack, "brought up", lambda: self.stacks.up(stack, self.say, refresh=refresh)
        )
        return BroughtUp(preview, operations, self.stacks.outputs(stack), expires)

    def _take_a_place(self, stack: str, at_once: int) -> None:
        """Raises RefusedError if there are too many previews.

        It counts with the new stack in place: two at once may both be refused, and never is there
        one too many.
        """
        previews = sorted(
            listed.name for listed in self.stacks.listed() if preview_of_stack(listed.name)
        )
        if len(previews) > at_once:
            self.stacks.remove(stack)
            others = ", ".join(name for name in previews if name != stack)
            raise RefusedError(
                f"{stack}: there are {at_once} previews at once at most, and these are: {others}; "
                f"take one down"
                " (scripts/preview down --pr N), wait for the reaper, or set PREVIEWS_AT_ONCE "
                "where the base has room"
            )

    def down(self, preview: Preview) -> None:
        """Takes everything of the preview away and looks whether it is.

        Safe to repeat. Raises LeftBehind, Fault.
        """
        stack = preview.stack
        found = self._find(preview)
        if found:
            self._empty(found, preview)
        failures = self.leftovers.remove(preview)
        left = self.leftovers.find().of(preview).left
        if failures or left:
            # The stack stays, so that the next look finds by it what is left.
            raise LeftBehindError(stack, (*failures, *left))
        if found:
            try:
                self._step(stack, "removed", lambda: self.stacks.remove(stack))
            except StackMissingError:
                self.say(f"{stack}: its stack is gone already")
        self.say(f"{stack}: nothing is left")

    def _empty(self, found: StackSummary, preview: Preview) -> None:
        """Empties the stack. The state may lag behind AWS, so it is refreshed before anything is
        deleted by it.
        """
        stack = found.name
        try:
            killed = self.stacks.interrupted(stack)
            if not found.resources and not killed:
                return
            self._refresh(stack)
            if killed:
                self._sweep(preview)
            self._destroy(preview)
        except StackMissingError:
            self.say(f"{stack}: its stack is gone already")
        except StackLockedError:
            raise
        except PreviewError as fault:
            left = [
                f"{listed.resources} resources in its stack"
                for listed in [self._find(preview)]
                if listed
            ]
            raise LeftBehindError(
                stack, (str(fault), *left, *self.leftovers.find().of(preview).left)
            ) from fault

    def _refresh(self, stack: str) -> None:
        self._step(stack, "refreshed", lambda: self.stacks.refresh(stack, self.say))

    def _sweep(self, preview: Preview) -> None:
        """Sweeps first: a killed run may have made what no state knows of, and what the rest cannot
        go before: a service, its groups.

        What fails here is asked for again, and told, at the end.
        """
        self.leftovers.remove(preview)
        self._refresh(preview.stack)

    def _destroy(self, preview: Preview) -> None:
        stack = preview.stack
        for attempt in range(1, DESTROY_ATTEMPTS + 1):
            try:
                self._step(stack, "destroyed", lambda: self.stacks.destroy(stack, self.say))
            except ResourceInUseError as fault:
                if attempt == DESTROY_ATTEMPTS:
                    raise
                self.say(f"{stack}: {fault}\n{stack}: trying again in {IN_USE_PAUSE_SECONDS:.0f} s")
                self._sweep(preview)
                self.pause(IN_USE_PAUSE_SECONDS)
            else:
                return

    def _find(self, preview: Preview) -> StackSummary | None:
        found = next(
            (listed for listed in self.stacks.listed() if listed.name == preview.stack), None
        )
        if found:
            base = self.stacks.config(preview.stack).get(f"{PROJECT}:base", self.base)
            if base != self.base:
                raise RefusedError(
                    f"{preview.stack} runs on {base}: --base {base}, or take it down there first"
                )
        return found

    def _step(self, stack: str, done: str, step: Callable[[], T]) -> T:
        began = self.now()
        try:
            result = step()
        except StackLockedError as locked:
            if locked.since is None or self.now() - locked.since < timedelta(
                minutes=LOCK_STALE_MINUTES
            ):
                raise
            self.say(
                f"{stack}: its lock is from {locked.since:%Y-%m-%d %H:%M} UTC, whoever held it was "
                f"killed; broken"
            )
            self.stacks.unlock(stack)
            result = step()
        self.say(f"{stack}: {done} in {(self.now() - began).total_seconds():.0f} s")
        return result


def settings(base: str, wanted: PreviewRequest, expires: datetime) -> dict[str, str]:
    return {
        "aws:region": wanted.region,
        f"{PROJECT}:base": base,
        f"{PROJECT}:expires": expires.astimezone(UTC).isoformat(timespec="seconds"),
        f"{PROJECT}:keep": "true" if wanted.keep else "false",
        f"{PROJECT}:spot": "true" if wanted.spot else "false",
    }
