"""The command line of `scripts/preview`."""

import argparse
import re
from collections.abc import Sequence
from datetime import timedelta

from infrastructure.preview.names import BASES, RefusedError
from infrastructure.preview.settings import DEFAULT_LIFETIME, LONGEST_LIFETIME

DESCRIPTION = """`scripts/preview up|down|list|reap|status|test|publish`:
the same on a laptop and in a workflow.
"""


def parse_lifetime(text: str) -> timedelta:
    matched = re.fullmatch(r"([1-9][0-9]{0,3})([hd])", text)
    hours = int(matched[1]) * (24 if matched[2] == "d" else 1) if matched else 0
    lifetime = timedelta(hours=hours)
    if not timedelta() < lifetime <= LONGEST_LIFETIME:
        raise RefusedError(
            f"--ttl takes hours or days such as 36h or 3d, {LONGEST_LIFETIME.days}d at most, not "
            f"{text!r}"
        )
    return lifetime


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/preview", description=DESCRIPTION)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("up", "brings a pull request's preview up, or up to date"),
        ("down", "takes it away, wholly; safe to repeat"),
        ("test", "runs the system tests against it"),
        ("status", "says what of it there is"),
        ("list", "lists the previews"),
        ("reap", "takes away those that are over, and what no stack knows of"),
        ("publish", "shows a base's outputs to its previews (part of the base's deployment)"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("--base", default="dev", help=f"{' or '.join(BASES)} (dev)")
        if name in ("up", "down", "test", "status"):
            command.add_argument(
                "--pr", required=True, metavar="N", help="the pull request's number"
            )
        if name == "up":
            command.add_argument(
                "--ttl",
                default=f"{DEFAULT_LIFETIME.days}d",
                help=f"how long it lives: 36h, 3d, {LONGEST_LIFETIME.days}d at most"
                f" (by default {DEFAULT_LIFETIME.days}d)",
            )
            command.add_argument(
                "--keep",
                action="store_true",
                help="for the reaper to leave alone, whatever its time",
            )
            command.add_argument(
                "--on-demand",
                action="store_true",
                help="on ordinary capacity, where Spot has none: three times the price",
            )
            command.add_argument(
                "--empty", action="store_true", help="without the synthetic people"
            )
            command.add_argument(
                "--markdown", metavar="FILE", help="writes the report for a comment here too"
            )
        if name == "reap":
            command.add_argument("--pr", metavar="N", help="of all previews this one")
            command.add_argument(
                "--over", metavar="FILE", help="adds numbers=[N,...], of those that are over, to it"
            )
            command.add_argument("--open-prs", metavar="N,N", help="instead of asking GitHub")
            choice = command.add_mutually_exclusive_group()
            choice.add_argument(
                "--apply", action="store_true", default=None, help="the default in a workflow"
            )
            choice.add_argument(
                "--dry-run", action="store_false", dest="apply", help="the default on a laptop"
            )
    return parser.parse_args(arguments)
