"""Writes the FHIR part of the OpenAPI document beside the gateway's own part: `scripts/openapi [--check]`."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from apps.kit.web import PolicedRoute
from apps.patient.fhir.routes import fhir_routes
from apps.patient.openapi.operations import paths
from apps.patient.openapi.parameters import kind_schemas, parameter_components
from apps.patient.openapi.schemas import schemas
from apps.patient.settings import MAX_BUNDLE_BYTES

DOCUMENT = Path(__file__).parents[2] / "gateway" / "fhir_openapi.json"


def document() -> dict[str, Any]:
    """Returns the paths, and the schemas and parameters that they name."""
    routes = [route for route in fhir_routes(MAX_BUNDLE_BYTES) if isinstance(route, PolicedRoute)]
    return {
        "paths": paths(routes),
        "components": {
            "parameters": parameter_components(),
            "schemas": schemas() | kind_schemas(),
        },
    }


def render(content: dict[str, Any]) -> str:
    """Returns JSON with a line for each path, schema and parameter, so that differences can be read."""

    def lines(part: dict[str, Any]) -> str:
        rows = (
            f"{json.dumps(name)}:{json.dumps(value, separators=(',', ':'), ensure_ascii=False)}"
            for name, value in part.items()
        )
        return "{\n" + ",\n".join(rows) + "\n}"

    components = ",\n".join(
        f"{json.dumps(name)}:{lines(part)}" for name, part in content["components"].items()
    )
    return f'{{"paths":{lines(content["paths"])},\n"components":{{{components}}}}}\n'


def main() -> int:
    """Runs `scripts/openapi`; returns the exit status."""
    parser = argparse.ArgumentParser(prog="scripts/openapi", description=__doc__)
    parser.add_argument("--check", action="store_true", help="report differences, write nothing")
    arguments = parser.parse_args()
    text = render(document())
    if arguments.check:
        if DOCUMENT.exists() and DOCUMENT.read_text() == text:
            return 0
        print(f"{DOCUMENT.name} differs from routes and definitions: run scripts/openapi")
        return 1
    DOCUMENT.write_text(text)
    print(f"{DOCUMENT.relative_to(Path.cwd())}: {len(text.encode()) // 1024} KiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
