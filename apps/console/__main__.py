"""Starts the console: `python -m apps.console`."""

import asyncio
import sys

from apps.catalogue import SERVICES
from apps.console.app import create_app
from apps.console.settings import Settings
from apps.kit.http_server import serve_http
from apps.kit.start import read_settings, run_service


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Serves the pages until `stop` is set."""
    await serve_http(
        create_app(settings), settings.host, settings.port, stop, server=SERVICES["console"].server
    )


if __name__ == "__main__":
    sys.exit(run_service(read_settings(Settings.from_environment), serve))
