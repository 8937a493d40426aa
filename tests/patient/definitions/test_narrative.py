"""What a narrative may hold."""

import pytest

from apps.patient.definitions.narrative import XHTML, narrative_fault


def with_namespace(div: str) -> str:
    return div if "xmlns" in div else div.replace("<div", f'<div xmlns="{XHTML}"', 1)


@pytest.mark.parametrize(
    "div",
    [
        "<div>plain</div>",
        '<div xmlns="http://www.w3.org/1999/xhtml"><table><tr><td '
        'colspan="2">x<br/></td></tr></table></div>',
        '<div><a href="https://example.org">x</a><a href="#a">x</a><img '
        'src="data:image/png;base64,AA" alt="x"/></div>',
        "<div><!-- a comment --><b style='color: red'>x</b></div>",
    ],
)
def test_formatting_is_allowed_in_a_narrative(div: str) -> None:
    assert narrative_fault(with_namespace(div)) == ""


@pytest.mark.parametrize(
    "div",
    [
        "plain",
        "",
        "<p>x</p>",
        "<div><script>alert(1)</script></div>",
        "<div><SCRIPT SRC=//x></SCRIPT></div>",
        "<div><svg onload=alert(1)></svg></div>",
        '<div onclick="alert(1)">x</div>',
        '<div><a href="javascript:alert(1)">x</a></div>',
        '<div><a href="java\tscript:alert(1)">x</a></div>',
        '<div><a href=" &#106;avascript:alert(1)">x</a></div>',
        '<div><a href="data:text/html,x">x</a></div>',
        '<div><img src="data:image/svg+xml,x"/></div>',
        "<div><iframe src='https://example.org'></iframe></div>",
        "<div><form action='x'><input/></form></div>",
        "<div style='background: url(//x)'>x</div>",
        "<div><link rel='stylesheet' href='x'/></div>",
        "<!DOCTYPE html><div>x</div>",
        "<div><?php x ?></div>",
        "<div><![CDATA[<script>]]></div>",
        "<div><b <script>alert(1)</script></div>",
        "<div>x</div><script",
    ],
)
def test_what_a_browser_would_run_is_refused_in_a_narrative(div: str) -> None:
    assert narrative_fault(with_namespace(div))


@pytest.mark.parametrize(
    "div",
    [
        "<div>x</div>",
        '<div xmlns="http://www.w3.org/1999/xhtml"><p>x</div>',
        '<div xmlns="http://www.w3.org/1999/xhtml">x &nbsp; y</div>',
        '<div xmlns="http://www.w3.org/1999/xhtml"> </div>',
        '<div xmlns="http://www.w3.org/1999/xhtml">x<!-->-<script>alert(1)</script>--></div>',
        '<div xmlns="http://www.w3.org/1999/xhtml"><b xmlns="urn:x">y</b></div>',
    ],
)
def test_narrative_is_well_formed_xhtml_with_content(div: str) -> None:
    assert narrative_fault(div)


def test_image_alone_is_content() -> None:
    assert narrative_fault(f'<div xmlns="{XHTML}"><img src="a.png" alt="x"/></div>') == ""
