"""The client against a real HTTP server."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from rich.console import Console

from infrastructure.loader.bundles import read_bundle
from infrastructure.loader.demo import PEOPLE
from infrastructure.loader.load import Report, load_bundle, main
from infrastructure.loader.platform import Platform, PlatformError, PlatformSettings

PERSON = PEOPLE / "person-1.json"


class Server:
    """Answers as the platform does, with header names in lower case as its services write them."""

    def __init__(self) -> None:
        self.busy = 0
        self.secret = "s"
        self.tokens = 0
        self.loaded = False
        # Connections broken off, each after its Bundle was carried out.
        self.broken = 0

    async def token(self, request: web.Request) -> web.Response:
        if request.headers["Authorization"] != aiohttp.encode_basic_auth("c", self.secret):
            return web.json_response({"error": "invalid_client"}, status=401)
        self.tokens += 1
        return web.json_response({"access_token": f"token-{self.tokens}", "expires_in": 600})

    async def search(self, request: web.Request) -> web.Response:
        if self.busy:
            self.busy -= 1
            return web.Response(status=503, headers={"retry-after": "0"})
        assert request.headers["Authorization"] == f"Bearer token-{self.tokens}"
        return web.json_response(
            {"resourceType": "Bundle", **({"entry": [{}]} if self.loaded else {})}
        )

    async def transaction(self, request: web.Request) -> web.Response:
        entries = [{"response": {"status": "201 Created"}} for _ in (await request.json())["entry"]]
        self.loaded = True
        if self.broken:
            self.broken -= 1
            assert request.transport is not None
            request.transport.abort()
        return web.json_response({"entry": entries}, headers={"idempotency-replayed": "true"})


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def platform(server: Server) -> AsyncIterator[Platform]:
    application = web.Application()
    application.router.add_post("/oauth2/token", server.token)
    application.router.add_get("/fhir/R4/Patient", server.search)
    application.router.add_post("/fhir/R4", server.transaction)
    async with TestServer(application) as running, aiohttp.ClientSession() as session:
        yield Platform(PlatformSettings(str(running.make_url("")).rstrip("/"), "c", "s"), session)


async def load(platform: Any) -> Report:
    report = Report()
    await load_bundle(platform, PERSON, read_bundle(PERSON), report)
    return report


async def test_answer_to_another_load_is_not_counted_as_ours(platform: Platform) -> None:
    report = await load(platform)
    assert (report.created.total(), report.skipped) == (0, {PERSON: "another load made it"})


async def test_busy_platform_is_asked_again(server: Server, platform: Platform) -> None:
    server.busy = 3
    assert not (await load(platform)).refused


async def test_token_is_asked_for_once(server: Server, platform: Platform) -> None:
    await load(platform)
    await load(platform)
    assert server.tokens == 1


async def test_load_goes_on_where_the_connection_broke_and_counts_its_own(
    server: Server, platform: Platform
) -> None:
    server.broken = 2
    report = await load(platform)
    assert (report.created["Patient"], report.skipped, report.refused) == (1, {}, {})


async def test_platform_that_stays_away_is_told_after_its_time(
    server: Server, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infrastructure.loader.platform.PATIENCE_SECONDS", 0.5)
    server.broken = 1000
    with pytest.raises(PlatformError, match="does not answer"):
        await load(platform)
    assert server.broken < 999


@pytest.mark.parametrize(
    ("error", "status"), [(PlatformError("away"), 1), (KeyboardInterrupt(), 130)]
)
def test_load_that_breaks_off_tells_what_it_did(
    error: BaseException,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def break_off(paths: Sequence[Path], report: Report, screen: Console) -> None:
        report.done = 1
        report.created.update(["Patient", "Observation"])
        raise error

    monkeypatch.setattr("infrastructure.loader.load.load", break_off)
    assert main([str(PERSON), "other", "third"]) == status
    printed = capsys.readouterr().out
    assert "2 resources created (1 patients)" in printed
    assert "2 files not done" in printed


async def test_client_that_is_not_let_in_is_told_so(server: Server, platform: Platform) -> None:
    server.secret = "another"
    with pytest.raises(PlatformError, match="does not let client c in"):
        await load(platform)
