"""Loads Bundles from files, several at once; safe to repeat."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from apps.client.bundles import Bundle, BundleError, read_bundle
from apps.client.client import Client, Response
from apps.client.fhir import BASE, send_bundle

IN_FLIGHT_PAUSE_SECONDS = 0.5
IN_FLIGHT_TRIES = 60
# Measured on two cores: more waits in line, fewer leaves a core idle.
PARALLEL_FILES = 8
MAX_PARALLEL_FILES = 32


@dataclass(slots=True)
class Report:
    """What happened. `created`: resources by type; `added`, `skipped` and `refused`: by file;
    `done`: files in all.

    `added` are files whose person was there already and who has more resources now.
    """

    done: int = 0
    created: Counter[str] = field(default_factory=Counter)
    added: dict[Path, str] = field(default_factory=dict)
    skipped: dict[Path, str] = field(default_factory=dict)
    refused: dict[Path, list[str]] = field(default_factory=dict)


async def load_files(
    client: Client, paths: Sequence[Path], report: Report, *, parallel: int = PARALLEL_FILES
) -> AsyncIterator[Path]:
    """Loads `parallel` people at once and yields each path when it is done.

    A batch is what people share, such as hospitals: it is loaded alone, after all before it and
    before all behind it. Raises PlatformError if the platform cannot be used; what is under way is
    then broken off.
    """
    running: set[asyncio.Task[Path]] = set()
    try:
        for path in paths:
            try:
                bundle = await asyncio.to_thread(read_bundle, path)
            except BundleError as error:
                report.refused[path] = [str(error)]
                report.done += 1
                yield path
                continue
            alone = bundle.condition is None
            while running and (alone or len(running) >= parallel):
                async for done in finish_some(running):
                    yield done
            running.add(asyncio.create_task(load_bundle(client, path, bundle, report)))
            if alone:
                async for done in finish_some(running):
                    yield done
        while running:
            async for done in finish_some(running):
                yield done
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def finish_some(running: set[asyncio.Task[Path]]) -> AsyncIterator[Path]:
    """Waits until a load has ended, takes those that have from `running`, and
    yields their paths.
    """
    ended, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    running -= ended
    for task in ended:
        yield task.result()


async def load_bundle(client: Client, path: Path, bundle: Bundle, report: Report) -> Path:
    """Loads one Bundle unless its person is there already, and notes in `report` what happened."""
    if bundle.condition is None:
        await load_shared(client, path, bundle, report)
    else:
        await load_person(client, path, bundle, bundle.condition, report)
    report.done += 1
    return path


async def load_shared(client: Client, path: Path, bundle: Bundle, report: Report) -> None:
    """Loads a batch; each of its entries succeeds or fails by itself."""
    response = await send(client, bundle)
    if not response.ok:
        report.refused[path] = response.reasons
        return
    reasons = []
    for number, (name, entry) in enumerate(zip(bundle.types, response.body["entry"], strict=True)):
        answer = entry["response"]
        if answer["status"].startswith("201"):
            report.created[name] += 1
        elif number in bundle.kept_ids and answer["status"].startswith("412"):
            continue  # It is there.
        elif not answer["status"].startswith("2"):
            outcome = Response(
                status=int(answer["status"][:3]), headers={}, body=answer.get("outcome")
            )
            reasons += [f"{name}: {reason}" for reason in outcome.reasons]
    if reasons:
        report.refused[path] = reasons
    elif not any(entry["response"]["status"].startswith("201") for entry in response.body["entry"]):
        report.skipped[path] = "everything in it is there already"


async def load_person(
    client: Client, path: Path, bundle: Bundle, condition: str, report: Report
) -> None:
    """Loads a person with the history, or nothing of either."""
    found = await find_person(client, condition)
    if not found.ok:
        report.refused[path] = found.reasons
        return
    if found.body.get("entry"):
        report.skipped[path] = "the person is there already"
        return
    response = await send(client, bundle)
    if not response.ok:
        report.refused[path] = response.reasons
        return
    if "Idempotency-Replayed" in response.headers:
        # The first answer may be a day old: what it tells of may be gone.
        found = await find_person(client, condition)
        if not found.ok:
            report.refused[path] = found.reasons
            return
        if not found.body.get("entry"):
            report.refused[path] = [
                "the person was loaded before and then deleted: try again a day after that load"
            ]
            return
        if not response.repeated:
            report.skipped[path] = "another load created it"
            return
    note_created(path, bundle, response, report)


async def find_person(client: Client, condition: str) -> Response:
    """Searches for the Bundle's person."""
    return await client.call("GET", f"{BASE}/Patient?{condition}&_count=1")


async def send(client: Client, bundle: Bundle) -> Response:
    """Sends the Bundle; if another load of the same file is under way, waits for its answer, which
    is ours as well.
    """
    repeated = False
    for _ in range(IN_FLIGHT_TRIES):
        response = await send_bundle(client, bundle.body, idempotency_key=bundle.key)
        repeated = repeated or response.repeated
        if response.status != 409:
            break
        await asyncio.sleep(IN_FLIGHT_PAUSE_SECONDS)
    return replace(response, repeated=repeated)


def note_created(path: Path, bundle: Bundle, response: Response, report: Report) -> None:
    """Counts what the Bundle created, by the statuses of its entries."""
    statuses = [entry["response"]["status"][:3] for entry in response.body["entry"]]
    created = Counter(
        name for name, status in zip(bundle.types, statuses, strict=True) if status == "201"
    )
    report.created += created
    if not created:
        report.skipped[path] = "the person is there already"
    elif not created["Patient"]:
        report.added[path] = f"the person was there already; {created.total()} resources added"
