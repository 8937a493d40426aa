"""axe finds nothing on the gateway's own pages, in each language."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from anyio.from_thread import start_blocking_portal
from playwright.sync_api import Browser, Page

from apps.gateway.settings import RequestLimits
from tests.browser.accessibility import NARROW, RULES_OF_A_SMALL_PAGE, check
from tests.browser.test_console_accessibility import NO_ANSWER_MS
from tests.browser.test_console_failures import stopped
from tests.browser.world import World
from tests.gateway.running import open_gateway

pytestmark = pytest.mark.browser


@pytest.fixture(params=["en-GB", "es-ES"])
def screen(chromium: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page of a browser of one language."""
    context = chromium.new_context(viewport=NARROW, locale=request.param)
    context.set_default_timeout(NO_ANSWER_MS)
    yield context.new_page()
    context.close()


@contextmanager
def strict_gateway() -> Iterator[str]:
    """Runs a gateway of its own that answers one request a minute; gives its address."""
    with start_blocking_portal() as portal:
        opened = open_gateway(limits=RequestLimits(requests_per_minute=1))
        with portal.wrap_async_context_manager(opened) as gateway:
            yield f"http://127.0.0.1:{gateway.port}"


def refused(page: Page, url: str, *statuses: int) -> None:
    """Opens a page that is refused, and looks at it."""
    answer = page.goto(url)
    assert answer is not None and answer.status in statuses
    expected = page.evaluate("navigator.language").partition("-")[0]
    assert page.locator("html").get_attribute("lang") == expected
    check(page, url, RULES_OF_A_SMALL_PAGE)


def test_refusals(world: World, screen: Page) -> None:
    refused(screen, f"{world.url}/analytics/v1/nothing", 404)
    refused(screen, f"{world.url}/billing/v1/accounts?patient=x", 401)


def test_too_many_requests(screen: Page) -> None:
    with strict_gateway() as url:
        screen.goto(f"{url}/patients")
        refused(screen, f"{url}/patients", 429)
        assert screen.get_by_role("heading", level=1).inner_text().strip()


def test_console_is_away(world: World, screen: Page) -> None:
    with stopped("console"):
        refused(screen, world.url, 503, 504)
