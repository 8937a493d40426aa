"""What a browser gets where the gateway itself refuses."""

import pytest

from apps.gateway.settings import RequestLimits
from tests.gateway.running import Gateway, open_gateway

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.mark.parametrize(
    ("path", "status"), [("/api/nothing", 404), ("/fhir/R4//Patient", 404), ("/api/patients", 401)]
)
async def test_browser_gets_a_page_with_the_request_id(
    gateway: Gateway, path: str, status: int
) -> None:
    async with gateway.call("GET", path, headers=BROWSER) as answer:
        assert (answer.status, answer.content_type) == (status, "text/html")
        page = await answer.text()
        assert answer.headers["X-Request-Id"] in page
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src")
        assert answer.headers["Cache-Control"] == "no-store"
        assert "<script" not in page
        assert "http" not in page.replace("<!doctype html>", "")


@pytest.mark.parametrize(
    ("accepted", "language", "text"),
    [
        ("es-MX,en;q=0.5", "es", "Esa página no existe."),
        ("en-GB,es;q=0.5", "en", "There is no such page."),
        ("fr,de", "en", "There is no such page."),
    ],
)
async def test_page_is_in_the_browsers_language(
    gateway: Gateway, accepted: str, language: str, text: str
) -> None:
    headers = {**BROWSER, "Accept-Language": accepted}
    async with gateway.call("GET", "/api/nothing", headers=headers) as answer:
        page = await answer.text()
    assert f'<html lang="{language}">' in page
    assert f"<h1>{text}</h1>" in page


async def test_page_is_in_the_language_that_was_chosen_on_another_page(gateway: Gateway) -> None:
    headers = {**BROWSER, "Accept-Language": "en-GB", "Cookie": "__Host-language=es"}
    async with gateway.call("GET", "/api/nothing", headers=headers) as answer:
        assert '<html lang="es">' in await answer.text()


async def test_browser_gets_a_page_with_the_refusals_own_headers() -> None:
    async with open_gateway(limits=RequestLimits(requests_per_minute=1)) as gateway:
        async with gateway.call("GET", "/", headers=BROWSER) as answer:
            assert answer.status == 200
        async with gateway.call("GET", "/", headers=BROWSER) as answer:
            assert (answer.status, answer.content_type) == (429, "text/html")
            assert int(answer.headers["Retry-After"]) >= 1


async def test_browser_gets_a_page_when_the_console_is_down() -> None:
    async with open_gateway(upstreams={"console": "http://127.0.0.1:1"}) as gateway:
        async with gateway.call("GET", "/patients", headers=BROWSER) as answer:
            assert (answer.status, answer.content_type) == (503, "text/html")
            assert answer.headers["Retry-After"]


async def test_path_never_ends_up_in_the_page(gateway: Gateway) -> None:
    async with gateway.call("GET", "/api/<script>alert(1)</script>", headers=BROWSER) as answer:
        assert answer.status in (400, 404)
        assert "alert" not in await answer.text()


async def test_every_other_client_gets_problem_details(gateway: Gateway) -> None:
    for accept in ("application/json", "*/*"):
        async with gateway.call("GET", "/api/nothing", headers={"Accept": accept}) as answer:
            assert answer.content_type == "application/problem+json"


async def test_services_own_errors_pass_untouched(gateway: Gateway) -> None:
    gateway.services["console"].answer.status = 404
    gateway.services["console"].answer.body = b"the console's own"
    async with gateway.call("GET", "/patients/7", headers=BROWSER) as answer:
        assert (answer.status, await answer.read()) == (404, b"the console's own")
