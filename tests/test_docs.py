"""The documentation: its links lead somewhere, and what it says of paths and names is true."""

import ast
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


# The twenty changes by which a newcomer is tried, each by a word of its row.
WANTED = (
    "FHIR search parameter",
    "argon2",
    "brokers' disk",
    "preview lives",
    "outbox's batch",
    "token's lifetime",
    "route of the gateway",
    "VPC's CIDR",
    "call of billing",
    "sign-in page's text",
    "rate limit",
    "database's class",
    "registrar may do",
    "consumer's retries",
    "policy rule",
    "local Kafka's memory",
    "OIDC discovery document",
    "body limit",
    "new service",
    "smoke test",
)


def changes() -> list[tuple[str, list[Path], list[str]]]:
    """Returns the rows of the README's table "To change": what, the files to open, the
    names in them.

    A file's link may be followed by names of its neighbours: `stacks.py`, staging.
    """
    text = (ROOT / "README.md").read_text().partition("## To change\n")[2].partition("\n\nLic")[0]
    rows = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 3 and LINK.search(cells[1]):
            files = [ROOT / target for target, _ in LINK.findall(cells[1])]
            neighbours = re.findall(r", `(\w+\.py)`", cells[1])
            files += [files[0].parent / name for name in neighbours]
            if files[0].name == "Pulumi.dev.yaml":
                files += [ROOT / "Pulumi.staging.yaml", ROOT / "Pulumi.prod.yaml"]
            rows.append((cells[0], files, re.findall(r"`([^`]+)`", cells[2])))
    return rows


def has_name(file: Path, name: str) -> bool:
    """Returns whether the file defines the name: a use of it elsewhere is not what to change."""
    text = file.read_text()
    if file.suffix == ".py":
        nodes = ast.parse(text).body
        return any(
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            and node.name == name
            for node in nodes
        ) or any(
            isinstance(target, ast.Name) and target.id == name
            for node in nodes
            if isinstance(node, ast.Assign | ast.AnnAssign)
            for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        )
    if file.suffix == ".yaml":
        return re.search(rf"^\s*(patient-management:)?{re.escape(name)}:", text, re.M) is not None
    return re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text) is not None


CHANGES = changes()


@pytest.mark.parametrize("what", WANTED)
def test_readme_names_a_file_for_each_change_that_newcomers_try(what: str) -> None:
    (row,) = [row for row in CHANGES if what in row[0]]
    assert row[1]
    assert row[2], f"to change {what}: the README names a file, and nothing in it"


@pytest.mark.parametrize(("what", "files", "names"), CHANGES, ids=[row[0] for row in CHANGES])
def test_file_to_open_defines_the_name(what: str, files: list[Path], names: list[str]) -> None:
    for file in files:
        assert file.exists(), f"to change {what}: there is no {file}"
    for name in names:
        assert any(has_name(file, name) for file in files if file.is_file()), (
            f"to change {what}: no {name} in {[file.name for file in files]}"
        )
    # Each stack has its own value, and so has each rule's file.
    if files[0].suffix == ".yaml":
        assert all(has_name(file, name) for file in files for name in names)


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
