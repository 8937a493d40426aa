"""Arguments of the benches: each answers `--help`, and one that needs a running platform says
how to start it. Run by itself, as `scripts/bench` does, it tells what makes the figures too high.
"""

import argparse
import os
import sys
import sysconfig


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


def note_on_python(configured: str) -> str:
    """Returns what is to be said of a Python with these arguments of its configure; "" for one
    that is built as distributions and the images build it.

    Debian's, which is installed in /usr, turns the optimizations on without that argument.
    """
    if "--enable-optimizations" in configured or "'--prefix=/usr'" in configured:
        return ""
    return (
        "note: this Python was built without --enable-optimizations: services take about a quarter"
        " more CPU than on the images' or Debian's; PYTHON=... scripts/setup all takes another"
    )


if __name__ == "__main__":
    note = note_on_python(sysconfig.get_config_var("CONFIG_ARGS") or "")
    if note:
        print(note, file=sys.stderr)
