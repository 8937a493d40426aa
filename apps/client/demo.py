"""`scripts/demo`: fills a platform with a made-up clinic, and follows one new patient through
it, step by step.
"""

import argparse
import asyncio
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console

from apps.client.client import Client, open_client
from apps.client.clinic import ClinicError, make_clinic
from apps.client.fhir import RefusedError, check, read_resource
from apps.client.loading import Report, load_files
from apps.client.settings import PlatformError

PEOPLE = Path(__file__).parent / "people"
# The journey takes well under a second; after this long something is wrong.
WAIT_SECONDS = 15.0
ASK_SECONDS = 0.02


class DemoError(Exception):
    """The journey did not come to its end; the message says where."""


async def wait_for(ask: Callable[[], Awaitable[Any]], what: str) -> Any:
    """Asks until the answer is true, and returns it. Raises DemoError after WAIT_SECONDS."""
    end = time.monotonic() + WAIT_SECONDS
    while not (found := await ask()):
        if time.monotonic() > end:
            raise DemoError(
                f"no {what} after {WAIT_SECONDS:.0f} s: the services' logs under .local/logs tell "
                f"more"
            )
        await asyncio.sleep(ASK_SECONDS)
    return found


@asynccontextmanager
async def step(screen: Console, title: str) -> AsyncIterator[list[str]]:
    """Prints `title`, the time that the block took and what it adds to the list."""
    said: list[str] = []
    start = time.perf_counter()
    yield said
    milliseconds = (time.perf_counter() - start) * 1000
    screen.print(
        f"{milliseconds:8.1f} ms  {title:<38} {' '.join(said)}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


async def registrations(client: Client) -> int:
    return int(check(await client.call("GET", "/analytics/v1/registrations"))["total"])


async def journey(client: Client, screen: Console) -> None:
    async with step(screen, "a token, by client credentials"):
        await client.sign_in()
    async with step(screen, "three people and their history, loaded") as said:
        report = Report()
        async for _ in load_files(client, sorted(PEOPLE.glob("*.json")), report):
            pass
        if report.refused:
            raise DemoError(
                "; ".join(reason for reasons in report.refused.values() for reason in reasons)
            )
        said.append(
            f"{report.created.total()} resources created, {len(report.skipped)} people were there "
            f"already"
        )
        # The figure below is to grow by one patient and nobody else.
        people = report.created["Patient"]
    async with step(screen, "analytics' figure before") as said:
        before = await settled_registrations(client, people)
        said.append(f"{before} registrations")
    started = time.perf_counter()
    async with step(screen, "POST /api/patients") as said:
        person = {
            "name": "Demo Testperson",
            "email": "demo.testperson@example.org",
            "address": "1 Example Street, Springfield",
            "dateOfBirth": "1990-01-31",
        }
        created = await client.call(
            "POST",
            "/api/patients",
            body=msgspec.json.encode(person),
            headers={"Idempotency-Key": str(uuid.uuid4())},
        )
        patient = check(created)["id"]
        said.append(f"patient {patient}")
    async with step(screen, "GET /fhir/R4/Patient/{id}") as said:
        read = await read_resource(client, "Patient", patient)
        said.append(f"version {read['meta']['versionId']}, MRN {read['identifier'][-1]['value']}")
    async with step(screen, "GET /billing/v1/accounts?patient={id}") as said:

        async def account() -> Any:
            answer = await client.call("GET", f"/billing/v1/accounts?patient={patient}")
            return None if answer.status == 404 else check(answer)

        found = await wait_for(account, "billing account")
        said.append(f"account {found.get('accountId') or found.get('account_id')}")
    async with step(screen, "GET /analytics/v1/registrations") as said:

        async def counted() -> int:
            total = await registrations(client)
            return total if total > before else 0

        said.append(f"{await wait_for(counted, 'registration counted')} registrations")
    screen.print(
        f"{(time.perf_counter() - started) * 1000:8.1f} ms  from the POST to the figure",
        highlight=False,
    )


async def settled_registrations(client: Client, at_least: int) -> int:
    """Returns the figure once it has stood still for a moment: what was loaded just now is
    counted by then.
    """
    total = await registrations(client)
    since = time.monotonic()
    end = since + WAIT_SECONDS
    while total < at_least or time.monotonic() - since < 0.5:
        if time.monotonic() > end:
            raise DemoError("the figures do not come to rest: somebody else registers patients")
        await asyncio.sleep(ASK_SECONDS * 5)
        newer = await registrations(client)
        if newer != total:
            total = newer
            since = time.monotonic()
    return total


async def demo(screen: Console) -> None:
    async with open_client() as client:
        await journey(client, screen)
        async with step(screen, "a clinic: charts, encounters, invoices") as said:
            said.append(f"{await make_clinic(client)} people more")
        screen.print(
            f"Open {client.url}/ in a browser; scripts/operate local sign-in prints the account.",
            highlight=False,
        )


def main(arguments: Sequence[str]) -> int:
    """Returns the exit status."""
    argparse.ArgumentParser(
        prog="scripts/demo",
        description="Fills a running platform with a made-up clinic: charts, the encounters of the "
        "last weeks,"
        " invoices in every state. Prints one patient's journey, step by step.",
    ).parse_args(arguments)
    try:
        asyncio.run(demo(Console()))
    except (ClinicError, DemoError, RefusedError, PlatformError) as error:
        print(f"scripts/demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
