"""`python -m apps.release up|drop [--prefix pr_<n>_]`, in the release task of a stack."""

import argparse
import importlib
import logging
import sys

from apps.release.release import drop_preview, release


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m apps.release")
    parser.add_argument("action", choices=["up", "drop"])
    parser.add_argument("--prefix", default="", help="of a preview: pr_<n>_")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    # Here, because only the release task has what it imports.
    place = importlib.import_module("apps.release.aws").open_place()
    if options.action == "up":
        release(place, prefix=options.prefix)
    else:
        drop_preview(place, prefix=options.prefix)


if __name__ == "__main__":
    main(sys.argv[1:])
