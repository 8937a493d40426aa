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


def changes() -> list[tuple[str, list[Path], list[str]]]:
    """The rows of the README's table "To change": what, the files to open, the names in them."""
    text = (ROOT / "README.md").read_text().partition("## To change\n")[2].partition("\n\nLic")[0]
    rows = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 3 and LINK.search(cells[1]):
            files = [ROOT / target for target, _ in LINK.findall(cells[1])]
            rows.append((cells[0], files, re.findall(r"`([^`]+)`", cells[2])))
    return rows


CHANGES = changes()


def test_readme_names_a_file_for_each_common_change() -> None:
    assert len(CHANGES) >= 20


@pytest.mark.parametrize(("what", "files", "names"), CHANGES, ids=[row[0] for row in CHANGES])
def test_file_to_open_has_the_name(what: str, files: list[Path], names: list[str]) -> None:
    for file in files:
        assert file.exists(), f"to change {what}: there is no {file}"
    text = "".join(file.read_text() for file in files if file.is_file())
    for name in names:
        assert name in text, f"to change {what}: no {name} in {[file.name for file in files]}"


NAMED_TEST = re.compile(r"`((?:[a-z_]+/)+test_[a-z_]+\.py)(?:::(test_\w+))?`")
CONFORMANCE = ROOT / "docs" / "identity-conformance.md"


def test_tests_of_the_conformance_tables_exist() -> None:
    named = NAMED_TEST.findall(CONFORMANCE.read_text())
    assert len(named) > 50
    for file, test in named:
        path = ROOT / "tests" / file
        assert path.exists(), file
        assert not test or f"def {test}(" in path.read_text(), f"{file}::{test}"


def test_every_row_of_the_conformance_tables_names_a_test_or_says_that_it_is_not_offered() -> None:
    rows = [line for line in CONFORMANCE.read_text().splitlines() if line.startswith("| ")]
    for row in rows:
        covered_by = row.strip("| ").rpartition(" | ")[2]
        assert covered_by in ("---", "covered by") or (
            NAMED_TEST.search(covered_by) or "not offered" in covered_by
        ), row
