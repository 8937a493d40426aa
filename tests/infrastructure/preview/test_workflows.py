"""The workflows hold what they promise: linted by GitHub's schema and by zizmor, and the rules that
neither knows.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.infrastructure

ROOT = Path(__file__).parents[3]
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
TOOLS = Path(sys.executable).parent


def read(path: Path) -> dict[str, Any]:
    # YAML 1.1 reads the key `on` as true.
    content: dict[Any, Any] = yaml.safe_load(path.read_text())
    return {"on" if key is True else key: value for key, value in content.items()}


def jobs() -> Iterator[Any]:
    for path in WORKFLOWS:
        for name, job in read(path)["jobs"].items():
            yield pytest.param(path.stem, job, id=f"{path.stem}-{name}")


def test_workflows_run_the_images_python_and_the_oldest_that_is_taken() -> None:
    dockerfile = (ROOT / "apps/Dockerfile").read_text()
    newest = re.search(r"ARG PYTHON=\S+/python:(\d+\.\d+)", dockerfile)
    oldest = re.search(r'requires-python = ">=(\d+\.\d+)"', (ROOT / "pyproject.toml").read_text())
    assert newest is not None
    assert oldest is not None
    action = (GITHUB / "actions/prepare/action.yml").read_text()
    assert f'python-version: "{newest[1]}"' in action

    checks = read(GITHUB / "workflows/checks.yml")["jobs"]
    versions = {
        name: [
            step["with"]["python-version"]
            for step in job["steps"]
            if "setup-python" in step.get("uses", "")
        ]
        for name, job in checks.items()
    }
    assert versions == {
        "checks": [newest[1]],
        "engine": [newest[1]],
        "oldest-python": [oldest[1]],
    }
    assert checks["oldest-python"]["steps"][-1]["run"] == "scripts/test unit"


def with_credentials() -> Iterator[Any]:
    return (each for each in jobs() if "id-token" in each.values[1].get("permissions", {}))


@pytest.mark.parametrize(
    "command",
    [
        ["check-jsonschema", "--builtin-schema", "vendor.github-workflows", *map(str, WORKFLOWS)],
        [
            "check-jsonschema",
            "--builtin-schema",
            "vendor.github-actions",
            str(GITHUB / "actions/prepare/action.yml"),
        ],
        [
            "zizmor",
            "--offline",
            "--no-progress",
            "--quiet",
            "--config",
            str(GITHUB / "zizmor.yml"),
            str(GITHUB),
        ],
    ],
    ids=["workflows", "action", "zizmor"],
)
def test_linters_find_nothing(command: list[str]) -> None:
    done = subprocess.run(
        [str(TOOLS / command[0]), *command[1:]], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("workflow", "job"), list(jobs()))
def test_piped_step_fails_with_any_of_its_commands(workflow: str, job: dict[str, Any]) -> None:
    for step in job.get("steps", []):
        # Without `shell: bash` there is no pipefail.
        assert " | " not in step.get("run", "") or step.get("shell") == "bash", step["run"]


def test_actions_of_others_are_pinned_by_commit_with_their_version_beside() -> None:
    files = [*WORKFLOWS, GITHUB / "actions/prepare/action.yml"]
    used = [
        line.strip() for file in files for line in file.read_text().splitlines() if "uses:" in line
    ]
    for line in used:
        assert re.search(r"uses: (\./|[\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$)", line), line
    pins: dict[str, set[str]] = {}
    for line in used:
        if "@" in line:
            action, _, pin = line.partition("uses: ")[2].partition("@")
            pins.setdefault(action, set()).add(pin)
    assert all(len(versions) == 1 for versions in pins.values()), pins


def test_pulumi_command_has_the_version_of_the_library() -> None:
    pinned = re.search(r'"pulumi==([\d.]+)"', (ROOT / "pyproject.toml").read_text())
    assert pinned
    for file in (GITHUB / "actions/prepare/action.yml", GITHUB / "workflows/checks.yml"):
        assert f'pulumi-version: "{pinned[1]}"' in file.read_text()


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_no_workflow_hands_credentials_to_code_that_nobody_read(path: Path) -> None:
    workflow = read(path)
    assert workflow["permissions"] == {}
    assert not {"pull_request_target", "workflow_run", "issue_comment"} & set(workflow["on"])
    assert "secrets." not in path.read_text()


@pytest.mark.parametrize(("workflow", "job"), list(jobs()))
def test_every_job_states_its_rights_and_its_limit(workflow: str, job: dict[str, Any]) -> None:
    assert job["permissions"]
    if "uses" not in job:
        assert 0 < job["timeout-minutes"] <= 120


@pytest.mark.parametrize(("workflow", "job"), list(with_credentials()))
def test_credentials_come_through_an_environment_alone(workflow: str, job: dict[str, Any]) -> None:
    assert job["environment"]
    assert (
        "pull-requests" not in job["permissions"] or job["permissions"]["pull-requests"] == "read"
    )


def test_jobs_on_one_stack_wait_for_each_other_and_none_is_cancelled() -> None:
    preview, deploy = (
        read(GITHUB / "workflows/preview.yml")["jobs"],
        read(GITHUB / "workflows/deploy.yml")["jobs"],
    )
    groups = [preview["up"]["concurrency"], preview["down"]["concurrency"]]
    assert groups[0]["group"].split("||")[0].strip(" ${}") == groups[1]["group"].strip(" ${}")
    reap = read(GITHUB / "workflows/reap.yml")["jobs"]
    assert reap["reap"]["concurrency"]["group"] == "pr-${{ matrix.pr }}"
    assert groups[1]["group"].startswith("pr-${{ ")
    for job in (
        preview["up"],
        preview["down"],
        deploy["dev"],
        deploy["staging"],
        deploy["prod"],
        *reap.values(),
    ):
        assert job["concurrency"]["cancel-in-progress"] is False


def test_no_job_on_a_stack_may_run_longer_than_its_lock_is_respected() -> None:
    from infrastructure.preview.driver import LOCK_STALE_MINUTES

    for name in ("preview", "reap"):
        for job in read(GITHUB / f"workflows/{name}.yml")["jobs"].values():
            assert job["timeout-minutes"] < LOCK_STALE_MINUTES


def test_forks_get_no_preview_without_an_approval() -> None:
    up = read(GITHUB / "workflows/preview.yml")["jobs"]["up"]
    assert "head.repo.full_name == github.repository" in up["if"]
    assert "'preview-fork'" in up["environment"]["name"]


def test_only_mains_code_writes_into_a_pull_request_or_takes_a_preview_away() -> None:
    """Not the base branch's, which may be somebody's own, too."""
    for name, job in read(GITHUB / "workflows/preview.yml")["jobs"].items():
        if name == "down" or job["permissions"].get("pull-requests") == "write":
            checkout = next(step for step in job["steps"] if "checkout" in step.get("uses", ""))
            assert checkout["with"]["ref"] == "${{ github.event.repository.default_branch }}"
            assert name == "down" or "id-token" not in job["permissions"]


def test_what_a_pull_request_wrote_is_laid_where_no_code_is_looked_for() -> None:
    for _, job in (each.values for each in jobs()):
        for step in job.get("steps", []):
            assert "download-artifact" not in step.get("uses", "") or step["with"]["path"] == "told"
    assert not (ROOT / "told").exists()


@pytest.mark.parametrize(
    ("commit", "taken"),
    [
        ("a" * 40, True),
        ("refs/pull/7/head", False),
        ("a" * 39, False),
        ("a" * 40 + "\n", False),
        ("", False),
    ],
)
def test_fork_is_approved_for_one_commit_and_for_no_branch(commit: str, taken: bool) -> None:
    steps = read(GITHUB / "workflows/preview.yml")["jobs"]["up"]["steps"]
    assert steps[0]["if"] == "github.event_name == 'workflow_dispatch'"
    assert steps[0]["env"] == {"COMMIT": "${{ inputs.commit }}"}
    assert "inputs.commit" in steps[1]["with"]["ref"]
    command = ["bash", "-e", "-c", steps[0]["run"]]
    assert (
        subprocess.run(command, env={"COMMIT": commit}, timeout=10, check=False).returncode == 0
    ) is taken


def test_drift_is_told_and_never_applied() -> None:
    text = (GITHUB / "workflows/drift.yml").read_text()
    commands = re.findall(r"run: (.*)", text)
    assert all(
        "--preview-only" in command and "--expect-no-changes" in command for command in commands
    )


def test_production_waits_for_its_preview_and_takes_tested_images() -> None:
    jobs_ = read(GITHUB / "workflows/deploy.yml")["jobs"]
    assert jobs_["prod"]["needs"] == ["dev", "prod-preview"]
    assert jobs_["prod"]["environment"] == "prod"
    for name in ("prod-preview", "prod"):
        runs = [step.get("run", "") for step in jobs_[name]["steps"]]
        check = next(index for index, run in enumerate(runs) if ".github/scripts/images dev" in run)
        assert any(run.startswith("pulumi ") for run in runs[check + 1 :])
        assert not any(run.startswith("pulumi ") for run in runs[:check])


def test_comment_says_what_a_checkout_changes_in_a_stack(tmp_path: Path) -> None:
    """Against a commit in which dev has another size: the very repository, copied, with a history
    of its own.
    """
    files = [
        "Pulumi.yaml",
        "Pulumi.dev.yaml",
        "pyproject.toml",
        "apps",
        "infrastructure",
        "protos",
        ".github",
    ]
    for name in files:
        source, ignore = ROOT / name, shutil.ignore_patterns("__pycache__")
        if source.is_dir():
            shutil.copytree(source, tmp_path / name, ignore=ignore)
        else:
            shutil.copyfile(source, tmp_path / name)
    (tmp_path / ".venv").symlink_to(Path(sys.prefix))
    git = [
        "git",
        "-C",
        str(tmp_path),
        "-c",
        "user.name=Tests",
        "-c",
        "user.email=tests@example.org",
    ]
    settings = tmp_path / "Pulumi.dev.yaml"
    text = settings.read_text()
    settings.write_text(text.replace("db.t4g.small", "db.t4g.medium"))
    for arguments in (["init", "-q"], ["add", *files], ["commit", "-q", "-m", "before"]):
        subprocess.run([*git, *arguments], check=True, timeout=60)
    settings.write_text(text)
    done = subprocess.run(
        [".github/scripts/plan", "HEAD", "dev"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    change, _, whole = done.stdout.partition("<details>")
    assert "### dev changes" in change
    assert any(line.startswith("-") and "db.t4g.medium" in line for line in change.splitlines())
    assert any(line.startswith("+") and "db.t4g.small" in line for line in change.splitlines())
    # The services are as they were.
    assert "of source" not in change
    assert "of source" in whole
