"""Which jobs run for which event: a preview comes by its label, goes with it, and never comes for
what is closed.
"""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.infrastructure.preview.expressions import holds

pytestmark = pytest.mark.infrastructure

JOBS = yaml.safe_load((Path(__file__).parents[3] / ".github/workflows/preview.yml").read_text())[
    "jobs"
]
REPOSITORY = "example-org/patient-management"
ROLE = "arn:aws:iam::123456789012:role/github-preview"
PREVIEW, KEEP, OTHER = "preview", "preview-keep", "documentation"


def runs(
    action: str,
    *labels: str,
    label: str = "",
    state: str = "open",
    source: str = "",
    all_: bool = False,
) -> set[str]:
    """Of the jobs that need none before them.

    `labels` are there after the event, `label` is what it was about.
    """
    event: dict[str, Any] = {
        "action": action,
        "pull_request": {
            "state": state,
            "head": {"repo": {"full_name": source or REPOSITORY}},
            "labels": [{"name": each} for each in labels],
        },
        **({"label": {"name": label}} if label else {}),
    }
    github = {"event_name": "pull_request", "repository": REPOSITORY, "event": event}
    context = {
        "github": github,
        "vars": {"PREVIEWS": "all" if all_ else "", "AWS_PREVIEW_ROLE": ROLE},
    }
    return {name for name, job in JOBS.items() if "needs" not in job and holds(job["if"], context)}


@pytest.mark.parametrize("action", ["opened", "reopened", "synchronize"])
def test_commits_are_planned_and_brought_up_where_they_are_labelled_or_all_are(action: str) -> None:
    assert runs(action) == {"plan"}
    assert runs(action, PREVIEW) == {"plan", "up"}
    assert runs(action, all_=True) == {"plan", "up"}
    assert runs(action, OTHER) == {"plan"}


def test_label_brings_it_up_and_any_other_label_does_nothing() -> None:
    assert runs("labeled", PREVIEW, label=PREVIEW) == {"up"}
    assert runs("labeled", PREVIEW, KEEP, label=KEEP) == {"up"}
    for action in ("labeled", "unlabeled"):
        assert runs(action, PREVIEW, OTHER, label=OTHER) == set()
        assert runs(action, label=OTHER, all_=True) == set()


def test_label_taken_off_takes_it_down_unless_all_have_one_or_it_is_kept() -> None:
    assert runs("unlabeled", label=PREVIEW) == {"down"}
    assert runs("unlabeled", label=PREVIEW, all_=True) == {"up"}
    assert runs("unlabeled", KEEP, label=PREVIEW) == set()
    # What its stack remembers of the label is written anew.
    assert runs("unlabeled", PREVIEW, label=KEEP) == {"up"}
    assert runs("unlabeled", label=KEEP) == {"down"}


def test_closed_one_goes_unless_it_is_kept() -> None:
    assert runs("closed", PREVIEW, state="closed") == {"down"}
    assert runs("closed", state="closed", all_=True) == {"down"}
    assert runs("closed", PREVIEW, KEEP, state="closed") == set()


def test_nothing_goes_where_previews_were_never_switched_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(globals(), "ROLE", "")
    assert runs("closed", state="closed") == set()


def test_nothing_comes_up_for_a_closed_one() -> None:
    assert runs("labeled", PREVIEW, label=PREVIEW, state="closed") == set()
    assert runs("labeled", OTHER, label=OTHER, state="closed", all_=True) == set()
    assert runs("unlabeled", PREVIEW, label=KEEP, state="closed") == {"down"}
    assert runs("unlabeled", label=PREVIEW, state="closed", all_=True) == {"down"}


@pytest.mark.parametrize("action", ["opened", "labeled", "closed"])
def test_fork_gets_nothing_that_has_credentials(action: str) -> None:
    label = PREVIEW if action == "labeled" else ""
    state = "closed" if action == "closed" else "open"
    found = runs(
        action, PREVIEW, label=label, state=state, source="somebody/patient-management", all_=True
    )
    assert found <= {"plan"}


def test_one_that_was_started_by_hand_only_comes_up() -> None:
    github = {"event_name": "workflow_dispatch", "repository": REPOSITORY, "event": {}}
    assert {
        name
        for name, job in JOBS.items()
        if "needs" not in job and holds(job["if"], {"github": github})
    } == {"up"}


@pytest.mark.parametrize(
    ("result", "told"),
    [("success", True), ("failure", True), ("cancelled", False), ("skipped", False)],
)
def test_what_an_up_came_to_is_told_and_what_never_ran_is_not(result: str, told: bool) -> None:
    context = {"github": {"event_name": "pull_request"}, "needs": {"up": {"result": result}}}
    assert holds(JOBS["address"]["if"], context) is told
