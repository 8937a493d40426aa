"""`scripts/plan STACK [--base dev] [--svg FILE]`: what a stack would make, without AWS, credentials
or Pulumi's CLI.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from infrastructure.config.files import preview_config, read_config
from infrastructure.config.model import SettingsError
from infrastructure.config.naming import PREVIEW
from infrastructure.plan.paper import Paper
from infrastructure.plan.picture import picture
from infrastructure.plan.record import record
from infrastructure.plan.report import report
from infrastructure.recording import Recording


def plan(name: str, base: str = "dev") -> tuple[Recording, Recording | None]:
    """Returns the stack's recording, and its base's for a preview.

    What a stack refers to is run before it.
    """
    if PREVIEW.match(name):
        platform, _ = plan(base)
        region = platform.stack.region
        return record(
            name, preview_config(base, region), Paper(), {base: platform.outputs}
        ), platform
    config = read_config(name)
    references: dict[str, Any] = {}
    if source := config.get("patient-management:images-from"):
        references[source] = plan(source)[0].outputs
    return record(name, config, Paper(), references), None


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scripts/plan", description=__doc__)
    parser.add_argument("stack", help="dev, staging, prod, or pr-<number>")
    parser.add_argument("--base", default="dev", help="of a preview")
    parser.add_argument("--svg", type=Path, help="draw the architecture into this file")
    options = parser.parse_args(arguments)
    try:
        stack, base = plan(options.stack, options.base)
    except FileNotFoundError:
        sys.stderr.write(
            f"there is no Pulumi.{options.stack}.yaml: a stack is dev, staging, prod, or "
            f"pr-<number>\n"
        )
        return 2
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    if options.svg:
        options.svg.write_text(picture(base or stack), encoding="utf-8")
    sys.stdout.write(report(stack, base))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
