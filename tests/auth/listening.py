"""A server of an application: gives its keys, takes notices of logout."""

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

WAIT_SECONDS = 20.0


@dataclass
class Listener:
    """`requests`: path and form of each, in order. `answer` is given as JSON, with `status`
    and `location`.
    """

    url: str
    status: int = 200
    location: str = ""
    answer: Any = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def wait_for(self, count: int) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while len(self.requests) < count:
            assert time.monotonic() < deadline, self.requests
            threading.Event().wait(0.1)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.respond({})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        self.respond(dict(parse_qsl(body)))

    def respond(self, form: dict[str, str]) -> None:
        listener: Listener = self.server.listener  # type: ignore[attr-defined]
        listener.requests.append((self.path, form))
        body = json.dumps(listener.answer).encode()
        self.send_response(listener.status)
        self.send_header("Content-Length", str(len(body)))
        if listener.location:
            self.send_header("Location", listener.location)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        """Nothing to say."""


def listening() -> Iterator[Listener]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listener = Listener(f"http://127.0.0.1:{server.server_port}")
    server.listener = listener  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield listener
    finally:
        server.shutdown()
        server.server_close()
