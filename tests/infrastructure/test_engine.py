"""The whole program on the real engine, where `pulumi` is on the PATH: its state, its graph and its
order are Pulumi's.

The tests are one story, told in their order: an environment comes, is looked at, bears a preview,
and goes.
"""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.catalogue import DATABASES, SERVICES, TOPICS
from infrastructure.ecs.image_source import IMAGES
from infrastructure.preview.names import Preview
from infrastructure.preview.publish import deployment
from tests.infrastructure.engine.inventory import Census
from tests.infrastructure.engine.provider import PASSWORD
from tests.infrastructure.engine.workspace import Workspace, open_workspace

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(
        shutil.which("pulumi") is None, reason="there is no pulumi command on the PATH"
    ),
]

RULES = ("--policy-pack", "infrastructure/policies")
PREVIEW = Preview(7)
REPOSITORY = "import pulumi_aws as aws; aws.ecr.Repository('plain'{})"
SCANNED = ", image_tag_mutability='IMMUTABLE', image_scanning_configuration={'scan_on_push': True}"


@pytest.fixture(scope="module")
def workspace(
    tmp_path_factory: pytest.TempPathFactory, policies_environment: Path
) -> Iterator[Workspace]:
    with open_workspace(tmp_path_factory.mktemp("engine"), policies_environment) as opened:
        opened.pulumi("stack", "init", "dev")
        yield opened


@pytest.fixture(scope="module")
def nothing(workspace: Workspace) -> Census:
    return workspace.census()


def test_first_preview_passes_our_rules_and_makes_nothing(
    workspace: Workspace, nothing: Census
) -> None:
    said = workspace.pulumi("preview", "--stack", "dev", *RULES)
    assert re.search(r"\+ 3\d\d to create", said)
    assert workspace.census() == nothing


def test_environment_comes_up_with_no_secret_in_its_state(
    workspace: Workspace, nothing: Census
) -> None:
    workspace.pulumi("up", "--stack", "dev", "--yes", "--skip-preview")
    assert workspace.outputs("dev")["url"] == "https://dev.example.org"
    assert workspace.account.topics == set(TOPICS)
    assert workspace.account.databases == set(DATABASES)
    there = workspace.census()
    assert all(
        there[kind] > nothing[kind]
        for kind in ("ec2 Vpcs", "services", "iam Roles", "secretsmanager SecretList")
    )
    assert PASSWORD not in workspace.files(workspace.environments)


def test_every_resource_on_aws_is_of_the_provider_that_tags_it(workspace: Workspace) -> None:
    resources = [
        each
        for each in workspace.resources("dev")
        if each["custom"] and each["type"].startswith("aws:")
    ]
    assert len(resources) > 200
    assert [
        each["urn"] for each in resources if "pulumi:providers:aws::aws::" not in each["provider"]
    ] == []


def test_second_run_and_a_look_at_aws_find_no_change(workspace: Workspace) -> None:
    workspace.pulumi("preview", "--stack", "dev", "--diff", "--expect-no-changes")
    # As the nightly look for drift does.
    workspace.pulumi("refresh", "--preview-only", "--expect-no-changes", "--diff", "--stack", "dev")


def test_outputs_are_shown_to_previews_without_a_change_of_the_bases_settings(
    workspace: Workspace,
) -> None:
    settings = workspace.folder / "Pulumi.dev.yaml"
    own = settings.read_text()
    # As in a clean checkout: the previews' key would come to stand in it.
    settings.write_text(without := re.sub("(?m)^encryptionsalt:.*\n", "", own))
    # After every deployment: the second writes over the first.
    for _ in range(2):
        workspace.preview("publish", "--base", "dev")
    assert settings.read_text() == without != own
    settings.write_text(own)
    # A team may keep all in one place: there is no copy to make there, and much to lose.
    assert "nothing to publish" in workspace.preview(
        "publish", "--base", "dev", backend=workspace.environments
    )
    assert len(workspace.resources("dev")) > 200


def test_preview_comes_changes_and_goes_and_leaves_the_base_as_it_was(workspace: Workspace) -> None:
    before = workspace.census()
    workspace.account.fails = True
    said = workspace.preview("up", "--pr", "7", "--empty", fails=True)
    workspace.account.fails = False
    # A release that failed starts no service; the next run goes on from there.
    assert "migrate failed" in said.rpartition("bring up pr-7")[2]
    assert workspace.census()["services"] == before["services"]
    said = workspace.preview("up", "--pr", "7", "--empty")
    assert "https://pr-7.dev.example.org" in said
    # The release's invocation and the services; the failed run made the rest.
    assert f"operations  {1 + len(SERVICES)} create, 94 same" in said
    assert {"pr_7_patient", "pr_7_auth"} < workspace.account.databases

    let_differ(workspace, "billing", "release")
    invoked = len(workspace.account.invoked)
    said = workspace.preview("up", "--pr", "7", "--empty")
    assert "changed     billing, release" in said
    # Two images, their builds and two definitions; the service, the release, and what their roles
    # may pull.
    assert all(count in said for count in ("4 create, ", "2 replace, ", "4 update"))
    # The release ran again, and dropped nothing.
    assert [event["action"] for event in workspace.account.invoked[invoked:]] == ["update"]
    assert "pr_7_patient" in workspace.account.databases

    # Another machine takes it down: it has no settings of it.
    workspace.settings_of(PREVIEW).unlink()
    for _ in range(2):
        assert "nothing is left" in workspace.preview("down", "--pr", "7")
    assert workspace.census() == before
    assert not workspace.settings_of(PREVIEW).exists()


def let_differ(workspace: Workspace, *services: str) -> None:
    """As if the base ran other services than this checkout has."""
    outputs = workspace.outputs("dev")
    for service in services:
        outputs["images"][service]["source"] = "another"
    shown = deployment("dev", {key: outputs[key] for key in ("platform", "images")})
    file = workspace.previews.parent / "shown.json"
    file.write_text(json.dumps({"version": 3, "deployment": shown}))
    workspace.pulumi(
        "stack", "import", "--stack", "dev", "--file", str(file), backend=workspace.previews
    )


@pytest.mark.parametrize(
    ("arguments", "rule"), [("", "registry-scan"), (SCANNED, "registry-lifecycle")]
)
def test_what_breaks_a_rule_of_one_resource_or_of_the_stack_is_refused(
    workspace: Workspace, tmp_path: Path, arguments: str, rule: str
) -> None:
    (tmp_path / "Pulumi.yaml").write_text(
        "name: patient-management\nruntime: {name: python, options: {virtualenv: .venv}}"
    )
    (tmp_path / ".venv").symlink_to(workspace.folder / ".venv")
    (tmp_path / "__main__.py").write_text(REPOSITORY.format(arguments))
    workspace.pulumi("stack", "init", rule, project=tmp_path)
    pack = str(workspace.folder / "infrastructure" / "policies")
    said = workspace.pulumi(
        "preview", "--stack", rule, "--policy-pack", pack, project=tmp_path, fails=True
    )
    assert rule in said


def test_environment_goes_and_leaves_the_images_that_others_run(
    workspace: Workspace, nothing: Census
) -> None:
    workspace.pulumi("destroy", "--stack", "dev", "--yes", "--skip-preview")
    left = {
        place: there - nothing[place]
        for place, there in workspace.census().items()
        if there != nothing[place]
    }
    assert left == {"ecr repositories": {f"patient-management/{image}" for image in IMAGES}}
