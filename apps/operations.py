"""What a verb of `scripts/operate` is, and the checks of its arguments.

The table itself is `apps.verbs`. Both files import the standard library alone: the archive of an
environment's runner on AWS carries copies of them. The runner takes `{"action": "operate", "verb":
"users unlock", "service": "auth", "arguments": {"address": "a@example.org"}}` (`service` only for a
verb that can run in several), calls `command_of`, and starts the service's own task definition with
the words that it returns.
"""

import argparse
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

Value = str | bool | list[str]

# What an argument may look like. None may begin with a dash, so that a value is never taken for an
# option.
KINDS: Mapping[str, str] = {
    "address": r"[^@\s\x00-\x1f-][^@\s\x00-\x1f]{0,63}@[^@\s\x00-\x1f]{1,189}",
    "id": r"[A-Za-z0-9_.:/][A-Za-z0-9_.:/-]{0,127}",
    "number": r"[0-9]{1,18}",
    "text": r"[^\x00-\x1f\x7f-][^\x00-\x1f\x7f]{0,199}",
    "path": r"[^\x00-\x1f\x7f-][^\x00-\x1f\x7f]{0,499}",
    "role": r"[a-z][a-z_]{0,31}",
    "scope": r"[a-z][A-Za-z0-9_./*?=&|:-]{0,199}",
    "uri": r"[a-z][a-z0-9+.-]*:[^\s\x00-\x1f]{1,500}",
    # A date, or a date and time with its zone (ISO 8601).
    "time": r"\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d))?",
    "word": r"[a-z][a-z0-9_.-]{0,63}",
}
# No command carries more values than this.
MAX_VALUES = 1000

Place = Literal["local", "aws"]


class InvalidArguments(Exception):
    """The verb or its arguments are not as the table says; the message names which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """`kind`: one of KINDS, or `flag`.

    An `option` is given by name (`--role`), all else by its place.

    `many`: it may be given several times, as an option, or take all that is left.
    """

    name: str
    help: str
    kind: str = "text"
    option: bool = False
    required: bool = True
    many: bool = False
    choices: tuple[str, ...] = ()

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    """`services` run it, the first where none is named; without one the command itself does.

    `secret`: the answer holds a secret or names people. On AWS it never passes through a log.
    `everywhere`: where no service is named, every one of them runs it.
    `long`: may take longer than the runner's limit; the runner then returns the task to ask about.
    """

    name: str
    summary: str
    services: tuple[str, ...] = ()
    arguments: tuple[Argument, ...] = ()
    secret: bool = False
    long: bool = False
    everywhere: bool = False
    places: tuple[Place, ...] = ("local", "aws")


def service_of(verb: Verb, service: str | None = None) -> str:
    """Returns the service that runs `verb`: `service` if it is one of several.

    Raises InvalidArguments.
    """
    if service is not None and service not in verb.services:
        raise InvalidArguments(
            f"{verb.name} runs in {' or '.join(verb.services) or 'no service'}, not in {service}"
        )
    if not verb.services:
        raise InvalidArguments(f"{verb.name} is not run by a service")
    return service or verb.services[0]


def check_arguments(verb: Verb, values: Mapping[str, object]) -> dict[str, Value]:
    """Returns the values that were given, each of its argument's type. Raises InvalidArguments."""
    known = {argument.name: argument for argument in verb.arguments}
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise InvalidArguments(f"{verb.name} takes no {', '.join(unknown)}")
    checked: dict[str, Value] = {}
    for name, argument in known.items():
        value = values.get(name)
        # What argparse gives for an option that was left out.
        if value is None or value is False or value == []:
            if argument.required:
                raise InvalidArguments(f"{verb.name} needs {name}")
            continue
        checked[name] = check_value(verb, argument, value)
    # Rows are named or all are meant: a forgotten id must not mean every row.
    if {"ids", "all"} <= set(known) and ("ids" in checked) == ("all" in checked):
        raise InvalidArguments(f"{verb.name} needs ids or --all")
    return checked


