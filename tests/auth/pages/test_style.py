"""The sign-in pages' colours, as their stylesheet names them."""

import re
from itertools import pairwise
from pathlib import Path

import pytest

from apps.auth import pages

STYLE = (Path(pages.__file__).parent / "templates" / "style.css").read_text()
LIGHT, DARK = STYLE.split("@media (prefers-color-scheme: dark)", 1)


def luminance(colour: str) -> float:
    """Returns the relative luminance of `#rgb` or `#rrggbb` (WCAG 2.2)."""
    digits = colour[1:] if len(colour) == 7 else "".join(digit * 2 for digit in colour[1:])
    parts = [int(digits[at:end], 16) / 255 for at, end in pairwise((0, 2, 4, 6))]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("mode", [LIGHT, DARK.partition("\n}")[0]], ids=["light", "dark"])
def test_ring_of_what_has_the_focus_stands_out_from_what_is_behind(mode: str) -> None:
    assert ":focus-visible { outline: 3px solid var(--accent);" in STYLE
    colours = dict(re.findall(r"--(accent|back|paper): (#[0-9a-f]+)", mode))
    assert len(colours) == 3
    ring = luminance(colours["accent"])
    for behind in (luminance(colours["back"]), luminance(colours["paper"])):
        low, high = sorted((ring, behind))
        assert (high + 0.05) / (low + 0.05) >= 3
