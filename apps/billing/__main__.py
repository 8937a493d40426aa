"""`python -m apps.billing` starts the service; `python -m apps.billing operate VERB ...` is
for operators.
"""

import asyncio
import sys

import aiohttp

from apps.billing.app import create_app, run_books
from apps.billing.settings import Settings
from apps.kit.broker import open_producer
from apps.kit.database import open_database
from apps.kit.rpc import serve_rpc
from apps.kit.start import read_settings, run_service
from apps.kit.token_verifier import open_verifier


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    async with (
        aiohttp.ClientSession() as session,
        open_verifier(settings.verifier, session) as verifier,
        open_database(settings.database) as database,
        open_producer(settings.broker) as producer,
        run_books(settings, database, producer) as running,
    ):
        server = create_app(settings, books=running.books, topics=running.topics, verifier=verifier)
        await serve_rpc(server, settings.host, settings.port, stop)


def main(arguments: list[str]) -> int:
    settings = read_settings(Settings.from_environment)
    if arguments[:1] == ["operate"]:
        from apps.billing.operate import HANDLERS
        from apps.kit.operate import operate

        return operate("billing", settings, HANDLERS, arguments[1:])
    return run_service(settings, serve)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
