"""The verbs of `scripts/operate` and the checks of their arguments."""

import ast
import sys
from pathlib import Path
from typing import Any

import pytest

from apps.catalogue import SERVICES
from apps.operations import KINDS, InvalidArguments, Verb, command_of, make_parser
from apps.verbs import VERBS

APPS = Path(__file__).parents[1] / "apps"
EXAMPLES = {
    "address": "ada@example.org",
    "id": "patient:0:17",
    "number": "17",
    "text": "Ada Example",
    "path": "/srv/backup",
    "role": "admin",
    "scope": "user/Patient.rs",
    "uri": "https://app.example.org/back",
    "time": "2026-01-31T08:00Z",
    "word": "patient",
}


def example(verb: Verb) -> dict[str, Any]:
    """Every argument of the verb, with a value of its kind."""
    values: dict[str, Any] = {}
    for argument in verb.arguments:
        if argument.kind == "flag":
            values[argument.name] = True
        else:
            value = argument.choices[0] if argument.choices else EXAMPLES[argument.kind]
            values[argument.name] = [value, value] if argument.many else value
    if "ids" in values:
        del values["all"]
    return values


RUN_BY_A_SERVICE = [verb for verb in VERBS.values() if verb.services]


@pytest.mark.parametrize("file", ["operations.py", "verbs.py"])
def test_table_imports_the_standard_library_alone(file: str) -> None:
    for node in ast.walk(ast.parse((APPS / file).read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.module is not None
            assert node.module == "apps.operations" or node.module.split(".")[0] in (
                sys.stdlib_module_names
            )
        elif isinstance(node, ast.Import):
            assert all(alias.name in sys.stdlib_module_names for alias in node.names)


@pytest.mark.parametrize("verb", VERBS.values(), ids=list(VERBS))
def test_verb_is_complete(verb: Verb) -> None:
    assert verb.summary.endswith(".")
    assert set(verb.services) <= {*SERVICES, "release"}
    for argument in verb.arguments:
        assert argument.help
        assert argument.kind == "flag" or argument.kind in KINDS
    in_order = [argument.required for argument in verb.arguments if not argument.option]
    assert in_order == sorted(in_order, reverse=True)


@pytest.mark.parametrize("verb", RUN_BY_A_SERVICE, ids=[verb.name for verb in RUN_BY_A_SERVICE])
def test_words_of_a_command_are_parsed_as_its_arguments(verb: Verb) -> None:
    values = example(verb)
    command = command_of(VERBS, verb.name, values)
    assert command.service == verb.services[0]
    assert command.words[0] == "operate"
    parsed = vars(make_parser("test", "", VERBS).parse_args(command.words[1:]))
    assert parsed["verb"] == verb.name
    assert {name: parsed[name] for name in values} == values


@pytest.mark.parametrize(
    ("name", "values", "reason"),
    [
        ("users nothing", {}, "there is no verb"),
        (["users", "list"], {}, "there is no verb"),
        ("status", {}, "not run by a service"),
        ("users list", [], "arguments are an object"),
        ("users list", {"address": "a@b.c"}, "takes no address"),
        ("users unlock", {}, "needs address"),
        ("users unlock", {"address": "--help@example.org"}, "is no address"),
        ("users unlock", {"address": "a b@example.org"}, "is no address"),
        ("users unlock", {"address": "a@example.org\n"}, "is no address"),
        ("users unlock", {"address": ["a@example.org"]}, "is no address"),
        ("users unlock", {"address": 7}, "is no address"),
        ("users roles", {"address": "a@example.org", "role": []}, "needs role"),
        ("users roles", {"address": "a@example.org", "role": ["-x"]}, "is no role"),
        ("outbox retry", {}, "needs ids or --all"),
        ("outbox retry", {"ids": ["1"], "all": True}, "needs ids or --all"),
        ("outbox retry", {"all": "yes"}, "is true or left out"),
        ("outbox retry", {"ids": ["1"] * 1001}, "at most 1000"),
        ("outbox show", {"id": "1; DROP TABLE outbox"}, "is no number"),
        ("outbox show", {"id": "\u0661"}, "is no number"),
        ("audit search", {"since": "yesterday"}, "is no time"),
        ("audit search", {"since": "2026-13-31"}, "is no time"),
    ],
)
def test_command_that_the_table_does_not_have_is_refused(
    name: Any, values: Any, reason: str
) -> None:
    with pytest.raises(InvalidArguments, match=reason):
        command_of(VERBS, name, values)


def test_service_is_one_of_those_that_run_the_verb() -> None:
    assert command_of(VERBS, "audit search", {}, "patient").service == "patient"
    for service in ("gateway", 7):
        with pytest.raises(InvalidArguments):
            command_of(VERBS, "audit search", {}, service)
