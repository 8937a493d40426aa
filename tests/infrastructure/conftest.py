"""The stacks, recorded once a worker: dev, staging, prod, and two previews on dev, in one account
in moto.

On paper: dev and prod as GitHub deploys them.
"""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from infrastructure.config.files import ROOT, preview_config, read_config
from infrastructure.plan.paper import Paper
from infrastructure.plan.record import record
from infrastructure.recording import Recording
from tests.infrastructure.fake_aws.moto_resources import REGION, Moto

SETUP_LIMIT_SECONDS = 300
GITHUB = {"repository": "example-org/patient-management", "state-bucket": "states"}


@dataclass
class Account:
    """One account in moto, and what was brought up in it."""

    cloud: Moto
    outputs: dict[str, Mapping[str, object]] = field(default_factory=dict)
    recordings: dict[str, Recording] = field(default_factory=dict)

    def up(self, name: str) -> Recording:
        if name not in self.recordings:
            config = preview_config("dev", REGION) if name.startswith("pr-") else read_config(name)
            self.recordings[name] = record(name, config, self.cloud, self.outputs)
            self.outputs[name] = self.recordings[name].outputs
        return self.recordings[name]


@pytest.fixture(scope="session")
def policies_environment() -> Path:
    """The policy pack's own Python environment; making it takes a package index the first time."""
    done = subprocess.run(
        [ROOT / "scripts" / "setup", "policies"],
        capture_output=True,
        text=True,
        timeout=SETUP_LIMIT_SECONDS,
        check=False,
    )
    if done.returncode and "package index" in done.stderr and os.environ.get("CI") != "true":
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    return ROOT / ".venv-policies"


@pytest.fixture(scope="session")
def account() -> Iterator[Account]:
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(variable, "testing")
        patch.setenv("AWS_DEFAULT_REGION", REGION)
        with mock_aws(config={"iam": {"load_aws_managed_policies": True}}):
            boto3.client("route53").create_hosted_zone(Name="example.org", CallerReference="tests")
            yield Account(Moto())


@pytest.fixture(scope="session")
def dev(account: Account) -> Recording:
    return account.up("dev")


@pytest.fixture(scope="session")
def staging(account: Account, dev: Recording) -> Recording:
    return account.up("staging")


@pytest.fixture(scope="session")
def prod(account: Account, dev: Recording) -> Recording:
    return account.up("prod")


@pytest.fixture(scope="session")
def preview(account: Account, dev: Recording) -> Recording:
    return account.up("pr-1")


@pytest.fixture(scope="session")
def other_preview(account: Account, preview: Recording) -> Recording:
    return account.up("pr-12")


@pytest.fixture(scope="session")
def stacks(
    dev: Recording, staging: Recording, prod: Recording, preview: Recording
) -> dict[str, Recording]:
    return {"dev": dev, "staging": staging, "prod": prod, "pr-1": preview}


def deployed(name: str, references: dict[str, Mapping[str, object]]) -> Recording:
    return record(
        name,
        read_config(name) | {"patient-management:github": json.dumps(GITHUB)},
        Paper(),
        references,
    )


@pytest.fixture(scope="session")
def open_dev() -> Recording:
    return deployed("dev", {})


@pytest.fixture(scope="session")
def open_prod(open_dev: Recording) -> Recording:
    return deployed("prod", {"dev": open_dev.outputs})
