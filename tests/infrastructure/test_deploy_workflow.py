"""The way of a commit: dev, staging where it is on, production after an approval; each looked at
after `up`.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from infrastructure.iam.github_oidc import SESSION_SECONDS

pytestmark = pytest.mark.infrastructure
WORKFLOWS = Path(__file__).parents[2] / ".github" / "workflows"
ENVIRONMENTS = ("dev", "staging", "prod")


def read(name: str) -> dict[str, Any]:
    jobs: dict[str, Any] = yaml.safe_load((WORKFLOWS / f"{name}.yml").read_text())["jobs"]
    return jobs


def runs(job: dict[str, Any]) -> list[str]:
    return [step["run"] for step in job["steps"] if "run" in step]


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_a_smoke_request_follows_each_up(name: str) -> None:
    commands = runs(read("deploy")[name])
    (up,) = [index for index, command in enumerate(commands) if command.startswith("pulumi up")]
    assert f"--stack {name} " in commands[up]
    assert commands[up + 1] == f".venv/bin/python -m infrastructure.smoke {name}"


def test_staging_takes_devs_tested_images_where_it_is_switched_on() -> None:
    job = read("deploy")["staging"]
    assert (job["needs"], job["if"], job["environment"]) == (
        "dev",
        "vars.STAGING == 'on'",
        "staging",
    )
    assert job["concurrency"] == {"group": "staging", "cancel-in-progress": False}
    commands = runs(job)
    check = commands.index('.github/scripts/images dev "$TESTED"')
    assert not any(command.startswith("pulumi ") for command in commands[:check])
    (checked,) = [step for step in job["steps"] if step.get("run") == commands[check]]
    assert checked["env"] == {"TESTED": "${{ needs.dev.outputs.images }}"}


def value(expression: str, results: dict[str, str]) -> bool:
    """What GitHub makes of one of our conditions, on jobs that ended so."""
    text = expression.removeprefix("${{").removesuffix("}}").strip().replace("!cancelled()", "True")
    listed = r"contains\(fromJSON\('(\[[^']*\])'\), (needs\.[\w.-]+)\)"
    text = re.sub(listed, lambda found: f"{found[2]} in {json.loads(found[1])}", text)
    text = re.sub(r"needs\.([\w-]+)\.result", lambda found: repr(results[found[1]]), text)
    return bool(eval(text.replace("&&", "and").replace("||", "or"), {"__builtins__": {}}))  # noqa: S307 - our own file


@pytest.mark.parametrize(
    ("dev", "staging", "goes_on"),
    [
        ("success", "success", True),
        # Switched off.
        ("success", "skipped", True),
        ("success", "failure", False),
        ("success", "cancelled", False),
        ("failure", "skipped", False),
        # Deployments are switched off.
        ("skipped", "skipped", False),
    ],
)
def test_production_goes_on_where_staging_is_off_and_never_past_a_failed_one(
    dev: str, staging: str, goes_on: bool
) -> None:
    jobs = read("deploy")
    preview = jobs["prod-preview"]
    assert preview["needs"] == ["dev", "staging"]
    assert value(preview["if"], {"dev": dev, "staging": staging}) == goes_on
    after = {"dev": dev, "prod-preview": "success" if goes_on else "skipped"}
    assert value(jobs["prod"]["if"], after) == goes_on
    assert not value(jobs["prod"]["if"], {"dev": "success", "prod-preview": "failure"})


def test_credentials_last_as_long_as_any_job_and_as_the_roles_allow() -> None:
    action = yaml.safe_load((WORKFLOWS.parent / "actions" / "prepare" / "action.yml").read_text())
    (taken,) = [
        step["with"] for step in action["runs"]["steps"] if "role-to-assume" in step.get("with", {})
    ]
    longest = max(
        job["timeout-minutes"]
        for path in WORKFLOWS.glob("*.yml")
        for job in own_jobs(read(path.stem))
    )
    assert longest * 60 <= taken["role-duration-seconds"] == SESSION_SECONDS


def own_jobs(jobs: dict[str, Any]) -> list[dict[str, Any]]:
    return [job for job in jobs.values() if "steps" in job]


def test_drift_looks_at_staging_where_it_is_switched_on() -> None:
    stacks = read("drift")["drift"]["strategy"]["matrix"]["stack"]
    on, off = re.findall(r"'(\[[^']*\])'", stacks)
    assert "vars.STAGING == 'on'" in stacks
    assert (json.loads(on), json.loads(off)) == (["dev", "staging", "prod"], ["dev", "prod"])
