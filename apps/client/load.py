"""`scripts/load FILE...`: loads people, each with their history or not at all; safe to repeat."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from apps.client.client import open_client
from apps.client.loading import MAX_PARALLEL_FILES, PARALLEL_FILES, Report, load_files
from apps.client.progress import show_progress
from apps.client.settings import PlatformError

SHOWN_REASONS = 5


def print_report(report: Report, files: int, screen: Console) -> None:
    """Prints what was created, added, skipped and refused of `files` files."""
    if report.created:
        print_created(report, screen)
    for path, reason in report.added.items():
        print_line(screen, f"added to {path.name}: {reason}", "yellow")
    for path, reason in report.skipped.items():
        print_line(screen, f"skipped {path.name}: {reason}")
    for path, reasons in report.refused.items():
        for reason in reasons[:SHOWN_REASONS]:
            print_line(screen, f"refused {path.name}: {reason}", "red")
        if len(reasons) > SHOWN_REASONS:
            screen.print(f"  and {len(reasons) - SHOWN_REASONS} more")

    screen.print(
        f"{report.created.total()} resources created ({report.created['Patient']} patients),"
        f" {len(report.skipped)} files skipped, {len(report.refused)} refused",
        highlight=False,
        soft_wrap=True,
    )
    if report.done < files:
        left = files - report.done
        print_line(
            screen, f"{left} files not done: load them again, what is there is skipped", "red"
        )


def print_created(report: Report, screen: Console) -> None:
    table = Table("created", "", show_edge=False)
    for name, count in report.created.most_common():
        table.add_row(name, f"{count:,}")
    table.add_section()
    table.add_row("all", f"{report.created.total():,}")
    screen.print(table)


def print_line(screen: Console, text: str, style: str | None = None) -> None:
    screen.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


async def load(paths: Sequence[Path], report: Report, screen: Console, *, parallel: int) -> None:
    """Loads the files and shows how far it is."""
    with show_progress(paths, screen) as advance:
        async with open_client() as client:
            async for path in load_files(client, paths, report, parallel=parallel):
                advance(path, report.created.total())


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/load",
        description="Loads FHIR R4 transaction Bundles, one person a file, and batches of what "
        "people"
        " share, plain or .gz, through the gateway. A person who is there already is skipped.",
        allow_abbrev=False,
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument(
        "--parallel",
        type=parallel_files,
        default=PARALLEL_FILES,
        metavar="N",
        help=f"people that are loaded at once, 1 to {MAX_PARALLEL_FILES} ({PARALLEL_FILES})",
    )
    return parser.parse_args(arguments)


def parallel_files(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MAX_PARALLEL_FILES:
        raise argparse.ArgumentTypeError(f"a number from 1 to {MAX_PARALLEL_FILES}, not {text!r}")
    return int(text)


def main(arguments: Sequence[str]) -> int:
    """Returns the exit status: 1 if a file was refused or the platform cannot be used."""
    options = parse(arguments)
    paths = list(dict.fromkeys(options.files))
    report = Report()
    screen = Console()
    try:
        asyncio.run(load(paths, report, screen, parallel=options.parallel))
    except PlatformError as error:
        print(f"scripts/load: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        print_report(report, len(paths), screen)
    return 1 if report.refused else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
