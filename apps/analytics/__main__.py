"""Starts analytics: `python -m apps.analytics`; `rebuild` instead makes the figures anew from the whole topic."""

import asyncio
import sys

from apps.analytics.app import create_app
from apps.analytics.rebuild import rebuild
from apps.analytics.settings import Settings
from apps.catalogue import SERVICES
from apps.kit.broker import open_producer
from apps.kit.database import open_database
from apps.kit.errors import Unavailable
from apps.kit.logs import configure_logging
from apps.kit.start import read_settings, run_service
from apps.kit.web import serve_http


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    await serve_http(
        create_app(settings),
        settings.host,
        settings.port,
        stop,
        server=SERVICES["analytics"].server,
    )


async def rebuild_figures(settings: Settings) -> None:
    async with (
        open_database(settings.database) as database,
        open_producer(settings.broker) as producer,
    ):
        count = await rebuild(settings, database, producer)
    print(f"read {count} events; the figures are new")


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["rebuild"]):
        print("usage: python -m apps.analytics [rebuild]", file=sys.stderr)
        return 2
    settings = read_settings(Settings.from_environment)
    if not arguments:
        return run_service(settings, serve)
    configure_logging(settings.log_format)
    try:
        asyncio.run(rebuild_figures(settings))
    except Unavailable as error:
        print(f"nothing was changed: {error.code}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
