"""FHIR clients for JavaScript that others wrote, against the running platform: every call
that they offer.
"""

import json
import os
import secrets
import shutil
import subprocess
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.clients
HERE = Path(__file__).parent
CACHE = HERE.parents[2] / ".local" / "clients"
INSTALL_SECONDS = 300
RUN_SECONDS = 120


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    """Returns what each client found."""
    platform = os.environ["PLATFORM_URL"]
    answer = httpx.post(
        platform + "/oauth2/token",
        auth=(os.environ["PLATFORM_CLIENT_ID"], os.environ["PLATFORM_CLIENT_SECRET"]),
        data={"grant_type": "client_credentials", "scope": "system/*.cruds"},
        timeout=30,
    )
    token = answer.raise_for_status().json()["access_token"]
    family = "Node" + secrets.token_hex(4)
    run = subprocess.run(
        ["node", str(installed() / "node_clients.mjs"), platform + "/fhir/R4", token, family],
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )
    found = [json.loads(line) for line in run.stdout.splitlines() if line.startswith('{"name"')]
    assert len(found) == 3, run.stderr[-4000:]
    return {each["name"]: each["result"] for each in found}


def installed() -> Path:
    """Installs the packages of package-lock.json once for each content of the lock;
    returns their folder.
    """
    lock = (HERE / "package-lock.json").read_bytes()
    folder = CACHE / sha256(lock).hexdigest()[:16]
    if not (folder / "installed").exists():
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, folder)
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
        subprocess.run(
            [*command, "--legacy-peer-deps"], cwd=folder, check=True, timeout=INSTALL_SECONDS
        )
        (folder / "installed").touch()
    shutil.copy(HERE / "node_clients.mjs", folder)
    return folder


def test_fhir_kit_client(told: dict[str, Any]) -> None:
    assert told["fhirKit"] == {
        "fhirVersion": "4.0.1",
        "signIn": True,
        "changed": ["female", "1980-01-02", "1"],
        "pages": [2, 1],
        "found": [3, 1],
        "history": [3, True],
        "bundles": ["201", "201", "201", "201"],
        "everything": 4,
        "validated": "OperationOutcome",
    }


def test_medplum(told: dict[str, Any]) -> None:
    assert told["medplum"] == {
        "same": True,
        "changed": ["female", "1980-01-02", "1"],
        "found": [2, 3, True],
        "history": 3,
        "everything": 4,
        "metadata": "4.0.1",
        "versioned": True,
        "bundles": ["201", "201", "201", "201"],
        "validated": "OperationOutcome",
    }


def test_smart_client(told: dict[str, Any]) -> None:
    assert told["smart"] == {
        "changed": ["female", "1980-01-02"],
        "metadata": "CapabilityStatement",
        "versioned": "4",
        "history": 4,
        "bundles": ["201", "201", "201", "201"],
        "everything": 4,
        "validated": "OperationOutcome",
        "paged": 3,
        "resolved": True,
        "fhirVersion": "4.0.1",
    }
