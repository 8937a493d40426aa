"""`scripts/demo`: loads three made-up people and follows one new patient through the five services, step by step."""

import asyncio
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console

from infrastructure.loader.load import Report, load_files
from infrastructure.loader.platform import Answer, Platform, PlatformError, open_platform

PEOPLE = Path(__file__).parent / "people"
# The journey takes well under a second; after this long something is wrong.
WAIT_SECONDS = 15.0
ASK_SECONDS = 0.02


class DemoError(Exception):
    pass


def check(answer: Answer) -> Any:
    if not answer.ok:
        raise DemoError(f"HTTP {answer.status}: {'; '.join(answer.reasons)}")
    return answer.body


async def wait_for(ask: Callable[[], Awaitable[Any]], what: str) -> Any:
    end = time.monotonic() + WAIT_SECONDS
    while not (found := await ask()):
        if time.monotonic() > end:
            raise DemoError(
                f"no {what} after {WAIT_SECONDS:.0f} s: the services' logs under .local/logs tell more"
            )
        await asyncio.sleep(ASK_SECONDS)
    return found


@asynccontextmanager
async def step(screen: Console, title: str) -> AsyncIterator[list[str]]:
    """Prints `title`, its time in milliseconds and what the block says of it."""
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


async def registrations(platform: Platform) -> int:
    return int(check(await platform.call("GET", "/analytics/v1/registrations"))["total"])


async def journey(platform: Platform, screen: Console) -> None:
    async with step(screen, "a token, by client credentials"):
        await platform.sign_in()
    async with step(screen, "three people and their history, loaded") as said:
        report = Report()
        async for _ in load_files(platform, sorted(PEOPLE.glob("*.json")), report):
            pass
        if report.refused:
            raise DemoError(
                "; ".join(reason for reasons in report.refused.values() for reason in reasons)
            )
        said.append(
            f"{report.created.total()} resources created, {len(report.skipped)} people were there already"
        )
        # So that the figure below grows by one patient and nobody else.
        people = report.created["Patient"]
    async with step(screen, "analytics' figure before") as said:
        before = await settled_registrations(platform, people)
        said.append(f"{before} registrations")
    started = time.perf_counter()
    async with step(screen, "POST /api/patients") as said:
        person = {
            "name": "Demo Testperson",
            "email": "demo.testperson@example.org",
            "address": "1 Example Street, Springfield",
            "dateOfBirth": "1990-01-31",
        }
        body, key = msgspec.json.encode(person), {"Idempotency-Key": str(uuid.uuid4())}
        patient = check(await platform.call("POST", "/api/patients", body=body, headers=key))["id"]
        said.append(f"patient {patient}")
    async with step(screen, "GET /fhir/R4/Patient/{id}") as said:
        read = check(await platform.call("GET", f"/fhir/R4/Patient/{patient}"))
        said.append(f"version {read['meta']['versionId']}, MRN {read['identifier'][-1]['value']}")
    async with step(screen, "GET /billing/v1/accounts?patient={id}") as said:

        async def account() -> Any:
            answer = await platform.call("GET", f"/billing/v1/accounts?patient={patient}")
            return None if answer.status == 404 else check(answer)

        found = await wait_for(account, "billing account")
        said.append(f"account {found.get('accountId') or found.get('account_id')}")
    async with step(screen, "GET /analytics/v1/registrations") as said:

        async def counted() -> int:
            total = await registrations(platform)
            return total if total > before else 0

        said.append(f"{await wait_for(counted, 'registration counted')} registrations")
    screen.print(
        f"{(time.perf_counter() - started) * 1000:8.1f} ms  from the POST to the figure",
        highlight=False,
    )


async def settled_registrations(platform: Platform, at_least: int) -> int:
    """The figure once it has stood still for a moment: what was loaded just now is counted by then."""
    total, since = await registrations(platform), time.monotonic()
    end = since + WAIT_SECONDS
    while total < at_least or time.monotonic() - since < 0.5:
        if time.monotonic() > end:
            raise DemoError("the figures do not come to rest: somebody else registers patients")
        await asyncio.sleep(ASK_SECONDS * 5)
        newer = await registrations(platform)
        if newer != total:
            total, since = newer, time.monotonic()
    return total


async def demo(screen: Console) -> None:
    async with open_platform() as platform:
        await journey(platform, screen)


def main() -> int:
    try:
        asyncio.run(demo(Console()))
    except (DemoError, PlatformError) as error:
        print(f"scripts/demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
