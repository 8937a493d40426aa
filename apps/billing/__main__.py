"""Starts billing: `python -m apps.billing`."""

import asyncio
import os
import sys

import aiohttp

from apps.billing.app import create_app
from apps.billing.settings import Settings
from apps.kit.database import open_database
from apps.kit.logs import configure_logging
from apps.kit.rpc import serve_rpc
from apps.kit.settings import SettingsError
from apps.kit.tokens import open_verifier
from apps.kit.web import run_until_stopped


def main() -> int:
    try:
        settings = Settings.from_environment(os.environ)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    configure_logging(settings.log_format)

    async def run(stop: asyncio.Event) -> None:
        async with (
            aiohttp.ClientSession() as session,
            open_verifier(settings.verifier, session) as verifier,
            open_database(settings.database) as database,
        ):
            server = create_app(settings, database=database, verifier=verifier)
            await serve_rpc(server, settings.host, settings.port, stop)

    try:
        run_until_stopped(run)
    except OSError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
