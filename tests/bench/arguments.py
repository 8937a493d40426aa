"""Arguments of the benches: each answers `--help`, and one that needs a running platform says
how to start it.
"""

import argparse
import os
import sys


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """Returns a parser that names the bench as people call it. `description`: the
    module's docstring.
    """
    prog = f"scripts/bench {os.path.basename(sys.argv[0]).removesuffix('.py')}"
    return argparse.ArgumentParser(
        prog=prog, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def parse_for_platform(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Returns the arguments; exits with 2 and the command to type where no platform runs."""
    arguments = parser.parse_args()
    if "PLATFORM_URL" not in os.environ:
        parser.exit(2, f"this measures a running platform: scripts/up --run {parser.prog}\n")
    return arguments
