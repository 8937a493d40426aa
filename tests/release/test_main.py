"""What `python -m apps.release` does with its words."""

import json
import runpy
import sys
from typing import Any

import pytest

from apps.release import __main__ as module
from apps.release.__main__ import main

TARGET = object()


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any, str]]:
    """Keeps what is done, to which target and with which prefix, in place of doing it."""
    calls: list[tuple[str, Any, str]] = []

    class Aws:
        @staticmethod
        def open_target() -> object:
            return TARGET

    monkeypatch.setitem(sys.modules, "apps.release.aws", Aws)
    for name in ("release", "make_databases", "bring_up", "drop_preview"):

        def call(target: object, *, prefix: str, name: str = name) -> None:
            calls.append((name, target, prefix))

        monkeypatch.setattr(module, name, call)
    monkeypatch.setattr(module, "list_previews", lambda target: ["pr_7_patient"])
    return calls


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("up", "release"),
        ("databases", "make_databases"),
        ("migrate", "bring_up"),
        ("drop", "drop_preview"),
    ],
)
def test_word_does_what_it_says(done: list[tuple[str, Any, str]], word: str, name: str) -> None:
    main([word])
    main([word, "--prefix", "pr_7_"])
    assert done == [(name, TARGET, ""), (name, TARGET, "pr_7_")]


def test_list_is_one_line_of_json(
    done: list[tuple[str, Any, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    main(["list"])
    assert json.loads(capsys.readouterr().out) == {"databases": ["pr_7_patient"]}
    assert done == []


def test_words_are_those_after_the_modules_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["apps.release", "nothing"])
    with pytest.raises(SystemExit) as raised:
        runpy.run_path(str(module.__file__), run_name="__main__")
    assert raised.value.code == 2
    assert "invalid choice: 'nothing'" in capsys.readouterr().err
