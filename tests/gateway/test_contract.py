"""Schemathesis, with all its checks, holds the running platform to its OpenAPI document."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.clients

CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
TIMEOUT_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Part:
    """Paths, how they are tried, and for how long at most when the machine is not busy."""

    paths: str
    options: Sequence[str]
    budget_seconds: int
    only_reads: bool = False


PARTS = {
    # Every type has the same operations: one with positions, one in a patient's compartment.
    "fhir": Part(
        r"^/fhir/R4/((Location|Observation|Coverage|Goal)|(Observation|AuditEvent)/\{id\})$",
        ("--phases", "examples,coverage"),
        60,
    ),
    "fhir-operations": Part(
        r"^/fhir/R4(/[_m$].*|/\{.*|/Patient/\$match|/Observation/\$lastn)?$",
        ("--phases", "coverage,fuzzing", "--max-examples", "5"),
        30,
    ),
    # Bodies of whole types take minutes to make.
    "fhir-searches": Part(
        r"^/fhir/R4/[A-Z][A-Za-z]+(/\{id\})?$",
        ("--phases", "fuzzing", "--max-examples", "2"),
        30,
        only_reads=True,
    ),
    "fhir-sequences": Part(
        r"^/fhir/R4/(Patient|Observation)(/\{id\}.*)?$",
        ("--phases", "stateful", "--max-examples", "5"),
        20,
    ),
    # The last: it ends the administrator's sessions among others.
    "services": Part(
        # A stream has no end; sign-in's pages have tests with a browser.
        r"^/(api|analytics/v1/(?!events)|auth/v1|billing)",
        ("--phases", "examples,coverage"),
        60,
    ),
}


@pytest.fixture
def token() -> str:
    """Returns the token of an administrator, who may do everything."""
    login = {"email": os.environ["PLATFORM_USER"], "password": os.environ["PLATFORM_PASSWORD"]}
    answer = httpx.post(os.environ["PLATFORM_URL"] + "/auth/login", json=login)
    return str(answer.raise_for_status().json()["token"])


def part_of(document: dict[str, Any], part: Part) -> dict[str, Any]:
    """Returns the document with the part's paths and the components that they name."""
    kept = {
        path: {
            method: operation
            for method, operation in item.items()
            if method == "get" or not part.only_reads
        }
        for path, item in document["paths"].items()
        if re.search(part.paths, path)
    }
    components: dict[str, Any] = {
        "securitySchemes": document["components"]["securitySchemes"],
    }

    def collect(value: Any) -> None:
        if isinstance(value, list):
            for item in value:
                collect(item)
        elif isinstance(value, dict):
            if isinstance(value.get("$ref"), str):
                _, _, kind, name = value["$ref"].split("/")
                if name not in components.setdefault(kind, {}):
                    components[kind][name] = document["components"][kind][name]
                    collect(components[kind][name])
            for item in value.values():
                collect(item)

    collect(kept)
    return {**document, "paths": kept, "components": components}


@pytest.mark.parametrize("part", PARTS)
def test_platform_keeps_to_its_document(part: str, token: str, tmp_path: Path) -> None:
    url = os.environ["PLATFORM_URL"]
    tried = PARTS[part]
    document = part_of(httpx.get(f"{url}/openapi.json").json(), tried)
    assert len(document["paths"]) >= 4
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(document))
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIGURATION)),
        *("run", str(file), "--url", url, "--header", f"Authorization: Bearer {token}"),
        *("--checks", "all", "--workers", "1", "--request-timeout", "20", "--no-color"),
        *("--max-time", str(tried.budget_seconds), "--continue-on-failure", *tried.options),
    ]
    run = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
    )
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-2000:]
    if part != "services":
        # What is refused for its token is not tried.
        assert "Authentication failed" not in run.stdout, run.stdout[-8000:]
