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

from apps.patient.definitions.model import served_types
from tests.gateway.bounded_bodies import with_bounded_bodies

pytestmark = pytest.mark.clients

CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
# Of a part, on a busy machine.
TIMEOUT_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Part:
    """Paths, how they are tried, and for how long at most; None: until each was tried.

    Fuzzing goes on until its time is over, however few examples are asked for.
    """

    paths: str
    options: Sequence[str]
    max_seconds: int | None
    methods: Sequence[str] = ("get", "post", "put", "patch", "delete")


PARTS = {
    # Every type has the same operations: one with positions, one in a patient's compartment.
    "fhir": Part(
        r"^/fhir/R4/((Location|Observation|Coverage|Goal)|(Observation|AuditEvent)/\{id\})$",
        ("--phases", "examples,coverage"),
        15,
    ),
    "fhir-operations": Part(
        r"^/fhir/R4(/[_m$].*|/\{.*|/Patient/\$match|/Observation/\$lastn)?$",
        ("--phases", "coverage,fuzzing", "--max-examples", "2"),
        10,
    ),
    # Searches of every type, and bodies of each.
    "fhir-types": Part(
        r"^/fhir/R4/[A-Z][A-Za-z]+(/\{id\})?$",
        ("--phases", "fuzzing", "--max-examples", "2"),
        None,
        methods=("get", "post", "put"),
    ),
    "fhir-sequences": Part(
        r"^/fhir/R4/(Patient|Observation)(/\{id\}.*)?$",
        ("--phases", "stateful", "--max-examples", "2"),
        8,
    ),
    # The last: it ends the administrator's sessions among others.
    "services": Part(
        # A stream has no end; sign-in's pages have tests with a browser.
        r"^/(api|analytics/v1/(?!events)|auth/v1|billing)",
        ("--phases", "examples,coverage"),
        15,
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
        path: {method: operation for method, operation in item.items() if method in part.methods}
        for path, item in document["paths"].items()
        if re.search(part.paths, path)
    }
    kept = {path: item for path, item in kept.items() if item}
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
    whole = with_bounded_bodies(httpx.get(f"{url}/openapi.json").json())
    document = part_of(whole, tried)
    assert len(document["paths"]) >= 4
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(document))
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIGURATION)),
        *("run", str(file), "--url", url, "--header", f"Authorization: Bearer {token}"),
        *("--checks", "all", "--workers", "1", "--request-timeout", "20", "--no-color"),
        *("--continue-on-failure", *tried.options),
    ]
    if tried.max_seconds is not None:
        command += ["--max-time", str(tried.max_seconds)]
    run = subprocess.run(
        command,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    failures = run.stdout[run.stdout.find(" FAILURES ") :]
    assert run.returncode == 0, failures[:8000] + run.stderr[-2000:]
    if tried.max_seconds is None:
        assert "Time limit" not in run.stdout, run.stdout[-8000:]
        assert len(served_types()) - 1 == sum("post" in item for item in document["paths"].values())
    if part != "services":
        # What is refused for its token is not tried.
        assert "Authentication failed" not in run.stdout, run.stdout[-8000:]
