"""Starts analytics: `python -m apps.analytics`. `operate VERB ...` instead runs a verb of
`scripts/operate`.
"""

import asyncio
import sys

from apps.analytics.app import create_app
from apps.analytics.settings import Settings
from apps.catalogue import SERVICES
from apps.kit.http_server import serve_http
from apps.kit.start import read_settings, run_service


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    await serve_http(
        create_app(settings),
        settings.host,
        settings.port,
        stop,
        server=SERVICES["analytics"].server,
    )


def main(arguments: list[str]) -> int:
    settings = read_settings(Settings.from_environment)
    if arguments[:1] == ["operate"]:
        from apps.analytics.operate import HANDLERS
        from apps.kit.operate import operate

        return operate("analytics", settings, HANDLERS, arguments[1:])
    return run_service(settings, serve)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
