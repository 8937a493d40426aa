"""Runs a service's application: by Hypercorn, or by uvicorn where the catalogue says so."""

import asyncio
import logging
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.types import ASGIApp

from apps.catalogue import HttpServer
from apps.kit.read_rest import ReadRestMiddleware

# Longer than the balancer's idle timeout (60 s), so that it never sends a request on a connection
# being closed.
KEEP_ALIVE_SECONDS = 75
GRACEFUL_STOP_SECONDS = 20
# For a client to read anything of what is sent; as long as the balancer's idle timeout.
UNREAD_SECONDS = 60.0


async def serve_http(
    app: ASGIApp,
    host: str,
    port: int,
    stop: asyncio.Event,
    *,
    server: HttpServer = "hypercorn",
    tls: tuple[str, str] | None = None,
) -> None:
    """Serves `app` until `stop` is set, then finishes what runs within GRACEFUL_STOP_SECONDS.

    `server` is the one that the catalogue names for the service. `tls`: paths of certificate and
    key (PEM). Raises OSError if the port is taken.
    """
    serve = serve_by_uvicorn if server == "uvicorn" else serve_by_hypercorn
    await serve(ReadRestMiddleware(app), host, port, stop, tls)


async def serve_by_hypercorn(
    app: ASGIApp, host: str, port: int, stop: asyncio.Event, tls: tuple[str, str] | None
) -> None:
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    config = Config()
    config.bind = [f"{host}:{port}"]
    config.include_server_header = False
    config.keep_alive_timeout = KEEP_ALIVE_SECONDS
    # A connection is not closed for its age: a proxy in front would see a request fail that it
    # may not repeat.
    config.keep_alive_max_requests = 2**31
    config.graceful_timeout = GRACEFUL_STOP_SECONDS
    config.errorlog = logging.getLogger("hypercorn.error")
    config.accesslog = None
    if tls:
        config.certfile, config.keyfile = tls
    await serve(app, config, shutdown_trigger=stop.wait)  # type: ignore[arg-type]


async def serve_by_uvicorn(
    app: ASGIApp, host: str, port: int, stop: asyncio.Event, tls: tuple[str, str] | None
) -> None:
    import uvicorn

    from apps.kit.uvicorn_protocol import BoundedProtocol

    class Server(uvicorn.Server):
        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            # `stop` is set by the process's own handlers.
            yield

    certificate, key = tls or (None, None)
    config = uvicorn.Config(
        app,
        http=BoundedProtocol,
        ws="none",
        lifespan="on",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACEFUL_STOP_SECONDS,
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )
    running = Server(config)

    async def exit_at_stop() -> None:
        await stop.wait()
        running.should_exit = True

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family, backlog=config.backlog) as listener:
        # asyncio sets it only on sockets that name their protocol: without it a response's
        # second write waits 40 ms for the client's acknowledgement of the first. Accepted
        # connections inherit it.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if sys.platform == "linux":
            # tcp(7): the kernel ends a connection on which nothing was acknowledged, or read, for
            # so long. Accepted connections inherit it.
            timeout_ms = int(UNREAD_SECONDS * 1000)
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, timeout_ms)
        exiting = asyncio.create_task(exit_at_stop())
        try:
            await running.serve([listener])
        except SystemExit:
            raise RuntimeError("the application did not start") from None
        finally:
            exiting.cancel()
            for connection in list(running.server_state.connections):
                connection.transport.abort()
