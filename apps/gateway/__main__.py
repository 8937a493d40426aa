"""`python -m apps.gateway`"""

import asyncio
import sys
from contextlib import nullcontext
from urllib.parse import urlsplit

from apps.catalogue import SERVICES
from apps.gateway.settings import Settings
from apps.kit.start import read_settings, run_service


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    from apps.gateway.app import create_app
    from apps.gateway.tls import self_signed_certificate
    from apps.kit.http_server import serve_http

    host = urlsplit(settings.public_url).hostname or "gateway"
    with self_signed_certificate(host) if settings.tls_self_signed else nullcontext() as tls:
        await serve_http(
            create_app(settings),
            settings.host,
            settings.port,
            stop,
            server=SERVICES["gateway"].server,
            tls=tls,
        )


if __name__ == "__main__":
    sys.exit(run_service(read_settings(Settings.from_environment), serve))