def check_value(verb: Verb, argument: Argument, value: object) -> Value:
    """Returns `value` if it has the argument's type. Raises InvalidArguments."""
    if argument.kind == "flag":
        if value is not True:
            raise InvalidArguments(f"{verb.name}: {argument.name} is true or left out")
        return True
    items = value if argument.many and isinstance(value, list) else [value]
    if len(items) > MAX_VALUES:
        raise InvalidArguments(f"{verb.name}: at most {MAX_VALUES} values of {argument.name}")
    texts: list[str] = []
    for item in items:
        if not isinstance(item, str) or not re.fullmatch(KINDS[argument.kind], item):
            raise InvalidArguments(f"{verb.name}: {argument.name} is no {argument.kind}: {item!r}")
        if argument.kind == "time" and not is_time(item):
            raise InvalidArguments(f"{verb.name}: {argument.name} is no time: {item!r}")
        if argument.choices and item not in argument.choices:
            raise InvalidArguments(
                f"{verb.name}: {argument.name} is one of {', '.join(argument.choices)}"
            )
        texts.append(item)
    return texts if argument.many else texts[0]


def is_time(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """`words` follow `python -m apps.<service>`, in a container or on this machine."""

    verb: Verb
    service: str
    words: list[str] = field(default_factory=list)


def command_of(
    verbs: Mapping[str, Verb], name: object, values: object, service: object = None
) -> Command:
    """Returns what runs the verb `name` in a service.

    Raises InvalidArguments for anything not in the table.
    """
    verb = verbs.get(name) if isinstance(name, str) else None
    if verb is None:
        raise InvalidArguments(f"there is no verb {name!r}")
    if not isinstance(values, Mapping):
        raise InvalidArguments(f"{verb.name}: arguments are an object")
    if service is not None and not isinstance(service, str):
        raise InvalidArguments("service is the name of a service")
    words = words_of(verb, check_arguments(verb, values))
    return Command(
        verb=verb,
        service=service_of(verb, service),
        words=["operate", *verb.name.split(), *words],
    )


def words_of(verb: Verb, values: Mapping[str, Value]) -> list[str]:
    """Returns checked values as words of a command line: options first, then what goes by its
    place.
    """
    options: list[str] = []
    places: list[str] = []
    for argument in verb.arguments:
        value = values.get(argument.name)
        if value is None:
            continue
        texts = value if isinstance(value, list) else [] if value is True else [str(value)]
        if not argument.option:
            places += texts
        elif value is True:
            options.append(argument.flag)
        else:
            options += [f"{argument.flag}={text}" for text in texts]
    return [*options, *places]


def make_parser(prog: str, description: str, verbs: Mapping[str, Verb]) -> argparse.ArgumentParser:
    """Returns a parser with a subcommand for each verb; what it parses has `verb`, the name, beside
    the values.
    """
    parser = argparse.ArgumentParser(prog=prog, description=description, allow_abbrev=False)
    commands = parser.add_subparsers(required=True, metavar="VERB")
    nouns: dict[str, argparse._SubParsersAction[argparse.ArgumentParser]] = {}
    for verb in verbs.values():
        noun, _, action = verb.name.partition(" ")
        if action and noun not in nouns:
            known = [
                each.name.partition(" ")[2]
                for each in verbs.values()
                if each.name.startswith(f"{noun} ")
            ]
            group = commands.add_parser(noun, help=", ".join(known), allow_abbrev=False)
            nouns[noun] = group.add_subparsers(required=True, metavar="|".join(known))
        parent = nouns[noun] if action else commands
        added = parent.add_parser(
            action or noun, help=verb.summary, description=verb.summary, allow_abbrev=False
        )
        added.set_defaults(verb=verb.name)
        for argument in verb.arguments:
            add_argument(added, argument)
        if len(verb.services) > 1:
            added.add_argument(
                "--in",
                dest="service_name",
                choices=verb.services,
                help=f"which service's ({verb.services[0]})",
            )
    return parser


def add_argument(parser: argparse.ArgumentParser, argument: Argument) -> None:
    """Declares the argument to argparse."""
    options: dict[str, Any] = {"help": argument.help}
    if argument.kind == "flag":
        parser.add_argument(argument.flag, action="store_true", dest=argument.name, **options)
        return
    options["choices"] = argument.choices or None
    options["metavar"] = argument.name.upper()
    if argument.option:
        options["action"] = "append" if argument.many else "store"
        options["required"] = argument.required
        parser.add_argument(argument.flag, dest=argument.name, **options)
        return
    if argument.many:
        options["nargs"] = "+" if argument.required else "*"
    elif not argument.required:
        options["nargs"] = "?"
    parser.add_argument(argument.name, **options)
