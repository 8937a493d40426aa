"""`python -m apps.release up|databases|migrate|drop|list [--prefix pr_<n>_]`, in the release task
of a stack.

`up` is `databases`, which an administrator does, then `migrate`, which owners do.
"""

import argparse
import importlib
import json
import logging
import sys

from apps.release.release import bring_up, drop_preview, list_previews, make_databases, release


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m apps.release")
    parser.add_argument("action", choices=["up", "databases", "migrate", "drop", "list"])
    parser.add_argument("--prefix", default="", help="of a preview: pr_<n>_")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    # Here, because only the release task has what it imports.
    target = importlib.import_module("apps.release.aws").open_target()
    match options.action:
        case "up":
            release(target, prefix=options.prefix)
        case "databases":
            make_databases(target, prefix=options.prefix)
        case "migrate":
            bring_up(target, prefix=options.prefix)
        case "drop":
            drop_preview(target, prefix=options.prefix)
        case "list":
            # Whoever started the task reads this line from its log.
            sys.stdout.write(json.dumps({"databases": list_previews(target)}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
