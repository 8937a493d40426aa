"""What is run against a preview, and by whose accounts: without a platform."""

import os
import subprocess
from typing import Any

import pytest
from botocore.exceptions import ClientError

from infrastructure.preview import preview_tests
from infrastructure.preview.errors import AccessDeniedError, PreviewError
from infrastructure.preview.preview_tests import (
    PreviewAccess,
    open_access,
    run,
    run_system_tests,
    seed,
    wait_until_steady,
)
from infrastructure.smoke import BrokenError

pytestmark = pytest.mark.infrastructure
SIGN_IN = {
    "user": "trial@example.org",
    "client_id": "trial",
    "password_arn": "arn:password",
    "client_secret_arn": "arn:secret",
}
OUTPUTS = {"url": "https://pr-7.example.org", "sign_in": SIGN_IN}


class FakeSecrets:
    values = {"arn:password": "open", "arn:secret": "sesame"}

    def get_secret_value(self, *, SecretId: str) -> dict[str, str]:
        if SecretId not in self.values:
            error: Any = {"Error": {"Code": "AccessDeniedException", "Message": "no"}}
            raise ClientError(error, "GetSecretValue")
        return {"SecretString": self.values[SecretId]}


@pytest.fixture
def opened() -> PreviewAccess:
    return open_access(OUTPUTS, FakeSecrets())


def test_accounts_of_a_preview_are_those_that_its_stack_names(opened: PreviewAccess) -> None:
    assert opened.environment() == {
        "PLATFORM_URL": "https://pr-7.example.org",
        "PLATFORM_USER": "trial@example.org",
        "PLATFORM_PASSWORD": "open",
        "PLATFORM_CLIENT_ID": "trial",
        "PLATFORM_CLIENT_SECRET": "sesame",
    }
    assert "open" not in repr(opened)
    assert "sesame" not in repr(opened)


@pytest.mark.parametrize(
    "outputs",
    [{}, {"url": "https://x"}, {"sign_in": SIGN_IN}, {"url": "https://x", "sign_in": "text"}],
    ids=str,
)
def test_preview_that_is_not_up_lets_nobody_in(outputs: dict[str, Any]) -> None:
    with pytest.raises(PreviewError, match="this preview is not up"):
        open_access(outputs, FakeSecrets())


def test_password_that_may_not_be_read_is_named() -> None:
    denied = {**OUTPUTS, "sign_in": {**SIGN_IN, "password_arn": "arn:other"}}
    with pytest.raises(AccessDeniedError, match="read arn:other"):
        open_access(denied, FakeSecrets())


def test_preview_without_its_outputs_is_not_steady() -> None:
    with pytest.raises(PreviewError, match="the preview's outputs lack 'cluster'"):
        wait_until_steady(None, {})


def test_preview_that_does_not_become_steady_names_other_capacity(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: Any) -> None:
        raise BrokenError("patient does not start")

    monkeypatch.setattr(preview_tests, "read_running", refuse)
    with pytest.raises(PreviewError, match=r"^patient does not start\. .* up --on-demand"):
        wait_until_steady(None, {"cluster": "arn"})


@pytest.mark.parametrize(("what", "first"), [(seed, "load"), (run_system_tests, "test")])
def test_command_gets_the_accounts_of_the_preview_and_of_no_other_platform(
    opened: PreviewAccess, monkeypatch: pytest.MonkeyPatch, what: Any, first: str
) -> None:
    seen: list[tuple[list[str], dict[str, str]]] = []

    def note(words: list[str], *, env: dict[str, str], **_: Any) -> Any:
        seen.append((words, env))
        return subprocess.CompletedProcess(words, 0)

    monkeypatch.setenv("PLATFORM_PIDS", "of another")
    monkeypatch.setattr(subprocess, "run", note)
    what(opened)
    ((words, env),) = seen
    assert words[0] == f"scripts/{first}"
    assert {name: env[name] for name in env if name.startswith("PLATFORM_")} == (
        opened.environment()
    )
    assert env["PATH"] == os.environ["PATH"]


def test_command_that_fails_is_told_with_its_status(
    opened: PreviewAccess, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(["true"], opened, "it failed")
    with pytest.raises(PreviewError, match=r"^it failed: sh -c ended with 3$"):
        run(["sh", "-c", "exit 3"], opened, "it failed")
    monkeypatch.setattr(preview_tests, "LIMIT_SECONDS", 0.1)
    with pytest.raises(PreviewError, match=r"^it failed: sleep did not end within 0\.1 s$"):
        run(["sleep", "60"], opened, "it failed")
