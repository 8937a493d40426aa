"""Billing in a process of its own, started as it always is: to be killed, or measured.

`python -m tests.billing.separate_service DATABASE_URL PORT`
"""

import asyncio
import sys

from apps.billing.books import Books
from apps.billing.ledger.chain import seal_forever
from apps.billing.settings import Settings
from apps.kit.database import DatabaseSettings, open_database
from apps.kit.start import run_service
from apps.kit.tasks import running
from tests.billing.conftest import ENVIRONMENT, FakeVerifier, make_server


async def start(url: str, port: int) -> asyncio.subprocess.Process:
    """Starts it, and waits until it serves; the caller ends it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.billing.separate_service", url, str(port)),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout
    assert await process.stdout.readline() == b"serving\n"
    return process


def main(url: str, port: int) -> int:
    settings = Settings.from_environment({**ENVIRONMENT, "BILLING_DATABASE_URL": url})

    async def serve(settings: Settings, stop: asyncio.Event) -> None:
        async with (
            open_database(DatabaseSettings(url)) as database,
            running(seal_forever(database)),
        ):
            server = make_server(settings, Books(database, settings), FakeVerifier())
            server.add_insecure_port(f"127.0.0.1:{port}")
            await server.start()
            print("serving", flush=True)
            await stop.wait()
            await server.stop(None)

    return run_service(settings, serve)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
