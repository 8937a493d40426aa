"""Writes generated parts of the OpenAPI document: `scripts/openapi [--check]`."""

import argparse
import json
from pathlib import Path
from typing import Any


def render(document: dict[str, Any]) -> str:
    """Returns JSON with a line for each path and component, so that differences can be read."""

    def lines(part: dict[str, Any]) -> str:
        rows = (f"{json.dumps(name)}:{_compact(value)}" for name, value in part.items())
        return "{\n" + ",\n".join(rows) + "\n}"

    parts = []
    for name, part in document.items():
        if name == "paths":
            text = lines(part)
        elif name == "components":
            rows = (f"{json.dumps(kind)}:{lines(named)}" for kind, named in part.items())
            text = "{" + ",\n".join(rows) + "}"
        else:
            text = _compact(part)
        parts.append(f"{json.dumps(name)}:{text}")
    return "{" + ",\n".join(parts) + "}\n"


def generate(path: Path, document: dict[str, Any]) -> int:
    """Writes the document, or with `--check` on the command line compares; returns
    the exit status.
    """
    parser = argparse.ArgumentParser(prog="scripts/openapi", description=__doc__)
    parser.add_argument("--check", action="store_true", help="report differences, write nothing")
    arguments = parser.parse_args()
    text = render(document)
    if arguments.check:
        if path.exists() and path.read_text() == text:
            return 0
        print(f"{path.name} differs from what it is made of: run scripts/openapi")
        return 1
    path.write_text(text)
    print(f"{path.name}: {len(text.encode()) // 1024} KiB")
    return 0


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
