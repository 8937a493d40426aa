"""The XHTML of a narrative: what FHIR allows in `text.div`, and so nothing that a browser would run.

Source: https://hl7.org/fhir/R4/narrative.html#xhtml
"""

from html.parser import HTMLParser
from urllib.parse import urlsplit

from apps.patient.definitions.schema import words

_TAGS = words(
    "a abbr acronym b big blockquote br caption cite code col colgroup dd del dfn div dl dt em h1 h2 h3 h4 h5 h6 hr i"
    " img ins kbd li ol p pre q s samp small span strong sub sup table tbody td tfoot th thead tr tt u ul var"
)
_ATTRIBUTES = words(
    "abbr align alt axis bgcolor border cellhalign cellpadding cellspacing cellvalign char charoff charset class"
    " cols colspan compact coords dir frame headers height href hreflang hspace id lang longdesc name nowrap rel rev"
    " rows rowspan rules scope shape span src start style summary tabindex title type valign value vspace width"
    " xml:lang xmlns xml:space"
)
_LINK_SCHEMES = frozenset(("", "http", "https", "mailto", "tel", "urn"))


class _Finder(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.unsafe = False
        self.first_tag = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.first_tag = self.first_tag or tag
        if tag not in _TAGS:
            self.unsafe = True
        for name, value in attrs:
            text = (value or "").strip().lower()
            if name not in _ATTRIBUTES or "\x00" in text:
                self.unsafe = True
            elif name in ("href", "src", "longdesc"):
                self.unsafe |= not _is_link(text, allow_data=tag == "img")
            elif name == "style":
                self.unsafe |= any(
                    word in text for word in ("url(", "expression(", "@import", "\\")
                )

    def handle_data(self, data: str) -> None:
        # A tag that the parser takes for text, for it is unfinished, a browser may still read as a tag.
        self.unsafe |= "<" in data

    def handle_decl(self, decl: str) -> None:
        self.unsafe = True

    def handle_pi(self, data: str) -> None:
        self.unsafe = True

    def unknown_decl(self, data: str) -> None:
        self.unsafe = True


def _is_link(text: str, *, allow_data: bool) -> bool:
    if allow_data and text.startswith(("data:image/png;", "data:image/jpeg;", "data:image/gif;")):
        return True
    # A browser drops tabs and line ends from a scheme before it follows it.
    joined = "".join(text.split())
    try:
        scheme = urlsplit(joined).scheme
    except ValueError:
        return False
    return scheme in _LINK_SCHEMES and not joined.startswith("&")


def is_safe_narrative(div: str) -> bool:
    """One `<div>` of allowed tags, attributes and links."""
    finder = _Finder()
    finder.feed(div)
    finder.close()
    return finder.first_tag == "div" and not finder.unsafe and div.lstrip().startswith("<div")
