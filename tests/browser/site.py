"""A web server of an application, with an origin of its own."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

from tests.browser.world import World

# The gateway asks for the origins of registered applications now and then.
ORIGIN_SECONDS = 90
SHELL = """<!doctype html><title>loading</title><h1 id="state">loading</h1>
<script src="/library.js"></script><script src="/app.js"></script>"""


@dataclass
class Site:
    url: str = ""
    files: dict[str, tuple[str, str]] = field(default_factory=dict)

    def wait_for_origin(self, world: World) -> None:
        """Waits until the gateway lets the origin in, which it does for all that follows."""
        deadline = time.monotonic() + ORIGIN_SECONDS
        headers = {"Origin": self.url, "Access-Control-Request-Method": "POST"}
        while True:
            answer = httpx.options(f"{world.url}/oauth2/token", headers=headers)
            if answer.headers.get("access-control-allow-origin") == self.url:
                return
            assert time.monotonic() < deadline, answer.text
            time.sleep(0.5)


@contextmanager
def open_site() -> Iterator[Site]:
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            kind, text = site.files.get(self.path.partition("?")[0], ("text/html", SHELL))
            self.send_response(200)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *arguments: Any) -> None:
            """Quiet: the address carries a code."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    site.url = f"http://127.0.0.1:{server.server_port}"
    yield site
    server.shutdown()
    thread.join()
    server.server_close()
