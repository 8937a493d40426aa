"""Comments and docstrings end at 100 characters; the formatter sees to the code."""

import ast
import io
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LONGEST = 100
AREAS = (
    "infrastructure",
    "apps/release",
    "apps/catalogue.py",
    "apps/operations.py",
    "apps/verbs.py",
    "tests/infrastructure",
    "tests/release",
)
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def prose_lines(text: str) -> Iterator[int]:
    """Yields the numbers of the lines that are a comment or part of a docstring."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT and token.line.lstrip().startswith("#"):
            yield token.start[0]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node) is not None:
            docstring = node.body[0]
            yield from range(docstring.lineno, (docstring.end_lineno or docstring.lineno) + 1)


@pytest.mark.parametrize("area", AREAS)
def test_prose_is_not_wider_than_a_page(area: str) -> None:
    path = ROOT / area
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
    assert files
    long = []
    for file in files:
        text = file.read_text(encoding="utf-8")
        lines = text.splitlines()
        long += [
            f"{file.relative_to(ROOT)}:{number}"
            for number in prose_lines(text)
            if len(lines[number - 1]) > LONGEST
        ]
    assert long == []
