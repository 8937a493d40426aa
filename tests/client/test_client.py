"""The client against a real HTTP server."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from rich.console import Console

from apps.client.bundles import read_bundle
from apps.client.client import Client
from apps.client.demo import PEOPLE
from apps.client.fhir import RefusedError, read_resource, search
from apps.client.load import main
from apps.client.loading import Report, load_bundle
from apps.client.settings import ClientSettings, PlatformError

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
        # Statuses of Bundles that were carried out all the same.
        self.statuses: list[int] = []
        # Tokens up to this one are refused from now on.
        self.withdrawn = 0
        self.lifetime_seconds = 600.0
        self.next_page = ""

    async def token(self, request: web.Request) -> web.Response:
        if request.headers["Authorization"] != aiohttp.encode_basic_auth("c", self.secret):
            return web.json_response({"error": "invalid_client"}, status=401)
        self.tokens += 1
        return web.json_response(
            {"access_token": f"token-{self.tokens}", "expires_in": self.lifetime_seconds}
        )

    async def search(self, request: web.Request) -> web.Response:
        if self.busy:
            self.busy -= 1
            return web.Response(status=503, headers={"retry-after": "0"})
        assert request.headers["Authorization"] == f"Bearer token-{self.tokens}"
        return web.json_response(
            {"resourceType": "Bundle", **({"entry": [{}]} if self.loaded else {})}
        )

    async def observations(self, request: web.Request) -> web.Response:
        if request.headers["Authorization"] == f"Bearer token-{self.withdrawn}":
            return web.json_response({"status": 401, "title": "Unauthorized"}, status=401)
        page = int(request.query.get("page", "1"))
        own = str(request.url.with_query(page=page + 1))
        url = self.next_page if self.next_page and page == 1 else own
        return web.json_response(
            {
                "resourceType": "Bundle",
                "entry": [{"resource": {"id": f"{page}-{number}"}} for number in range(2)],
                "link": [{"relation": "next", "url": url}] if page < 3 else [],
            }
        )

    async def transaction(self, request: web.Request) -> web.Response:
        entries = [{"response": {"status": "201 Created"}} for _ in (await request.json())["entry"]]
        self.loaded = True
        if self.statuses:
            return web.Response(status=self.statuses.pop(), headers={"retry-after": "0"})
        if self.broken:
            self.broken -= 1
            assert request.transport is not None
            request.transport.abort()
        return web.json_response({"entry": entries}, headers={"idempotency-replayed": "true"})


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Client]:
    application = web.Application()
    application.router.add_post("/oauth2/token", server.token)
    application.router.add_get("/fhir/R4/Patient", server.search)
    application.router.add_get("/fhir/R4/Observation", server.observations)
    application.router.add_post("/fhir/R4", server.transaction)
    async with TestServer(application) as running, aiohttp.ClientSession() as session:
        yield Client(
            ClientSettings(
                url=str(running.make_url("")).rstrip("/"), client_id="c", client_secret="s"
            ),
            session,
        )


async def load(client: Any) -> Report:
    report = Report()
    await load_bundle(client, PERSON, read_bundle(PERSON), report)
    return report


async def test_answer_to_another_load_is_not_counted_as_ours(client: Client) -> None:
    report = await load(client)
    assert (report.created.total(), report.skipped) == (0, {PERSON: "another load created it"})


async def test_busy_platform_is_asked_again(server: Server, client: Client) -> None:
    server.busy = 3
    assert not (await load(client)).refused


async def test_token_is_asked_for_once(server: Server, client: Client) -> None:
    await load(client)
    await load(client)
    assert server.tokens == 1


async def test_load_goes_on_where_the_connection_broke_and_counts_its_own(
    server: Server, client: Client
) -> None:
    server.broken = 2
    report = await load(client)
    assert (report.created["Patient"], report.skipped, report.refused) == (1, {}, {})


@pytest.mark.parametrize("status", [502, 503, 504])
async def test_bundle_whose_answer_was_lost_behind_the_gateway_counts_as_ours(
    server: Server, client: Client, status: int
) -> None:
    server.statuses = [status]
    report = await load(client)
    assert (report.created["Patient"], report.skipped) == (1, {})


async def test_bundle_that_was_refused_by_the_rate_limit_was_not_carried_out(
    server: Server, client: Client
) -> None:
    server.statuses = [429]
    assert (await load(client)).skipped == {PERSON: "another load created it"}


async def test_platform_that_stays_away_is_told_after_its_time(
    server: Server, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.client.client.RETRY_SECONDS", 0.5)
    server.broken = 1000
    with pytest.raises(PlatformError, match="does not answer"):
        await load(client)
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
    async def break_off(
        paths: Sequence[Path], report: Report, screen: Console, *, parallel: int
    ) -> None:
        report.done = 1
        report.created.update(["Patient", "Observation"])
        raise error

    monkeypatch.setattr("apps.client.load.load", break_off)
    assert main([str(PERSON), "other", "third"]) == status
    printed = capsys.readouterr().out
    assert "2 resources created (1 patients)" in printed
    assert "2 files not done" in printed


async def test_client_that_is_not_let_in_is_told_so(server: Server, client: Client) -> None:
    server.secret = "another"
    with pytest.raises(PlatformError, match="does not let client c in"):
        await load(client)


async def test_search_yields_every_page(client: Client) -> None:
    found = [each["id"] async for each in search(client, "Observation", {"code": "a b"})]
    assert found == ["1-0", "1-1", "2-0", "2-1", "3-0", "3-1"]


async def test_token_is_not_sent_to_another_server(server: Server, client: Client) -> None:
    server.next_page = "https://evil.example/fhir/R4/Observation?page=2"
    with pytest.raises(ValueError, match=r"another server: https://evil\.example"):
        [each async for each in search(client, "Observation")]


async def test_refusal_has_the_platforms_reasons(client: Client) -> None:
    with pytest.raises(RefusedError, match="HTTP 404") as refused:
        await read_resource(client, "Nothing", "1")
    assert refused.value.response.status == 404


async def test_token_is_renewed_before_it_expires(server: Server, client: Client) -> None:
    server.lifetime_seconds = 29.0
    for number in (1, 2):
        await client.call("GET", "/fhir/R4/Observation")
        assert server.tokens == number


async def test_token_that_was_withdrawn_is_replaced_once(server: Server, client: Client) -> None:
    await client.call("GET", "/fhir/R4/Observation")
    server.withdrawn = 1
    answers = await asyncio.gather(*(client.call("GET", "/fhir/R4/Observation") for _ in range(5)))
    assert [each.status for each in answers] == [200] * 5
    assert server.tokens == 2


async def test_request_that_stays_refused_is_tried_twice(server: Server, client: Client) -> None:
    await client.call("GET", "/fhir/R4/Observation")
    server.withdrawn = 1
    server.tokens = 0
    assert (await client.call("GET", "/fhir/R4/Observation")).status == 401
    assert server.tokens == 1
