"""The XHTML of a narrative: well-formed, what FHIR allows in `text.div`, and so nothing that a
browser would run.

Source: https://hl7.org/fhir/R4/narrative.html#xhtml, invariants txt-1 and txt-2.
"""

from urllib.parse import urlsplit
from xml.parsers import expat

MAX_ELEMENTS = 50_000
XHTML = "http://www.w3.org/1999/xhtml"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_TAGS = _words(
    "a abbr acronym b big blockquote br caption cite code col colgroup dd del dfn div dl dt em h1"
    " h2 h3 h4 h5 h6 hr i img ins kbd li ol p pre q s samp small span strong sub sup table tbody"
    " td tfoot th thead tr tt u ul var"
)
_ATTRIBUTES = _words(
    "abbr align alt axis bgcolor border cellhalign cellpadding cellspacing cellvalign char charoff"
    " charset class cols colspan compact coords dir frame headers height href hreflang hspace id"
    " lang longdesc name nowrap rel rev rows rowspan rules scope shape span src start style summary"
    " tabindex title type valign value vspace width xml:lang xmlns xml:space"
)
_LINKS = ("href", "src", "longdesc")
_LINK_SCHEMES = frozenset(("", "http", "https", "mailto", "tel", "urn", "cid"))
_IMAGES = ("data:image/png;", "data:image/jpeg;", "data:image/gif;")
_ACTIVE_STYLES = ("url(", "expression(", "@import", "\\", "/*")


class _NarrativeError(Exception):
    pass


class _Checker:
    """Raises _NarrativeError at what is not allowed, while expat reads."""

    def __init__(self) -> None:
        self._depth = 0
        self._elements = 0
        self.has_content = False

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if self._depth == 0 and (tag != "div" or attributes.get("xmlns") != XHTML):
            raise _NarrativeError(f'the narrative must be a <div xmlns="{XHTML}">')
        self._depth += 1
        self._elements += 1
        if self._elements > MAX_ELEMENTS:
            raise _NarrativeError(f"a narrative has at most {MAX_ELEMENTS} elements")
        if tag not in _TAGS:
            raise _NarrativeError(f"the element {tag} is not allowed in a narrative")
        self.has_content = self.has_content or tag == "img"
        for name, value in attributes.items():
            _check_attribute(tag, name, value)

    def end(self, tag: str) -> None:
        self._depth -= 1

    def text(self, data: str) -> None:
        self.has_content = self.has_content or not data.isspace()

    def comment(self, data: str) -> None:
        # A browser ends `<!-->` at once and reads what follows.
        if data.startswith((">", "->")):
            raise _NarrativeError("this comment is not allowed in a narrative")

    def refuse(self, *arguments: object) -> None:
        raise _NarrativeError("declarations, CDATA and instructions are not allowed in a narrative")


def _check_attribute(tag: str, name: str, value: str) -> None:
    if name not in _ATTRIBUTES:
        raise _NarrativeError(f"the attribute {name} is not allowed in a narrative")
    text = value.strip().lower()
    if name == "xmlns" and value != XHTML:
        raise _NarrativeError("another namespace is not allowed in a narrative")
    if name in _LINKS and not _is_link(text, allow_data=tag == "img"):
        raise _NarrativeError("this kind of link is not allowed in a narrative")
    if name == "style" and any(word in text for word in _ACTIVE_STYLES):
        raise _NarrativeError("this style is not allowed in a narrative")


def _is_link(text: str, *, allow_data: bool) -> bool:
    if allow_data and text.startswith(_IMAGES):
        return True
    # A browser drops tabs and line ends from a scheme before it follows it.
    joined = "".join(text.split())
    try:
        scheme = urlsplit(joined).scheme
    except ValueError:
        return False
    return scheme in _LINK_SCHEMES and not joined.startswith("&")


def narrative_fault(div: str) -> str:
    """Returns what is wrong with a narrative; "" for a valid one."""
    checker = _Checker()
    parser = expat.ParserCreate()
    parser.StartElementHandler = checker.start
    parser.EndElementHandler = checker.end
    parser.CharacterDataHandler = checker.text
    parser.CommentHandler = checker.comment
    parser.StartDoctypeDeclHandler = checker.refuse
    parser.StartCdataSectionHandler = checker.refuse
    parser.ProcessingInstructionHandler = checker.refuse
    parser.XmlDeclHandler = checker.refuse
    try:
        parser.Parse(div, True)
    except _NarrativeError as error:
        return str(error)
    except (expat.ExpatError, UnicodeEncodeError):
        return "the narrative is not well-formed XHTML"
    return "" if checker.has_content else "the narrative is empty"
