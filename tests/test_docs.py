"""The documentation: its links lead somewhere, and what it says of paths and names is true."""

import re
from pathlib import Path

import pytest

from infrastructure.operate.documentation import PAGE, replace_table

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
# `[text](target)`, not an address elsewhere.
LINK = re.compile(r"\[[^\]]*\]\((?!https?:|mailto:)([^)#\s]+)(#[^)]*)?\)")
SCRIPT = re.compile(r"\bscripts/([a-z-]+)\b")


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_links_lead_to_files(page: Path) -> None:
    for target, _ in LINK.findall(page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_scripts_that_are_named_exist(page: Path) -> None:
    for name in SCRIPT.findall(page.read_text()):
        assert (ROOT / "scripts" / name).exists(), f"{page.name} names scripts/{name}"


def test_every_page_is_linked_from_the_readme() -> None:
    linked = {target for target, _ in LINK.findall((ROOT / "README.md").read_text())}
    for page in (ROOT / "docs").glob("*.md"):
        assert f"docs/{page.name}" in linked, f"README.md does not link to docs/{page.name}"
    assert {"LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"} <= linked


def test_verbs_of_the_documentation_are_those_of_the_table() -> None:
    page = PAGE.read_text()
    assert replace_table(page) == page


def test_readme_says_what_disk_and_network_a_start_needs() -> None:
    text = (ROOT / "README.md").read_text()
    assert re.search(r"\d+ MB.*\d+(\.\d+)? GB of disk", text.replace("\n", " "))
