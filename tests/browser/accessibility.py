"""What axe finds on a page in each of its looks: light and dark, at two widths."""

from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import Page, ViewportSize

AXE = (Path(__file__).parent / "axe.min.js").read_text(encoding="utf-8")
RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
# What another colour scheme can break; the other rules look at no colour.
COLOUR_RULES = ("color-contrast", "link-in-text-block")
RULES_THAT_APPLY = 10
# One of a heading and two sentences.
RULES_OF_A_SMALL_PAGE = 8
WIDE: ViewportSize = {"width": 1280, "height": 900}
NARROW: ViewportSize = {"width": 320, "height": 720}
# Playwright's own `wait_for_function` is what the pages' policy forbids: a text that is run.
WAIT_FOR_WIDTH = """width => new Promise((done) => {
  const look = () => innerWidth === width ? done() : requestAnimationFrame(look)
  look()
})"""
# The last is how `check` leaves the page, and so how a test goes on.
LOOKS: tuple[tuple[ViewportSize, Literal["light", "dark"]], ...] = (
    (WIDE, "light"),
    (WIDE, "dark"),
    (NARROW, "dark"),
    (NARROW, "light"),
)


def check(page: Page, where: str, rules_that_apply: int = RULES_THAT_APPLY) -> None:
    """Asserts that axe finds nothing in any look, and that nothing runs over the edge.

    A page is loaded once for all looks: they differ by its stylesheet alone.
    """
    page.evaluate(AXE)
    for size, scheme in LOOKS:
        page.set_viewport_size(size)
        # Else axe sees colours on their way from one scheme to the other.
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.evaluate(WAIT_FOR_WIDTH, size["width"])
        look = f"{where}, {size['width']} pixels, {scheme}"
        if scheme == "light":
            found = violations(page, "tag", RULES, rules_that_apply)
        else:
            found = violations(page, "rule", COLOUR_RULES, 1)
        assert found == [], look
        over = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert over <= 0, f"{look} is {over} pixels too wide"


def violations(page: Page, kind: str, values: tuple[str, ...], at_least: int) -> list[str]:
    """Lists what axe finds by these rules, or rules with these tags: rule, and the elements."""
    # Of what passes, axe need not list each element.
    options = {"runOnly": {"type": kind, "values": list(values)}, "resultTypes": ["violations"]}
    result = page.evaluate("options => axe.run(document, options)", options)
    # Of text on the browser's own background axe cannot tell the contrast: incomplete.
    looked_at = len(result["passes"]) + len(result["incomplete"]) + len(result["violations"])
    assert looked_at >= at_least, "axe looked at the page"
    found: list[dict[str, Any]] = result["violations"]
    return [
        f"{each['id']}: {' '.join(str(node['target']) for node in each['nodes'])[:300]}"
        for each in found
    ]
