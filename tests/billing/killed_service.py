"""Billing in a process of its own, to be killed: `python -m tests.billing.killed_service DATABASE_URL PORT`."""

import asyncio
import sys

from apps.billing.books import Books
from apps.billing.ledger.chain import seal_forever
from apps.billing.settings import Settings
from apps.kit.database import DatabaseSettings, open_database
from apps.kit.tasks import running
from tests.billing.conftest import ENVIRONMENT, FakeVerifier, make_server


async def serve(url: str, port: int) -> None:
    settings = Settings.from_environment({**ENVIRONMENT, "BILLING_DATABASE_URL": url})
    async with open_database(DatabaseSettings(url)) as database, running(seal_forever(database)):
        server = make_server(settings, Books(database, settings), FakeVerifier())
        server.add_insecure_port(f"127.0.0.1:{port}")
        await server.start()
        print("serving", flush=True)
        await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2])))
