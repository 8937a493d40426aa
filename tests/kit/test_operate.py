"""A verb of `scripts/operate` inside a service."""

import importlib
import json
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from apps.kit import operate as module
from apps.kit.errors import FieldError, Unprocessable
from apps.kit.operate import limit_of, operate, time_of
from apps.verbs import VERBS

SERVICES = sorted({service for verb in VERBS.values() for service in verb.services})


@dataclass(frozen=True)
class Settings:
    environment: str = "local"
    log_format: str = "text"


@pytest.mark.parametrize("service", SERVICES)
def test_service_has_a_function_for_each_of_its_verbs(service: str) -> None:
    handlers = importlib.import_module(f"apps.{service}.operate").HANDLERS
    expected = {verb.name for verb in VERBS.values() if service in verb.services}
    assert set(handlers) == expected


async def list_users(settings: Settings, values: Any) -> Any:
    return [{"id": "1", "values": dict(values)}]


def test_answer_is_the_last_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert operate("auth", Settings(), {"users list": list_users}, ["users", "list"]) == 0
    assert json.loads(capsys.readouterr().out) == {"answer": [{"id": "1", "values": {}}]}


def test_logs_between_are_warnings_alone(capsys: pytest.CaptureFixture[str]) -> None:
    async def log(settings: Settings, values: Any) -> Any:
        logging.getLogger("apps").info("a step of many")
        logging.getLogger("apps").warning("a fault")
        return []

    assert operate("auth", Settings(), {"users list": log}, ["users", "list"]) == 0
    warning, answer = capsys.readouterr().out.splitlines()
    assert "a fault" in warning
    assert json.loads(answer) == {"answer": []}


def test_refusal_names_every_fault(capsys: pytest.CaptureFixture[str]) -> None:
    async def refuse(settings: Settings, values: Any) -> Any:
        faults = (FieldError("a", "first"), FieldError("b", "second"))
        raise Unprocessable("invalid_user", faults=faults)

    assert operate("auth", Settings(), {"keys list": refuse}, ["keys", "list"]) == 1
    assert json.loads(capsys.readouterr().out) == {"refused": "invalid_user; first; second"}


class FakeSecrets:
    def __init__(self) -> None:
        self.written: dict[str, str] = {}

    def put_secret_value(self, *, SecretId: str, SecretString: str) -> None:
        self.written[SecretId] = SecretString


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> FakeSecrets:
    found = FakeSecrets()
    monkeypatch.setenv(module.ANSWER_SECRET, "arn:answer")
    monkeypatch.setattr("boto3.client", lambda name: {"secretsmanager": found}[name])
    return found


def test_secret_answer_goes_to_the_runners_secret_and_not_to_the_log(
    secrets: FakeSecrets, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings("dev", "json")
    assert operate("auth", settings, {"users list": list_users}, ["users", "list"]) == 0
    assert json.loads(capsys.readouterr().out) == {"answered": True}
    assert json.loads(secrets.written["arn:answer"])["answer"][0]["id"] == "1"


def test_answer_that_no_secret_can_hold_is_refused(
    secrets: FakeSecrets, capsys: pytest.CaptureFixture[str]
) -> None:
    async def much(settings: Settings, values: Any) -> Any:
        return {"text": "x" * 70_000}

    assert operate("auth", Settings("dev"), {"users list": much}, ["users", "list"]) == 1
    assert "too large" in json.loads(capsys.readouterr().out)["refused"]
    assert not secrets.written


def test_limit_is_bounded() -> None:
    assert [limit_of({"limit": each}) for each in ("0", "7", "999999")] == [1, 7, 10_000]
    assert limit_of({}) == 100


def test_date_is_its_midnight_in_utc() -> None:
    assert time_of({"since": "2026-01-31"}, "since") == datetime(2026, 1, 31, tzinfo=UTC)
    assert time_of({"since": "2026-01-31T08:00Z"}, "since") == datetime(2026, 1, 31, 8, tzinfo=UTC)
    assert time_of({}, "since") is None
