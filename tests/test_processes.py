"""The process of a service: it serves, or runs a verb for operators and ends."""

from importlib import import_module
from typing import Any

import pytest

from apps.kit import operate

Calls = list[tuple[Any, ...]]


@pytest.fixture(params=["analytics", "billing"])
def service(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def process(service: str) -> Any:
    return import_module(f"apps.{service}.__main__")


@pytest.fixture
def started(process: Any, monkeypatch: pytest.MonkeyPatch) -> Calls:
    """What was run, and with what."""
    calls: Calls = []

    def run(name: str, status: int) -> Any:
        def called(*arguments: Any) -> int:
            calls.append((name, *arguments))
            return status

        return called

    monkeypatch.setattr(process, "read_settings", lambda _: "settings")
    monkeypatch.setattr(process, "run_service", run("serve", 3))
    monkeypatch.setattr(operate, "operate", run("operate", 4))
    return calls


def test_verb_is_run_with_its_arguments(service: str, process: Any, started: Calls) -> None:
    handlers = import_module(f"apps.{service}.operate").HANDLERS
    assert process.main(["operate", "reconcile", "--json"]) == 4
    assert started == [("operate", service, "settings", handlers, ["reconcile", "--json"])]


@pytest.mark.parametrize("arguments", [[], ["reconcile"], ["--verbose", "operate"]])
def test_anything_else_serves(process: Any, started: Calls, arguments: list[str]) -> None:
    assert process.main(arguments) == 3
    assert started == [("serve", "settings", process.serve)]
