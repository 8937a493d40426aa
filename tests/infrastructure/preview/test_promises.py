"""What the workflows run, and when: each promise of docs/previews.md is a command of a job."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.infrastructure.preview.test_workflows import GITHUB, read

pytestmark = pytest.mark.infrastructure

ON_BASE = '--pr "$PR" --base "$BASE"'


def job(workflow: str, name: str) -> Any:
    return read(GITHUB / f"workflows/{workflow}.yml")["jobs"][name]


def commands(workflow: str, name: str) -> list[str]:
    return [step["run"].strip() for step in job(workflow, name)["steps"] if "run" in step]


def schedule(workflow: str) -> list[str]:
    (found,) = read(GITHUB / f"workflows/{workflow}.yml")["on"]["schedule"]
    return str(found["cron"]).split()


def test_checks_run_on_every_push_and_on_forks_pull_requests() -> None:
    on = read(GITHUB / "workflows/checks.yml")["on"]
    assert on["push"] == {"branches-ignore": ["main"]}
    assert {"pull_request", "workflow_call"} <= set(on)
    assert commands("checks", "checks")[-1] == ".ci/run"
    assert commands("checks", "engine") == ["pulumi version && scripts/test engine"]
    # On main they are the deployment's first job.
    assert read(GITHUB / "workflows/deploy.yml")["on"] == {"push": {"branches": ["main"]}}
    assert job("deploy", "checks")["uses"] == "./.github/workflows/checks.yml"
    assert job("deploy", "dev")["needs"] == "checks"


def test_a_pull_request_shows_what_it_changes_in_dev_and_prod_in_one_comment() -> None:
    assert (
        commands("preview", "plan")[0].splitlines()[0]
        == ".github/scripts/plan HEAD^1 dev prod > plan.md"
    )
    for name, mark in (("comment", "plan"), ("address", "preview")):
        assert (
            f'infrastructure.preview.comment --pr "$PR" --mark {mark} '
            in commands("preview", name)[-1]
        )


def test_a_preview_is_brought_up_and_then_tested() -> None:
    runs = commands("preview", "up")
    up = runs.index(f"scripts/preview up {ON_BASE} --markdown preview.md $KEEP")
    assert f"scripts/preview test {ON_BASE}" in runs[up + 1 :]


def test_a_preview_goes_by_one_command() -> None:
    assert commands("preview", "down") == [f"scripts/preview down {ON_BASE}"]


def test_the_reaper_looks_every_hour_and_each_that_is_over_goes_by_itself() -> None:
    minute, *rest = schedule("reap")
    assert minute.isdigit()
    assert rest == ["*"] * 4
    assert commands("reap", "over") == [
        'scripts/preview reap --base "$BASE" --dry-run --over "$GITHUB_OUTPUT"'
    ]
    assert commands("reap", "reap") == ['scripts/preview reap --base "$BASE" --pr "$PR" --apply']
    one = job("reap", "reap")
    assert one["strategy"] == {
        "fail-fast": False,
        "matrix": {"pr": "${{ fromJSON(needs.over.outputs.numbers) }}"},
    }
    assert job("reap", "over")["outputs"] == {"numbers": "${{ steps.over.outputs.numbers }}"}
    # Also where one place could not be looked at, and the job before it failed.
    assert "!cancelled()" in one["if"]


def test_drift_is_looked_for_every_night() -> None:
    minute, hour, *rest = schedule("drift")
    assert minute.isdigit()
    assert 0 <= int(hour) <= 5
    assert rest == ["*"] * 3


def test_dev_is_brought_up_by_the_rules_and_shown_to_previews() -> None:
    runs = commands("deploy", "dev")
    up, smoke, publish, images = (
        next(place for place, run in enumerate(runs) if run.startswith(begin))
        for begin in (
            "pulumi up",
            ".venv/bin/python -m infrastructure.smoke",
            "scripts/preview publish",
            ".github",
        )
    )
    assert up < smoke < publish < images
    assert (
        runs[up]
        == "pulumi up --stack dev --yes --skip-preview --policy-pack infrastructure/policies"
    )
    assert runs[publish] == "scripts/preview publish --base dev"
    assert "scripts/preview publish --base staging" in commands("deploy", "staging")


def test_production_is_previewed_for_those_who_approve_it() -> None:
    assert re.match(
        r"pulumi preview --stack prod --diff .*\| tee -a", commands("deploy", "prod-preview")[-1]
    )


def run_images(tmp_path: Path, answer: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    pulumi = tmp_path / "pulumi"
    pulumi.write_text(f"#!/bin/sh\n{answer}\n")
    pulumi.chmod(0o755)
    command = [str(GITHUB / "scripts/images"), "dev", *arguments]
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=10, check=False
    )


def test_images_that_were_tested_go_on_and_no_others(tmp_path: Path) -> None:
    shown = json.dumps({"auth": {"ref": "a@sha256:1"}})
    digest = run_images(tmp_path, f"echo '{shown}'").stdout.strip().removeprefix("digest=")
    assert re.fullmatch("[0-9a-f]{64}", digest)
    assert run_images(tmp_path, f"echo '{shown}'", digest).returncode == 0
    refused = run_images(tmp_path, "echo '{}'", digest)
    assert refused.returncode != 0
    assert "runs newer images" in refused.stderr


def test_images_that_could_not_be_read_are_no_images(tmp_path: Path) -> None:
    failed = run_images(tmp_path, "echo denied >&2; exit 255")
    assert failed.returncode != 0
    assert "digest" not in failed.stdout
