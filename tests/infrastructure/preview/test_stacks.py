"""The real stacks over the real Automation API, with a `pulumi` on the PATH that notes what it is
asked and answers.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from infrastructure.preview.errors import (
    AccessDeniedError,
    CommandMissingError,
    PreviewError,
    ResourceInUseError,
    StackLockedError,
    StackMissingError,
)
from infrastructure.preview.publish import deployment, publish
from infrastructure.preview.stacks import PulumiStacks, StackSummary
from tests.infrastructure.preview.conftest import Pulumi

pytestmark = pytest.mark.infrastructure

ROOT = Path(__file__).parents[3]
BACKEND = "s3://state?region=us-east-1"
PROVIDER = "awskms:///alias/previews?region=us-east-1"
LOCKED = (
    "error: the stack is currently locked by 1 lock(s). Either wait for the other process(es) to "
    "end or delete the"
    " lock file with `pulumi cancel`.\n  "
    "s3://state/.pulumi/locks/organization/patient-management/pr-12/1.json: created"
    " by runner@host (pid 7) at 2026-01-31T12:00:00Z"
)


@pytest.fixture
def stacks(pulumi: Pulumi, tmp_path: Path) -> PulumiStacks:
    (tmp_path / "Pulumi.yaml").write_text("name: patient-management\nruntime: python\n")
    return PulumiStacks(tmp_path, BACKEND, PROVIDER, {})


def test_missing_command_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CommandMissingError, match="not on the PATH") as caught:
        PulumiStacks(tmp_path, BACKEND, PROVIDER, {})
    assert "\n" not in str(caught.value)


def test_old_command_is_refused(pulumi: Pulumi, tmp_path: Path) -> None:
    pulumi.answer({"version": "v2.0.0"})
    with pytest.raises(CommandMissingError, match="cannot be used"):
        PulumiStacks(tmp_path, BACKEND, PROVIDER, {})


def test_new_stack_has_its_secrets_under_the_key(pulumi: Pulumi, stacks: PulumiStacks) -> None:
    stacks.open("pr-12")
    assert f"stack init pr-12 --secrets-provider {PROVIDER}" in pulumi.asked


def test_stack_of_another_machine_is_taken_with_its_own_settings(
    pulumi: Pulumi, stacks: PulumiStacks
) -> None:
    pulumi.answer({"stack init": "!error: stack 'pr-12' already exists"})
    stacks.open("pr-12")
    assert "config refresh --force --stack pr-12" in pulumi.asked


def test_stack_that_was_never_updated_is_made_anew(pulumi: Pulumi, stacks: PulumiStacks) -> None:
    pulumi.answer(
        {
            "stack init": "!error: stack 'pr-12' already exists",
            "config refresh": "!error: no previous deployment",
        }
    )
    with pytest.raises(PreviewError):
        stacks.open("pr-12")
    assert [
        line.split()[1] for line in pulumi.asked if line.startswith(("stack rm", "stack init"))
    ] == [
        "init",
        "rm",
        "init",
    ]


def test_first_update_that_was_killed_has_no_settings_and_keeps_what_it_made(
    pulumi: Pulumi, stacks: PulumiStacks
) -> None:
    made = json.dumps({"version": 3, "deployment": {"resources": [{"urn": "urn"}]}})
    pulumi.answer(
        {
            "stack init": "!error: stack 'pr-12' already exists",
            "config refresh": "!error: getting latest configuration: no previous deployment",
            "stack export": made,
        }
    )
    assert stacks.config("pr-12") == {}
    stacks.refresh("pr-12", print)
    stacks.open("pr-12")
    assert not [line for line in pulumi.asked if line.startswith("stack rm")]


def test_removed_stack_leaves_no_copies_of_its_state(pulumi: Pulumi, stacks: PulumiStacks) -> None:
    stacks.remove("pr-12")
    assert "stack rm --yes --remove-backups pr-12" in pulumi.asked


def test_denied_look_at_a_stack_does_not_make_it_anew(pulumi: Pulumi, stacks: PulumiStacks) -> None:
    pulumi.answer(
        {
            "stack init": "!error: stack 'pr-12' already exists",
            "config refresh": "!error: AccessDenied: kms:Decrypt",
        }
    )
    with pytest.raises(AccessDeniedError):
        stacks.open("pr-12")
    assert not [line for line in pulumi.asked if line.startswith("stack rm")]


def test_stacks_are_listed_with_what_they_hold(pulumi: Pulumi, stacks: PulumiStacks) -> None:
    listed = [
        {
            "name": "pr-12",
            "current": False,
            "lastUpdate": "2026-01-31T12:00:00.000Z",
            "resourceCount": 61,
        },
        {"name": "pr-13", "current": False, "resourceCount": 0},
    ]
    pulumi.answer({"stack ls": json.dumps(listed)})
    assert stacks.listed() == [
        StackSummary("pr-12", datetime(2026, 1, 31, 12, tzinfo=UTC), 61),
        StackSummary("pr-13", None, 0),
    ]


def test_up_counts_what_it_did_and_shows_progress(pulumi: Pulumi, stacks: PulumiStacks) -> None:
    pulumi.answer({"up": " +  aws:ecs:Service pr-12-gateway created (41s)"})
    said: list[str] = []
    assert stacks.up("pr-12", said.append) == {"create": 61}
    assert said == [" +  aws:ecs:Service pr-12-gateway created (41s)"]


def test_up_reads_what_is_there_where_it_is_told_to(pulumi: Pulumi, stacks: PulumiStacks) -> None:
    stacks.up("pr-12", print, refresh=True)
    stacks.up("pr-12", print)
    first, second = [line for line in pulumi.asked if line.startswith("up")]
    assert "--refresh" in first.split()
    assert "--refresh" not in second.split()


@pytest.mark.parametrize(
    ("kind", "ending"), [("update", False), ("refresh", True), ("destroy", True)]
)
def test_stack_is_ending_once_it_was_last_taken_down(
    pulumi: Pulumi, stacks: PulumiStacks, kind: str, ending: bool
) -> None:
    done = {
        "kind": kind,
        "startTime": "2026-01-31T12:00:00.000Z",
        "message": "",
        "environment": {},
        "config": {},
    }
    pulumi.answer({"stack history": json.dumps([{**done, "result": "failed"}])})
    assert stacks.ending("pr-12") is ending
    pulumi.answer({"stack history": "[]"})
    assert not stacks.ending("pr-12")


@pytest.mark.parametrize(("errors", "failed"), [([], False), (["the release failed"], True)])
def test_resource_that_is_there_and_failed_is_seen(
    pulumi: Pulumi, stacks: PulumiStacks, errors: list[str], failed: bool
) -> None:
    resources = [{"urn": "first"}, {"urn": "second", "initErrors": errors}]
    pulumi.answer(
        {"stack export": json.dumps({"version": 3, "deployment": {"resources": resources}})}
    )
    assert stacks.failed("pr-12") is failed


def test_up_goes_by_the_same_rules_as_an_environment(
    pulumi: Pulumi, stacks: PulumiStacks, tmp_path: Path
) -> None:
    stacks.up("pr-12", print)
    (call,) = [line for line in pulumi.asked if line.startswith("up")]
    assert f"--policy-pack {tmp_path / 'infrastructure/policies'}" in call
    assert (ROOT / "infrastructure/policies/PulumiPolicy.yaml").is_file()


def test_refresh_drops_operations_whose_end_nobody_knows(
    pulumi: Pulumi, stacks: PulumiStacks
) -> None:
    stacks.refresh("pr-12", print)
    call = next(line for line in pulumi.asked if line.startswith("refresh"))
    assert "--clear-pending-creates" in call


def test_destroy_runs_nothing_of_the_pull_requests(pulumi: Pulumi, stacks: PulumiStacks) -> None:
    stacks.destroy("pr-12", print)
    call = next(line for line in pulumi.asked if line.startswith("destroy"))
    assert "--run-program=false" in call
    assert "--client" not in call


def test_interrupted_run_is_seen_in_the_state(pulumi: Pulumi, stacks: PulumiStacks) -> None:
    assert not stacks.interrupted("pr-12")
    pending = [{"resource": {"urn": "urn"}, "type": "creating"}]
    pulumi.answer(
        {"stack export": json.dumps({"version": 3, "deployment": {"pending_operations": pending}})}
    )
    assert stacks.interrupted("pr-12")


def test_secret_outputs_stay_out(pulumi: Pulumi, stacks: PulumiStacks) -> None:
    pulumi.answer(
        {
            "stack output --json": json.dumps(
                {"url": "https://pr-12.example.org", "key": "[secret]"}
            ),
            "stack output --json --show-secrets": json.dumps(
                {"url": "https://pr-12.example.org", "key": "open"}
            ),
        }
    )
    assert stacks.outputs("pr-12") == {"url": "https://pr-12.example.org"}


Act = Callable[[PulumiStacks], object]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (LOCKED, StackLockedError),
        ("error: no stack named 'pr-12' found", StackMissingError),
        (
            "error: deleting urn:x: AccessDeniedException: User is not authorized to perform: "
            "ecs:DeleteService",
            AccessDeniedError,
        ),
        (
            "error: operation error S3: api error ExpiredToken: The provided token has expired.",
            AccessDeniedError,
        ),
        ("error: no EC2 IMDS role found, operation error ec2imds: GetMetadata", AccessDeniedError),
        (
            "error: deleting Security Group (sg-1): DependencyViolation: resource sg-1 has a "
            "dependent object",
            ResourceInUseError,
        ),
        ("error: something else", PreviewError),
    ],
)
@pytest.mark.parametrize(
    "act",
    [lambda stacks: stacks.destroy("pr-12", print), lambda stacks: stacks.up("pr-12", print)],
    ids=["destroy", "up"],
)
def test_errors_are_told_apart(
    pulumi: Pulumi, stacks: PulumiStacks, text: str, fault: type[PreviewError], act: Act
) -> None:
    pulumi.answer({"destroy": f"!{text}", "up": f"!{text}"})
    with pytest.raises(PreviewError) as caught:
        act(stacks)
    assert type(caught.value) is fault
    assert "stdout" not in str(caught.value)
    assert "stderr" not in str(caught.value)


FAILED_UP = """Updating (pr-12):
 +  aws:ecs:Service pr-12-auth **creating failed** error: 1 error occurred:
