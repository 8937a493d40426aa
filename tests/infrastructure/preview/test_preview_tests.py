"""A reviewer's and a workflow's way into a preview, on a real platform of which they know what a
preview tells.
"""

import json
import os
import re
import subprocess
import urllib.parse
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from infrastructure.preview.errors import PreviewError
from infrastructure.preview.preview_tests import (
    ROOT,
    PreviewAccess,
    open_access,
    run_system_tests,
    seed,
)

pytestmark = pytest.mark.system

# A visitor's whole way: what must run against a preview, whatever else is skipped there.
MUST_PASS = (
    "test_registered_patient_has_an_account_and_is_counted[simple]",
    "test_registered_patient_has_an_account_and_is_counted[fhir]",
    "test_registered_patient_has_an_account_and_is_counted[bundle]",
    "test_history_is_found_by_patient",
    "test_person_signs_in_by_the_short_login_and_registers_a_patient",
    "test_repeated_request_makes_one_patient_one_account_one_count",
    "test_bad_token_is_401_at_the_gateway_and_at_the_service[none]",
    "test_bad_token_is_401_at_the_gateway_and_at_the_service[another key]",
    "test_token_without_the_scope_is_403_at_the_gateway_and_at_the_service",
    "test_what_is_internal_is_not_there_from_outside",
    "test_wrong_password_is_401",
    "test_public_paths_need_no_token",
)


@pytest.fixture
def access_to(monkeypatch: pytest.MonkeyPatch) -> Iterator[PreviewAccess]:
    """The running platform, as a preview's stack and its secrets tell of one."""
    if "PLATFORM_PIDS" not in os.environ:
        pytest.skip("scripts/test system starts the platform that stands for a preview here")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with mock_aws():
        secrets = boto3.client("secretsmanager", region_name="us-east-1")
        made = {
            name: secrets.create_secret(
                Name=f"preview/pr-12/{name}", SecretString=os.environ[name]
            )["ARN"]
            for name in ("PLATFORM_PASSWORD", "PLATFORM_CLIENT_SECRET")
        }
        sign_in = {
            "user": os.environ["PLATFORM_USER"],
            "client_id": os.environ["PLATFORM_CLIENT_ID"],
            "password_arn": made["PLATFORM_PASSWORD"],
            "client_secret_arn": made["PLATFORM_CLIENT_SECRET"],
        }
        yield open_access({"url": os.environ["PLATFORM_URL"], "sign_in": sign_in}, secrets)


def ask(
    access_to: PreviewAccess, path: str, form: dict[str, str] | None = None, **headers: str
) -> Any:
    data = urllib.parse.urlencode(form).encode() if form else None
    request = urllib.request.Request(access_to.url + path, data, headers)  # noqa: S310
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        return json.load(answer)


def patients(access_to: PreviewAccess) -> int:
    basic = b64encode(f"{access_to.client_id}:{access_to.client_secret}".encode()).decode()
    token = ask(
        access_to,
        "/oauth2/token",
        {"grant_type": "client_credentials"},
        Authorization=f"Basic {basic}",
    )
    bearer = f"Bearer {token['access_token']}"
    return int(ask(access_to, "/fhir/R4/Patient?_summary=count", Authorization=bearer)["total"])


def test_seed_brings_the_synthetic_people_once(
    access_to: PreviewAccess, capfd: pytest.CaptureFixture[str]
) -> None:
    people = len(list((ROOT / "apps/client/people").glob("*.json")))
    before = patients(access_to)
    seed(access_to)
    assert patients(access_to) - before == people
    seed(access_to)
    assert patients(access_to) - before == people
    assert f"{people} files skipped" in capfd.readouterr().out


def test_system_tests_run_against_what_a_preview_tells(
    access_to: PreviewAccess, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", "-rA --tb=short -p no:cacheprovider")
    run_system_tests(access_to)
    told = capfd.readouterr().out
    passed = set(re.findall(r"^PASSED \S+::(.+)$", told, re.MULTILINE))
    assert not set(MUST_PASS) - passed, told
    # Behind the gateway's back, or with the platform's own key: nobody outside can.
    assert "PLATFORM_AUTH_KEY_ENCRYPTION_KEY is not set" in told


def test_run_in_which_every_test_is_skipped_is_no_success(
    access_to: PreviewAccess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", "-k own_token -p no:cacheprovider")
    with pytest.raises(PreviewError, match="system tests failed"):
        run_system_tests(access_to)


def test_nothing_of_another_platform_reaches_a_preview(
    access_to: PreviewAccess, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, str] = {}

    def run(
        command: list[str], *, env: dict[str, str], **options: object
    ) -> subprocess.CompletedProcess[str]:
        seen.update(env)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", run)
    run_system_tests(access_to)
    assert {name for name in seen if name.startswith("PLATFORM_")} == set(access_to.environment())
