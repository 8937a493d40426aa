"""A cloud, a backend of stacks on it and the places that the driver looks at; with the failures of
the real ones.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from infrastructure.preview.driver import Driver
from infrastructure.preview.errors import (
    AccessDeniedError,
    PreviewError,
    ResourceInUseError,
    StackLockedError,
    StackMissingError,
)
from infrastructure.preview.leftovers import Leftover, Leftovers
from infrastructure.preview.names import Preview, preview_of_stack
from infrastructure.preview.stacks import Say, StackSummary

# In the order in which a preview's up makes them; a database is the runner's, so no state ever
# knows of it.
MADE = ("role", "log group", "topic", "database", "image", "service")


class Killed(BaseException):
    """The process ends here: nothing after it runs, no lock is given back."""


@dataclass(slots=True)
class Clock:
    time: datetime = datetime(2026, 1, 31, 12, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    def pass_(self, delta: timedelta) -> None:
        self.time += delta


@dataclass(slots=True)
class Cloud:
    """What really lies in AWS: `(kind, stack)`.

    The base's own are there from the start and must stay.
    """

    resources: set[tuple[str, str]] = field(
        default_factory=lambda: {(kind, "dev") for kind in MADE}
    )

    def of_previews(self) -> set[tuple[str, str]]:
        return {resource for resource in self.resources if preview_of_stack(resource[1])}


@dataclass(slots=True)
class State:
    config: dict[str, str] = field(default_factory=dict)
    # The config of the last update that ended, which is all that another machine can read.
    recorded: dict[str, str] = field(default_factory=dict)
    known: list[str] = field(default_factory=list)
    pending: bool = False
    # Of the database, which is there, and whose release failed.
    failed: bool = False
    # What its history says was done last, whether or not it ended well.
    last: str = ""
    locked_since: datetime | None = None
    updated: datetime | None = None


@dataclass(slots=True)
class FakeStacks:
    """`fail` lets a step to come raise what the real one would: a Fault, or Killed before or after
    it acted.
    """

    cloud: Cloud
    clock: Clock
    states: dict[str, State] = field(default_factory=dict)
    trouble: dict[str, list[BaseException]] = field(default_factory=dict)
    calls: list[tuple[str, str]] = field(default_factory=list)
    # What somebody else does right after the stacks were listed.
    after_listing: Callable[[], None] = lambda: None

    def fail(self, step: str, error: BaseException, times: int = 1) -> None:
        self.trouble.setdefault(step, []).extend([error] * times)

    def listed(self) -> list[StackSummary]:
        self._step("list", "")
        listed = [
            StackSummary(name, state.updated, len(state.known))
            for name, state in self.states.items()
        ]
        self.after_listing()
        return listed

    def open(self, name: str) -> None:
        self._step("open", name)
        self._unlocked(self.states.setdefault(name, State()), name)

    def configure(self, name: str, config: Mapping[str, str]) -> None:
        self._state(name).config.update(config)

    def config(self, name: str) -> Mapping[str, str]:
        self._step("config", name)
        return self._state(name).recorded

    def outputs(self, name: str) -> Mapping[str, Any]:
        return {"url": f"https://{name}.dev.example.org"} if self._state(name).known else {}

    def interrupted(self, name: str) -> bool:
        self._step("look", name)
        return self._state(name).pending

    def ending(self, name: str) -> bool:
        self._step("look", name)
        return self._state(name).last in ("refresh", "destroy")

    def failed(self, name: str) -> bool:
        self._step("look", name)
        return self._state(name).failed

    def up(self, name: str, say: Say, *, refresh: bool = False) -> Mapping[str, int]:
        state = self._lock("up", name)
        # A refresh takes a release that failed for done: it would not run again.
        assert not (refresh and state.failed)
        state.failed = False
        if refresh:
            state.known = [kind for kind in state.known if (kind, name) in self.cloud.resources]
        for kind in MADE:
            if kind in state.known:
                continue
            self._resource_step(state, f"make {kind}", partial(self._make, kind, name))
            state.known.append(kind)
            state.updated = self.clock.now()
        self._done(state, "up")
        return {"create": len(MADE)}

    def _make(self, kind: str, name: str) -> None:
        if (kind, name) in self.cloud.resources and kind in ("log group", "topic", "service"):
            raise PreviewError(f"{kind} of {name} already exists")
        self.cloud.resources.add((kind, name))

    def refresh(self, name: str, say: Say) -> None:
        state = self._lock("refresh", name)
        state.known = [kind for kind in state.known if (kind, name) in self.cloud.resources]
        state.pending = False
        self._done(state, "refresh")

    def destroy(self, name: str, say: Say) -> None:
        state = self._lock("destroy", name)
        for kind in reversed(list(state.known)):
            if kind not in ("database", "image"):
                self._resource_step(
                    state, f"unmake {kind}", partial(self._unmake, kind, name), "destroy"
                )
            state.known.remove(kind)
        self._done(state, "destroy")

    def _unmake(self, kind: str, name: str) -> None:
        # A service holds on to its role and its groups, whether or not a state knows of it.
        if kind == "role" and ("service", name) in self.cloud.resources:
            raise IN_USE
        self.cloud.resources.discard((kind, name))

    def remove(self, name: str) -> None:
        self._step("remove", name)
        self._unlocked(self._state(name), name)
        if self._state(name).known:
            raise PreviewError(f"{name} still has resources")
        del self.states[name]

    def unlock(self, name: str) -> None:
        self._step("unlock", name)
        self._state(name).locked_since = None

    def _state(self, name: str) -> State:
        if name not in self.states:
            raise StackMissingError(f"no stack named '{name}' found")
        return self.states[name]

    def _step(self, step: str, name: str) -> None:
        self.calls.append((step, name))
        if self.trouble.get(step):
            raise self.trouble[step].pop(0)

    def _lock(self, step: str, name: str) -> State:
        state = self._state(name)
        self._unlocked(state, name)
        self._step(step, name)
        state.locked_since = self.clock.now()
        return state

    def _unlocked(self, state: State, name: str) -> None:
        if state.locked_since:
            raise StackLockedError(f"the stack {name} is currently locked", state.locked_since)

    def _done(self, state: State, what: str) -> None:
        state.recorded, state.locked_since, state.updated = (
            dict(state.config),
            None,
            self.clock.now(),
        )
        state.last = what

    def _resource_step(
        self, state: State, step: str, act: Callable[[], None], what: str = "up"
    ) -> None:
        """A process that is killed may have acted already: the checkpoint says only that it was
        about to.
        """
        state.pending = True
        try:
            self._step(step, "")
            act()
        except Killed as killed:
            if killed.args == ("after",):
                act()
            raise
        except PreviewError:
            state.pending = False
            self._done(state, what)
            raise
        state.pending = False


@dataclass(slots=True)
class FakeKind:
    """One place to look, in the fake cloud."""

    name: str
    cloud: Cloud
    faults: list[PreviewError] = field(default_factory=list)

    def find(self) -> list[Leftover]:
        if self.faults:
            raise self.faults.pop(0)
        found = [
            (preview_of_stack(stack), stack)
            for kind, stack in self.cloud.resources
            if kind == self.name
        ]
        return [
            Leftover(self.name, preview, f"{self.name} of {stack}")
            for preview, stack in found
            if preview
        ]

    def remove(self, preview: Preview) -> None:
        if self.faults:
            raise self.faults.pop(0)
        self.cloud.resources.discard((self.name, preview.stack))


@dataclass
class World:
    clock: Clock = field(default_factory=Clock)
    cloud: Cloud = field(default_factory=Cloud)
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.stacks = FakeStacks(self.cloud, self.clock)
        self.kinds = {kind: FakeKind(kind, self.cloud) for kind in MADE}
        self.driver = self.driver_of("dev")

    def driver_of(self, base: str) -> Driver:
        return Driver(
            base=base,
            stacks=self.stacks,
            leftovers=Leftovers(tuple(self.kinds.values())),
            say=self.said.append,
            now=self.clock.now,
            pause=lambda seconds: self.clock.pass_(timedelta(seconds=seconds)),
        )


DENIED = AccessDeniedError("AccessDenied: not authorized to perform: ecs:DeleteService")
IN_USE = ResourceInUseError("DependencyViolation: resource sg-1 has a dependent object")