Diagnostics:
  aws:ecs:Service (pr-12-auth):
    warning: something is deprecated
    error: 1 error occurred:
    \t* creating ECS Service (pr-12-auth): InvalidParameterException: Unable to assume role

  pulumi:pulumi:Stack (patient-management-pr-12):
    error: update failed

    Traceback (most recent call last):
      File "pulumi-language-python-exec", line 232, in <module>
        loop.run_until_complete(coro)
    KeyboardInterrupt
    During handling of the above exception, another exception occurred:
    Traceback (most recent call last):
      File "pulumi-language-python-exec", line 244, in <module>
    KeyboardInterrupt

Resources:
    + 2 created"""


def test_failed_update_tells_its_errors_and_not_its_progress_again(
    pulumi: Pulumi, stacks: PulumiStacks
) -> None:
    pulumi.answer({"up": f"!{FAILED_UP}"})
    with pytest.raises(PreviewError) as caught:
        stacks.up("pr-12", print)
    assert str(caught.value).splitlines() == [
        "bring up pr-12: aws:ecs:Service (pr-12-auth):",
        "error: 1 error occurred:",
        "* creating ECS Service (pr-12-auth): InvalidParameterException: Unable to assume role",
        "pulumi:pulumi:Stack (patient-management-pr-12):",
        "error: update failed",
    ]


def test_lock_tells_since_when(pulumi: Pulumi, stacks: PulumiStacks) -> None:
    pulumi.answer({"refresh": f"!{LOCKED}"})
    with pytest.raises(StackLockedError) as caught:
        stacks.refresh("pr-12", print)
    assert caught.value.since == datetime(2026, 1, 31, 12, tzinfo=UTC)


def test_base_shows_previews_two_outputs_and_no_resource(
    pulumi: Pulumi, stacks: PulumiStacks
) -> None:
    outputs = {
        "platform": {"domain": "dev.example.org"},
        "images": {},
        "github_roles": {"dev": "arn"},
    }
    pulumi.answer({"stack output --json": json.dumps(outputs)})
    publish("dev", stacks, stacks)
    assert any(line.startswith("stack import") for line in pulumi.asked)
    shown = deployment("dev", {"platform": outputs["platform"]})
    assert [each["type"] for each in shown["resources"]] == ["pulumi:pulumi:Stack"]
    assert set(shown["resources"][0]["outputs"]) == {"platform"}


def test_base_that_was_never_up_shows_nothing(pulumi: Pulumi, stacks: PulumiStacks) -> None:
    with pytest.raises(StackMissingError, match="bring it up first"):
        publish("dev", stacks, stacks)
    assert not any(line.startswith("stack import") for line in pulumi.asked)
