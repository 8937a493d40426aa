"""`scripts/verbs [--check]`: writes the table of verbs into docs/operators.md, or says whether it
is current.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from apps.operations import Argument, Verb
from apps.verbs import VERBS

PAGE = Path(__file__).parents[2] / "docs" / "operators.md"
BEGIN = "<!-- verbs: made by scripts/verbs -->"
END = "<!-- end of verbs -->"


def usage_of(argument: Argument) -> str:
    """Returns the argument as a usage line has it."""
    name = argument.name.upper()
    if argument.kind == "flag":
        text = argument.flag
    elif argument.option:
        text = f"{argument.flag} {name}"
    else:
        text = name
    if argument.many:
        text += "..."
    return text if argument.required else f"[{text}]"


def row_of(verb: Verb) -> str:
    words = " ".join([verb.name, *map(usage_of, verb.arguments)])
    if len(verb.services) > 1:
        words += f" [--in {'|'.join(verb.services)}]"
    places = "" if "aws" in verb.places else " On this machine only."
    return f"| `{words.replace('|', chr(92) + '|')}` | {verb.summary}{places} |"


def table() -> str:
    return "\n".join(["| verb | what it does |", "| --- | --- |", *map(row_of, VERBS.values())])


def replace_table(page: str) -> str:
    """Returns the page with the current table between its marks."""
    before, found, rest = page.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not found or not ended:
        raise ValueError(f"{PAGE} has no {BEGIN} ... {END}")
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def main(arguments: Sequence[str]) -> int:
    """Returns the exit status: with --check 1 if the page is not current."""
    parser = argparse.ArgumentParser(prog="scripts/verbs", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing")
    options = parser.parse_args(arguments)
    page = PAGE.read_text()
    current = replace_table(page)
    if options.check:
        if page != current:
            print("docs/operators.md lacks the current verbs: run scripts/verbs")
        return int(page != current)
    PAGE.write_text(current)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
