"""`scripts/load FILE...`: loads people, each with their history or not at all; safe to repeat."""

import argparse
import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from infrastructure.loader.bundles import Bundle, BundleError, read_bundle
from infrastructure.loader.platform import Answer, Platform, PlatformError, open_platform

IN_FLIGHT_PAUSE_SECONDS = 0.5
IN_FLIGHT_TRIES = 60
SHOWN_REASONS = 5


@dataclass(slots=True)
class Report:
    """`created`: resources by type. `added`, `skipped` and `refused`: what happened, by file. `done`: files in all.

    `added` are files whose person was there already and who has more resources now.
    """

    done: int = 0
    created: Counter[str] = field(default_factory=Counter)
    added: dict[Path, str] = field(default_factory=dict)
    skipped: dict[Path, str] = field(default_factory=dict)
    refused: dict[Path, list[str]] = field(default_factory=dict)


async def load_files(
    platform: Platform, paths: Sequence[Path], report: Report
) -> AsyncIterator[Path]:
    """Loads one after the other, giving each path when it is done with."""
    for path in paths:
        try:
            bundle = read_bundle(path)
        except BundleError as error:
            report.refused[path] = [str(error)]
        else:
            await load_bundle(platform, path, bundle, report)
        report.done += 1
        yield path


async def load_bundle(platform: Platform, path: Path, bundle: Bundle, report: Report) -> None:
    found = await find_person(platform, bundle)
    if not found.ok:
        report.refused[path] = found.reasons
        return
    if found.body.get("entry"):
        report.skipped[path] = "the person is there already"
        return
    answer = await send(platform, bundle)
    if not answer.ok:
        report.refused[path] = answer.reasons
        return
    if "Idempotency-Replayed" in answer.headers:
        # The answer of up to a day ago: what it tells of may be gone.
        found = await find_person(platform, bundle)
        if not found.ok:
            report.refused[path] = found.reasons
            return
        if not found.body.get("entry"):
            report.refused[path] = [
                "the person was loaded before and then deleted: try again a day after that load"
            ]
            return
        if not answer.repeated:
            report.skipped[path] = "another load made it"
            return
    note_created(path, bundle, answer, report)


async def find_person(platform: Platform, bundle: Bundle) -> Answer:
    return await platform.call("GET", f"/fhir/R4/Patient?{bundle.condition}&_count=1")


async def send(platform: Platform, bundle: Bundle) -> Answer:
    """While another load of the same file is under way its answer is waited for: it is ours as well."""
    repeated = False
    for _ in range(IN_FLIGHT_TRIES):
        answer = await platform.call(
            "POST", "/fhir/R4", body=bundle.body, headers={"Idempotency-Key": bundle.key}
        )
        repeated = repeated or answer.repeated
        if answer.status != 409:
            break
        await asyncio.sleep(IN_FLIGHT_PAUSE_SECONDS)
    return replace(answer, repeated=repeated)


def note_created(path: Path, bundle: Bundle, answer: Answer, report: Report) -> None:
    statuses = [entry["response"]["status"][:3] for entry in answer.body["entry"]]
    created = Counter(
        name for name, status in zip(bundle.types, statuses, strict=True) if status == "201"
    )
    report.created += created
    if not created:
        report.skipped[path] = "the person is there already"
    elif not created["Patient"]:
        report.added[path] = f"the person was there already; {created.total()} resources added"


def print_report(report: Report, files: int, screen: Console) -> None:
    """Of `files` in all."""
    if report.created:
        table = Table("created", "", show_edge=False)
        for name, count in report.created.most_common():
            table.add_row(name, f"{count:,}")
        table.add_section()
        table.add_row("all", f"{report.created.total():,}")
        screen.print(table)
    for path, reason in report.added.items():
        screen.print(
            f"added to {path.name}: {reason}",
            style="yellow",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
    for path, reason in report.skipped.items():
        screen.print(
            f"skipped {path.name}: {reason}", markup=False, highlight=False, soft_wrap=True
        )
    for path, reasons in report.refused.items():
        for reason in reasons[:SHOWN_REASONS]:
            screen.print(
                f"refused {path.name}: {reason}",
                style="red",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
        if len(reasons) > SHOWN_REASONS:
            screen.print(f"  and {len(reasons) - SHOWN_REASONS} more")
    screen.print(
        f"{report.created.total()} resources created ({report.created['Patient']} patients),"
        f" {len(report.skipped)} files skipped, {len(report.refused)} refused",
        highlight=False,
    )
    if report.done < files:
        screen.print(
            f"{files - report.done} files not done: load them again, what is there already is skipped",
            style="red",
            highlight=False,
        )


async def load(paths: Sequence[Path], report: Report, screen: Console) -> None:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=screen) as progress:
        task = progress.add_task("loading", total=len(paths))
        async with open_platform() as platform:
            async for path in load_files(platform, paths, report):
                progress.update(task, advance=1, description=path.name)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/load",
        description="Loads FHIR R4 transaction Bundles, one person a file, plain or .gz, through the gateway."
        " A person who is there already is skipped.",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    paths = list(dict.fromkeys(parser.parse_args(arguments).files))
    report, screen = Report(), Console()
    try:
        asyncio.run(load(paths, report, screen))
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
