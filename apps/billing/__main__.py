"""Starts billing: `python -m apps.billing`."""

import asyncio
import sys

import aiohttp

from apps.billing.app import create_app
from apps.billing.settings import Settings
from apps.kit.database import open_database
from apps.kit.rpc import serve_rpc
from apps.kit.start import read_settings, run_service
from apps.kit.token_verifier import open_verifier


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    async with (
        aiohttp.ClientSession() as session,
        open_verifier(settings.verifier, session) as verifier,
        open_database(settings.database) as database,
    ):
        server = create_app(settings, database=database, verifier=verifier)
        await serve_rpc(server, settings.host, settings.port, stop)


if __name__ == "__main__":
    sys.exit(run_service(read_settings(Settings.from_environment), serve))
