"""Starts the auth service: `python -m apps.auth`. `operate VERB ...` instead runs a verb of
`scripts/operate`.
"""

import asyncio
import sys

from apps.auth.settings import Settings
from apps.catalogue import SERVICES
from apps.kit.start import read_settings, run_service


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    from apps.auth.app import create_app
    from apps.kit.http_server import serve_http

    await serve_http(
        create_app(settings), settings.host, settings.port, stop, server=SERVICES["auth"].server
    )


def main(arguments: list[str]) -> int:
    settings = read_settings(Settings.from_environment)
    if arguments[:1] == ["operate"]:
        from apps.auth.operate import HANDLERS
        from apps.kit.operate import operate

        return operate("auth", settings, HANDLERS, arguments[1:])
    return run_service(settings, serve)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
