"""Debian's Chromium on a running platform, all through the gateway."""

import os
import shutil
import tempfile
import threading
from collections.abc import Generator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.site import Site, open_site
from tests.browser.world import Callback, World

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PAGE_TIMEOUT_MS = 10_000
expect.set_options(timeout=PAGE_TIMEOUT_MS)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    path = (
        shutil.which("chromium")
        or shutil.which("chromium-browser")
        or shutil.which("google-chrome")
    )
    with tempfile.TemporaryDirectory() as directory, sync_playwright() as playwright:
        environ: dict[str, str | float | bool] = {**os.environ, "HOME": directory}
        browser = playwright.chromium.launch(
            executable_path=path, args=list(ARGUMENTS), env=environ
        )
        yield browser
        browser.close()


@pytest.fixture(params=[True, False], ids=["with-scripts", "without-scripts"])
def page(chromium: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A person's browser, with and without JavaScript."""
    context = chromium.new_context(java_script_enabled=request.param)
    context.set_default_timeout(PAGE_TIMEOUT_MS)
    yield context.new_page()
    context.close()


class Administrator(httpx.Auth):
    """Signs in by the short login, and again once the token has expired: the suite
    may outlast it.
    """

    requires_response_body = True

    def __init__(self, url: str) -> None:
        self._url = url
        self._token = "none"

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Bearer {self._token}"
        answer = yield request
        if answer.status_code == 401:
            login = {
                "email": os.environ["PLATFORM_USER"],
                "password": os.environ["PLATFORM_PASSWORD"],
            }
            signed_in = yield httpx.Request("POST", f"{self._url}/auth/login", json=login)
            self._token = signed_in.raise_for_status().json()["token"]
            request.headers["Authorization"] = f"Bearer {self._token}"
            yield request


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    url = os.environ["PLATFORM_URL"]
    with httpx.Client(base_url=url, auth=Administrator(url)) as http:
        yield World(url, http)


@pytest.fixture
def callback() -> Iterator[Callback]:
    """Where the application waits for its code: `http://127.0.0.1:port/callback`."""
    arrived: Queue[str] = Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/callback"):
                arrived.put(self.path)
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(
                b"<!doctype html><title>The application</title><h1>Back in the application</h1>"
            )

        def log_message(self, format: str, *arguments: Any) -> None:
            """Quiet: the address carries a code."""

    # Chromium may open a connection that it says nothing on.
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield Callback(f"http://127.0.0.1:{server.server_port}/callback", arrived)
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="session")
def server() -> Iterator[Site]:
    with open_site() as site:
        yield site


@pytest.fixture
def site(server: Site) -> Site:
    """The web server of an application; one for all tests, as the gateway learns an origin late."""
    server.files = {}
    return server
