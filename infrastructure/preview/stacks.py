"""The stacks of previews, through Pulumi's Automation API."""

import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from pulumi import automation

from infrastructure.preview.errors import (
    CommandMissingError,
)
from infrastructure.preview.pulumi_errors import aware, translated_errors

Say = Callable[[str], None]
NO_UPDATE = "no previous deployment"
# What only `down` asks for.
ENDING = ("refresh", "destroy")
# An environment's deployment goes by the same rules.
POLICY_PACK = "infrastructure/policies"


@dataclass(frozen=True, slots=True)
class StackSummary:
    """A stack as the backend lists it. `updated` is None before its first checkpoint."""

    name: str
    updated: datetime | None
    resources: int


class Stacks(Protocol):
    """Each method raises a Fault: Locked, Missing, Denied, InUse where the cause is known."""

    def listed(self) -> list[StackSummary]: ...

    def open(self, name: str) -> None:
        """Makes the stack, or takes the one that is there with the settings of its last update."""
        ...

    def configure(self, name: str, config: Mapping[str, str]) -> None: ...

    def config(self, name: str) -> Mapping[str, str]:
        """Returns the settings of the last update, whoever ran it; empty where there was none."""
        ...

    def outputs(self, name: str) -> Mapping[str, Any]: ...

    def interrupted(self, name: str) -> bool:
        """Tells whether an operation began and nobody knows its end."""
        ...

    def ending(self, name: str) -> bool:
        """Tells whether its end was begun: what was last done to it was a refresh or a destroy."""
        ...

    def failed(self, name: str) -> bool:
        """Tells whether a resource of it is there and failed at its work: a release.

        A refresh would take it for done.
        """
        ...

    def up(self, name: str, say: Say, *, refresh: bool = False) -> Mapping[str, int]:
        """Returns what was done, counted: `{"create": 61, "same": 4}`.

        `refresh`: reads every resource from AWS first.
        """
        ...

    def refresh(self, name: str, say: Say) -> None:
        """Reads every resource from AWS; operations whose end is unknown are dropped from the
        state.
        """
        ...

    def destroy(self, name: str, say: Say) -> None: ...

    def remove(self, name: str) -> None: ...

    def unlock(self, name: str) -> None: ...


class PulumiStacks:
    """The real ones.

    `root` is the project's folder; state lies in `backend`, secrets under `secrets_provider`.
    """

    def __init__(
        self, root: Path, backend: str, secrets_provider: str, environment: Mapping[str, str]
    ) -> None:
        self._root = root
        try:
            self._workspace = automation.LocalWorkspace(
                work_dir=str(root),
                secrets_provider=secrets_provider,
                env_vars={**environment, "PULUMI_BACKEND_URL": backend},
            )
        except FileNotFoundError as error:
            raise CommandMissingError(
                "the pulumi command is not on the PATH: https://www.pulumi.com/docs/install/ (or "
                "`brew install pulumi`)"
            ) from error
        except (automation.InvalidVersionError, subprocess.CalledProcessError) as error:
            raise CommandMissingError(f"the pulumi command cannot be used: {error}") from error

    def listed(self) -> list[StackSummary]:
        with translated_errors("list the stacks"):
            return [
                StackSummary(stack.name, aware(stack.last_update), stack.resource_count or 0)
                for stack in self._workspace.list_stacks()
            ]

    def open(self, name: str) -> None:
        with translated_errors(f"open {name}"):
            try:
                self._workspace.create_stack(name)
            except automation.StackAlreadyExistsError:
                if not self._settings_of_last_update(name) and not self._deployment(name).get(
                    "resources"
                ):
                    # Never updated, so it holds nothing; its secrets' key lies in a file on another
                    # machine.
                    self._workspace.remove_stack(name)
                    self._workspace.create_stack(name)

    def _settings_of_last_update(self, name: str) -> bool:
        self._workspace.select_stack(name)
        try:
            self._workspace.refresh_config(name)
        except automation.CommandError as error:
            # Of a first update that was killed there are resources, and no settings.
            if NO_UPDATE in str(error):
                return False
            raise
        return True

    def configure(self, name: str, config: Mapping[str, str]) -> None:
        with translated_errors(f"configure {name}"):
            values = {key: automation.ConfigValue(value) for key, value in config.items()}
            self._workspace.set_all_config(name, values)

    def config(self, name: str) -> Mapping[str, str]:
        with translated_errors(f"read the settings of {name}"):
            if not self._settings_of_last_update(name):
                return {}
            return {key: value.value for key, value in self._workspace.get_all_config(name).items()}

    def outputs(self, name: str) -> Mapping[str, Any]:
        with translated_errors(f"read the outputs of {name}"):
            return {
                key: output.value
                for key, output in self._workspace.stack_outputs(name).items()
                if not output.secret
            }

    def interrupted(self, name: str) -> bool:
        with translated_errors(f"read the state of {name}"):
            return bool(self._deployment(name).get("pending_operations"))

    def failed(self, name: str) -> bool:
        with translated_errors(f"read the state of {name}"):
            return any(
                resource.get("initErrors")
                for resource in self._deployment(name).get("resources") or ()
            )

    def _deployment(self, name: str) -> Mapping[str, Any]:
        deployment: Mapping[str, Any] = self._workspace.export_stack(name).deployment or {}
        return deployment

    def ending(self, name: str) -> bool:
        with translated_errors(f"read the history of {name}"):
            return any(
                last.kind in ENDING
                for last in self._stack(name).history(page_size=1, show_secrets=False)
            )

    def up(self, name: str, say: Say, *, refresh: bool = False) -> Mapping[str, int]:
        with translated_errors(f"bring up {name}"):
            result = self._stack(name).up(
                on_output=say,
                color="never",
                suppress_outputs=True,
                show_secrets=False,
                refresh=refresh,
                policy_packs=[str(self._root / POLICY_PACK)],
            )
            return {
                str(key): count for key, count in (result.summary.resource_changes or {}).items()
            }

    def refresh(self, name: str, say: Say) -> None:
        with translated_errors(f"refresh {name}"):
            self._settings_of_last_update(name)
            self._stack(name).refresh(
                on_output=say,
                color="never",
                suppress_outputs=True,
                show_secrets=False,
                clear_pending_creates=True,
            )

    def destroy(self, name: str, say: Say) -> None:
        with translated_errors(f"destroy {name}"):
            # Without the program: what a pull request's code says has no part in how its preview
            # goes.
            self._stack(name).destroy(
                on_output=say,
                color="never",
                suppress_outputs=True,
                show_secrets=False,
                run_program=False,
            )

    def remove(self, name: str) -> None:
        with translated_errors(f"remove {name}"):
            # With the copies of its state that a bucket keeps, which the SDK does not ask for.
            arguments = ["stack", "rm", "--yes", "--remove-backups", name]
            self._workspace.pulumi_command.run(
                arguments, self._workspace.work_dir, self._workspace.env_vars
            )

    def held(self, name: str) -> int:
        with translated_errors(f"read the state of {name}"):
            return len(self._deployment(name).get("resources") or ())

    def write_outputs(self, name: str, deployment: Mapping[str, Any]) -> None:
        with translated_errors(f"write {name}"):
            self._workspace.import_stack(
                name, automation.Deployment(version=3, deployment=dict(deployment))
            )

    def unlock(self, name: str) -> None:
        with translated_errors(f"unlock {name}"):
            self._stack(name).cancel()

    def _stack(self, name: str) -> automation.Stack:
        return automation.Stack.select(name, self._workspace)
