from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from infrastructure.preview.comment import (
    AUTHOR,
    LONGEST_BYTES,
    LONGEST_CHARACTERS,
    read_bounded,
    write,
)

pytestmark = pytest.mark.infrastructure


class FakeGithub:
    def __init__(self) -> None:
        self.comments: list[dict[str, Any]] = []

    def say(self, login: str, body: str) -> None:
        self.comments.append({"id": len(self.comments) + 1, "user": {"login": login}, "body": body})

    def call(self, method: str, path: str, body: Mapping[str, str] | None) -> Any:
        if method == "GET":
            page = int(path.rpartition("=")[2])
            return self.comments[(page - 1) * 100 : page * 100]
        assert body is not None
        if method == "POST":
            self.say(AUTHOR, body["body"])
        else:
            self.comments[int(path.rpartition("/")[2]) - 1]["body"] = body["body"]
        return None


def test_next_text_replaces_the_comment() -> None:
    github = FakeGithub()
    for _ in range(150):
        github.say("reviewer", "looks good")
    for text in ("first", "second"):
        write(github.call, "owner/name", 12, "plan", text)
    assert len(github.comments) == 151
    assert github.comments[-1]["body"].endswith("second")


def test_two_texts_have_a_comment_each() -> None:
    github = FakeGithub()
    write(github.call, "owner/name", 12, "plan", "a plan")
    write(github.call, "owner/name", 12, "preview", "an address")
    assert len(github.comments) == 2


def test_comment_of_a_person_is_never_overwritten() -> None:
    github = FakeGithub()
    github.say("reviewer", "<!-- patient-management: plan -->\nmine")
    write(github.call, "owner/name", 12, "plan", "a plan")
    assert github.comments[0]["body"].endswith("mine")


FULL = "x" * LONGEST_CHARACTERS
CUT = "\n\n… the rest is in the run's summary.\n"


@pytest.mark.parametrize(
    ("text", "written"),
    [
        (FULL, FULL),
        (FULL + "x", FULL + CUT),
        (f"line\n{FULL[5:]}\nmore", "line" + CUT),
        (f"line\n{FULL[6:]}\nmore", f"line\n{FULL[6:]}" + CUT),
    ],
    ids=["fits", "one line", "one line more", "two lines"],
)
def test_long_text_is_cut_to_what_github_takes(text: str, written: str) -> None:
    github = FakeGithub()
    write(github.call, "owner/name", 12, "plan", text)
    assert github.comments[0]["body"] == f"<!-- patient-management: plan -->\n{written}"


def test_cut_text_leaves_nothing_open() -> None:
    github = FakeGithub()
    write(github.call, "owner/name", 12, "plan", "<details>\n\n```diff\n" + "- a line\n" * 10_000)
    assert github.comments[0]["body"].endswith(
        "- a line\n```\n\n</details>\n\n… the rest is in the run's summary.\n"
    )


def test_text_of_a_pull_request_writes_to_nobody() -> None:
    github = FakeGithub()
    write(
        github.call, "owner/name", 12, "plan", "@everyone look, (@reviewer) but admin@example.org"
    )
    body = github.comments[0]["body"]
    assert "@everyone" not in body
    assert "@reviewer" not in body
    assert "admin@example.org" in body


def test_file_of_whatever_size_and_content_is_read(tmp_path: Path) -> None:
    file = tmp_path / "plan.md"
    file.write_bytes(b"\xff" * (LONGEST_BYTES + 1))
    assert len(read_bounded(file)) == LONGEST_BYTES
