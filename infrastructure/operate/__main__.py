"""`scripts/operate [local|ENV] VERB ...`: operators' commands, the same words on this machine and
on AWS.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from apps.operations import InvalidArguments, Verb, check_arguments, command_of, make_parser
from apps.verbs import VERBS
from infrastructure.local.state import NotRunningError
from infrastructure.operate.answers import Answer, RefusedError, render, rows_of

LOCAL = "local"
DESCRIPTION = (
    "Operates the platform that runs on this machine (local, the default) or an environment on AWS"
    " (dev, staging, prod, pr-<number>). --json prints the answer as JSON."
)


def split(words: Sequence[str]) -> tuple[str, list[str], bool]:
    """Returns the target, the words of the verb, and whether the answer is wanted as JSON."""
    rest = [word for word in words if word != "--json"]
    as_json = len(rest) < len(words)
    nouns = {name.partition(" ")[0] for name in VERBS}
    if rest and rest[0] not in nouns and not rest[0].startswith("-"):
        return rest[0], rest[1:], as_json
    return LOCAL, rest, as_json


def parse(target: str, words: Sequence[str]) -> tuple[Verb, dict[str, Any], str | None]:
    """Returns verb, arguments and the named service.

    Ends the process with usage and status 2 for wrong words.
    """
    place = LOCAL if target == LOCAL else "aws"
    parser = make_parser(f"scripts/operate {target}", DESCRIPTION, VERBS)
    options = parser.parse_args(words)
    verb = VERBS[options.verb]
    if place not in verb.places:
        parser.error(f"{verb.name} is for {' and '.join(verb.places)} only")
    given = {argument.name: getattr(options, argument.name) for argument in verb.arguments}
    try:
        values = check_arguments(verb, given)
        if verb.services:
            command_of(VERBS, verb.name, values, getattr(options, "service_name", None))
    except InvalidArguments as error:
        parser.error(str(error))
    return verb, dict(values), getattr(options, "service_name", None)


def run(target: str, verb: Verb, values: Mapping[str, Any], service: str | None) -> Answer:
    """Runs the verb where the target is. Raises RefusedError and NotRunningError."""
    if verb.everywhere and service is None:
        answers = ((name, run(target, verb, values, name)) for name in verb.services)
        return [{"in": name, **row} for name, answer in answers for row in rows_of(answer)]
    if target == LOCAL:
        from infrastructure.operate import local

        return local.run(verb, values, service)
    # boto3 takes half a second to import.
    from infrastructure.operate import aws

    return aws.run(target, verb, values, service)


def check_target(target: str) -> None:
    """Ends the process with status 2 unless the target is this machine or may be an environment."""
    from infrastructure.operate.targets import is_environment

    if target != LOCAL and not is_environment(target):
        argparse.ArgumentParser(
            prog="scripts/operate", usage="scripts/operate [local|ENV] VERB ..."
        ).error(f"there is no verb and no environment {target!r}: see scripts/operate --help")


def main(words: Sequence[str], show: Callable[[str], None] = print) -> int:
    """Returns the exit status: 1 if the verb was refused, 2 for wrong words."""
    target, rest, as_json = split(words)
    check_target(target)
    verb, values, service = parse(target, rest)
    try:
        answer = run(target, verb, values, service)
    except (RefusedError, NotRunningError) as error:
        print(f"scripts/operate: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    text = json.dumps(answer, indent=1, default=str) if as_json else render(answer)
    if text:
        show(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
