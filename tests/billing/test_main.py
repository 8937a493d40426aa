"""The process: it serves, or runs a verb for operators and ends."""

from typing import Any

import pytest

from apps.billing import __main__ as process
from apps.billing.operate import HANDLERS
from apps.kit import operate


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What was run, and with what."""
    calls: list[tuple[Any, ...]] = []

    def run(name: str, status: int) -> Any:
        def called(*arguments: Any) -> int:
            calls.append((name, *arguments))
            return status

        return called

    monkeypatch.setattr(process, "read_settings", lambda _: "settings")
    monkeypatch.setattr(process, "run_service", run("serve", 3))
    monkeypatch.setattr(operate, "operate", run("operate", 4))
    return calls


def test_verb_is_run_with_its_arguments(started: list[tuple[Any, ...]]) -> None:
    assert process.main(["operate", "reconcile", "--json"]) == 4
    assert started == [("operate", "billing", "settings", HANDLERS, ["reconcile", "--json"])]


@pytest.mark.parametrize("arguments", [[], ["reconcile"], ["--verbose", "operate"]])
def test_anything_else_serves(started: list[tuple[Any, ...]], arguments: list[str]) -> None:
    assert process.main(arguments) == 3
    assert started == [("serve", "settings", process.serve)]
