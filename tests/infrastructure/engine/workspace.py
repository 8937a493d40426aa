"""A project's folder, an empty state and a `pulumi` whose providers are ours, to bring the program
up with.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from infrastructure.preview.names import Preview
from tests.infrastructure.engine.inventory import Census, count
from tests.infrastructure.engine.server import Account, serve
from tests.infrastructure.fake_aws.moto_resources import REGION

ROOT = Path(__file__).parents[3]
LIMIT_SECONDS = 300
END_SECONDS = 30
PROVIDERS = {
    "aws": "provider aws",
    "docker-build": "provider docker-build",
    "random": "provider random",
    "awsx": "vpc",
}
# The command on another folder than the checkout, whose stacks are somebody's own.
COMMAND = """
import os, sys
from pathlib import Path
from infrastructure.preview import __main__ as command
command.ROOT = Path(sys.argv[1])
sys.exit(command.main(sys.argv[2:], os.environ))
"""


class Workspace:
    """`folder` is the project's; environments' state and previews' state lie apart, as on AWS."""

    def __init__(
        self, place: Path, policies_environment: Path, account: Account, endpoint: str
    ) -> None:
        self.account = account
        self.folder, self.environments, self.previews = (
            place / "project",
            place / "environments",
            place / "previews",
        )
        commands = place / "commands"
        for folder in (self.folder, self.environments, self.previews, commands):
            folder.mkdir()
        for file in ROOT.glob("Pulumi*.yaml"):
            if not file.name.startswith("Pulumi.pr-"):
                shutil.copy(file, self.folder)
        (self.folder / "infrastructure").symlink_to(ROOT / "infrastructure")
        (self.folder / ".venv").symlink_to(sys.prefix)
        (self.folder / policies_environment.name).symlink_to(policies_environment)
        for package, module in PROVIDERS.items():
            command = commands / f"pulumi-resource-{package}"
            # Whoever has the real awsx may see its layout of a VPC: it needs no AWS of its own.
            if package != "awsx" or shutil.which(command.name) is None:
                # The engine starts it in infrastructure/, whose modules are no top-level ones (-P).
                command.write_text(
                    f"#!/bin/sh\nexec {sys.executable} -P -m tests.infrastructure.engine.{module} "
                    f'"$@"\n'
                )
                command.chmod(0o755)
        self.environment = {
            **os.environ,
            "PATH": f"{commands}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "AWS_ENDPOINT_URL": endpoint,
            "BASE_IMAGE": f"registry.example.org/python:3.14@sha256:{'0' * 64}",
            "AWS_REGION": REGION,
            "PULUMI_HOME": str(place / "home"),
            "PULUMI_BACKEND_URL": f"file://{self.environments}",
            "PULUMI_CONFIG_PASSPHRASE": "of the tests",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        }

    def pulumi(
        self,
        *arguments: str,
        project: Path | None = None,
        backend: Path | None = None,
        fails: bool = False,
    ) -> str:
        """What it said, errors too. `fails`: it is expected to."""
        command = ["pulumi", "--non-interactive", "--color", "never", *arguments]
        return self.run(
            command,
            project or self.folder,
            {"PULUMI_BACKEND_URL": backend or self.environments},
            fails,
        )

    def preview(self, *arguments: str, backend: Path | None = None, fails: bool = False) -> str:
        command = [sys.executable, "-c", COMMAND, str(self.folder), *arguments]
        return self.run(command, ROOT, {"PREVIEW_BACKEND_URL": backend or self.previews}, fails)

    def run(
        self, command: list[str], folder: Path, backends: Mapping[str, Path], fails: bool
    ) -> str:
        with subprocess.Popen(
            command,
            cwd=folder,
            env={
                **self.environment,
                **{name: f"file://{backend}" for name, backend in backends.items()},
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as running:
            try:
                said, _ = running.communicate(timeout=LIMIT_SECONDS)
            except subprocess.TimeoutExpired:
                # So the engine ends its providers too.
                running.terminate()
                try:
                    said, _ = running.communicate(timeout=END_SECONDS)
                except subprocess.TimeoutExpired:
                    running.kill()
                    said, _ = running.communicate(timeout=END_SECONDS)
                raise AssertionError(f"no end in {LIMIT_SECONDS} s:\n{said}") from None
        assert (running.returncode != 0) == fails, said
        return said

    def outputs(self, stack: str) -> dict[str, Any]:
        text = self.pulumi("stack", "output", "--json", "--stack", stack)
        outputs: dict[str, Any] = json.loads(text)
        return outputs

    def resources(self, stack: str) -> list[dict[str, Any]]:
        text = self.pulumi("stack", "export", "--stack", stack)
        resources: list[dict[str, Any]] = json.loads(text)["deployment"]["resources"]
        return resources

    def files(self, folder: Path) -> str:
        """All that is written there, history and settings included."""
        return "\n".join(path.read_text() for path in folder.rglob("*") if path.is_file())

    def settings_of(self, preview: Preview) -> Path:
        return self.folder / f"Pulumi.{preview.stack}.yaml"

    def census(self) -> Census:
        with self.account.lock:
            return count(self.account)


@contextmanager
def open_workspace(place: Path, policies_environment: Path) -> Iterator[Workspace]:
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(variable, "testing")
        patch.setenv("AWS_DEFAULT_REGION", REGION)
        with mock_aws(config={"iam": {"load_aws_managed_policies": True}}):
            boto3.client("route53").create_hosted_zone(Name="example.org", CallerReference="tests")
            account = Account()
            with serve(account) as endpoint:
                yield Workspace(place, policies_environment, account, endpoint)
