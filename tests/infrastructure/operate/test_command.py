"""The command line of `scripts/operate`."""

import json
from typing import Any

import pytest

from apps.verbs import VERBS
from infrastructure.local.state import NotRunningError
from infrastructure.operate import __main__ as module
from infrastructure.operate import aws, local
from infrastructure.operate.__main__ import main, split
from infrastructure.operate.answers import RefusedError


@pytest.mark.parametrize(
    ("words", "target", "rest"),
    [
        (["status"], "local", ["status"]),
        (["local", "status"], "local", ["status"]),
        (["dev", "users", "list"], "dev", ["users", "list"]),
        (["pr-12", "status"], "pr-12", ["status"]),
        (["--help"], "local", ["--help"]),
        ([], "local", []),
    ],
)
def test_target_is_this_machine_unless_named(
    words: list[str], target: str, rest: list[str]
) -> None:
    assert split(words) == (target, rest, False)
    assert split([*words, "--json"]) == (target, rest, True)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["nonsense"],
        ["local"],
        ["status", "x"],
        ["users"],
        ["users", "nonsense"],
        ["users", "unlock"],
        ["users", "unlock", "nobody"],
        ["users", "create", "a@example.org"],
        ["outbox", "retry"],
        ["outbox", "retry", "7", "--all"],
        ["outbox", "show", "x"],
        ["audit", "search", "--in", "gateway"],
        ["audit", "search", "--since", "yesterday"],
        ["dev", "psql", "patient"],
        ["nonsense", "status"],
        ["pr-0", "status"],
    ],
)
def test_wrong_words_are_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 2
    assert "usage: scripts/operate" in capsys.readouterr().err


def test_help_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    for name in VERBS:
        noun, _, action = name.partition(" ")
        assert noun in shown
        assert action in shown


def test_verb_goes_to_its_place_with_checked_arguments(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[Any] = []

    def run_locally(verb: Any, values: Any, service: Any) -> Any:
        ran.append(("local", verb.name, values, service))
        return [{"id": "7", "note": None}]

    def run_on_aws(target: str, verb: Any, values: Any, service: Any) -> Any:
        ran.append((target, verb.name, values, service))
        return {"unlocked": "a@example.org"}

    monkeypatch.setattr(local, "run", run_locally)
    monkeypatch.setattr(aws, "run", run_on_aws)
    assert main(["audit", "search", "--in", "patient", "--limit", "3"]) == 0
    assert capsys.readouterr().out == "id  note\n7   -\n"
    assert main(["prod", "users", "unlock", "a@example.org", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"unlocked": "a@example.org"}
    assert ran == [
        ("local", "audit search", {"limit": "3"}, "patient"),
        ("prod", "users unlock", {"address": "a@example.org"}, None),
    ]


def test_verb_for_every_service_runs_in_each_unless_one_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers: dict[str, Any] = {
        "billing": [{"code": "charge_missing"}],
        "patient": [],
        "analytics": {"task": "arn"},
    }
    monkeypatch.setattr(local, "run", lambda verb, values, service: answers[service])
    assert main(["reconcile", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {"in": "billing", "code": "charge_missing"},
        {"in": "analytics", "task": "arn"},
    ]
    assert main(["reconcile", "--in", "patient"]) == 0
    assert capsys.readouterr().out == "none\n"


@pytest.mark.parametrize("error", [RefusedError("no such user"), NotRunningError("none runs")])
def test_refusal_is_one_line(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(module, "run", refuse)
    assert main(["status"]) == 1
    assert capsys.readouterr().err == f"scripts/operate: {error}\n"
