"""`python -m apps.auth` serves; `python -m apps.auth users|clients|keys ...` is for operators."""

import asyncio
import os
import sys

from apps.auth.settings import Settings
from apps.kit.logs import configure_logging
from apps.kit.settings import SettingsError


def main(arguments: list[str]) -> int:
    try:
        settings = Settings.from_environment(os.environ)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    if arguments:
        from apps.auth.cli import operate

        return operate(settings, arguments)

    from apps.auth.app import create_app
    from apps.kit.web import run_until_stopped, serve_http

    configure_logging(settings.log_format)

    async def serve(stop: asyncio.Event) -> None:
        await serve_http(create_app(settings), settings.host, settings.port, stop)

    run_until_stopped(serve)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
