"""Runs a verb of `scripts/operate` inside a service: `python -m apps.<service> operate VERB ...`.

The last line on standard output is JSON: `{"answer": ROWS}`, where ROWS is an object or a list of
objects, or `{"refused": REASON}` with exit status 1. On AWS an answer that holds a secret is
written to the secret that the runner names in OPERATE_ANSWER_SECRET, and the line is `{"answered":
true}`: it never passes through the log.
"""

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol, TypeAlias, TypeVar

import asyncpg
import msgspec

from apps.kit.database import UNAVAILABLE
from apps.kit.errors import Problem
from apps.kit.logs import configure_logging
from apps.operations import InvalidArguments, Value, Verb, check_arguments, make_parser
from apps.verbs import VERBS

ANSWER_SECRET = "OPERATE_ANSWER_SECRET"  # noqa: S105 - a variable's name
# What Secrets Manager takes.
MAX_SECRET_BYTES = 65_536
DEFAULT_LIMIT = 100
MAX_LIMIT = 10_000

Row: TypeAlias = Mapping[str, object]
Answer: TypeAlias = Row | Sequence[Row]
Values: TypeAlias = Mapping[str, Value]


class OperateSettings(Protocol):
    """What every service's settings have."""

    @property
    def environment(self) -> str: ...
    @property
    def log_format(self) -> str: ...


S = TypeVar("S", bound=OperateSettings)
Handler: TypeAlias = Callable[[S, Values], Awaitable[Answer]]


def operate(
    service: str, settings: S, handlers: Mapping[str, Handler[S]], words: Sequence[str]
) -> int:
    """Runs the verb that `words` name and prints its answer. Returns the exit status: 2
    for wrong words.
    """
    verbs = {name: verb for name, verb in VERBS.items() if service in verb.services}
    parser = make_parser(f"python -m apps.{service} operate", "Operators' verbs.", verbs)
    options = parser.parse_args(words)
    verb = verbs[options.verb]
    try:
        values = check_arguments(verb, given(verb, options))
    except InvalidArguments as error:
        parser.error(str(error))
    if verb.secret and settings.environment != "local" and not os.environ.get(ANSWER_SECRET):
        parser.error(f"{verb.name} answers with a secret: start it by scripts/operate")
    configure_logging(settings.log_format)
    logging.getLogger().setLevel(logging.WARNING)
    try:
        deliver(verb, asyncio.run(run(handlers[verb.name], settings, values)))
    except Problem as problem:
        return refuse(problem)
    except (*UNAVAILABLE, asyncpg.PostgresError) as error:
        print_line({"refused": f"{type(error).__name__}: {error}"})
        return 1
    return 0


async def run(handler: Handler[S], settings: S, values: Values) -> Answer:
    return await handler(settings, values)


def given(verb: Verb, options: argparse.Namespace) -> dict[str, object]:
    """Returns the verb's arguments that the command line has."""
    return {argument.name: getattr(options, argument.name) for argument in verb.arguments}


def deliver(verb: Verb, answer: Answer) -> None:
    """Prints the answer or, if it is secret and the runner named a secret for it,
    writes it there.
    """
    arn = os.environ.get(ANSWER_SECRET)
    if not verb.secret or not arn:
        print_line({"answer": answer})
        return
    text = msgspec.json.encode({"answer": answer}, enc_hook=str).decode()
    if len(text.encode()) > MAX_SECRET_BYTES:
        raise Problem("answer_too_large", "the answer is too large: ask for less")
    import boto3  # only on AWS: it costs 30 MiB

    boto3.client("secretsmanager").put_secret_value(SecretId=arn, SecretString=text)
    print_line({"answered": True})


def refuse(problem: Problem) -> int:
    """Prints why, for people, and returns the exit status."""
    reasons = [fault.message for fault in problem.faults]
    print_line({"refused": "; ".join(dict.fromkeys([problem.detail or problem.code, *reasons]))})
    return 1


def print_line(line: Mapping[str, Any]) -> None:
    sys.stdout.write(msgspec.json.encode(line, enc_hook=str).decode() + "\n")
    sys.stdout.flush()


def limit_of(values: Values, default: int = DEFAULT_LIMIT) -> int:
    """Returns how many rows were asked for, within bounds."""
    return max(1, min(int(str(values.get("limit", default))), MAX_LIMIT))


def ids_of(values: Values) -> list[int] | None:
    """Returns the ids of the rows that are meant, None for all."""
    ids = values.get("ids")
    return [int(id) for id in ids] if isinstance(ids, list) else None


def time_of(values: Values, name: str) -> datetime | None:
    """Returns a time argument; a date alone is its midnight in UTC."""
    text = values.get(name)
    if text is None:
        return None
    time = datetime.fromisoformat(str(text))
    return time if time.tzinfo else time.replace(tzinfo=UTC)
