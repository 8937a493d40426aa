"""`python -m apps.gateway`"""

import asyncio
import os
import sys
from contextlib import nullcontext
from urllib.parse import urlsplit

from apps.gateway.settings import Settings
from apps.kit.logs import configure_logging
from apps.kit.settings import SettingsError
from apps.kit.web import run_until_stopped, serve_http


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    from apps.gateway.app import create_app
    from apps.gateway.tls import self_signed_certificate

    host = urlsplit(settings.public_url).hostname or "gateway"
    with self_signed_certificate(host) if settings.tls_self_signed else nullcontext() as tls:
        await serve_http(create_app(settings), settings.host, settings.port, stop, tls=tls)


def main() -> int:
    try:
        settings = Settings.from_environment(os.environ)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    configure_logging(settings.log_format)
    run_until_stopped(lambda stop: serve(settings, stop))
    return 0


if __name__ == "__main__":
    sys.exit(main())
