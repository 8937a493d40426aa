"""No template of a page has a text outside the catalogues."""

import re
from collections.abc import Collection
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import jinja2
import pytest

from apps.kit.catalogues import APPS, each_text, find_folders

TEMPLATES = sorted(
    path for folder in find_folders() for path in folder.parent.rglob("templates/**/*.html")
)
# What a person reads or has read out.
ATTRIBUTES = ("alt", "aria-label", "placeholder", "title")
# Not PDF and CSV, which are so in every language.
WORDS = re.compile(r"[A-Za-z]*[a-z]{2,}")
# Attributes of a tag that another template begins.
FRAGMENT = re.compile(r'[\w-]+="[^"]*"')
SENTENCE = re.compile(r"[A-Z][a-z']* [a-z].*")


class Reader(HTMLParser):
    """Collects what is written between the tags and in attributes that people read."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._skipped = 0

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self._skipped += tag in ("script", "style", "code")
        self.found += [value for name, value in attributes if name in ATTRIBUTES and value]

    def handle_endtag(self, tag: str) -> None:
        self._skipped -= tag in ("script", "style", "code")

    def handle_data(self, data: str) -> None:
        if not self._skipped:
            self.found.append(data)


def texts_outside(source: str, marked: Collection[object] = ()) -> list[str]:
    """Lists what a template says itself, between its expressions and as a string in one."""
    tokens = list(jinja2.Environment(autoescape=True).lex(source))
    data = "".join(text if kind == "data" else " " for _, kind, text in tokens)
    reader = Reader()
    reader.feed(data)
    written = [FRAGMENT.sub("", text).strip() for text in reader.found]
    strings = [text[1:-1] for _, kind, text in tokens if kind == "string"]
    return [
        *(text for text in written if WORDS.search(text)),
        *(text for text in strings if SENTENCE.match(text) and text not in marked),
    ]


@cache
def texts_of(package: Path) -> frozenset[str]:
    return frozenset(each_text(package))


def test_words_between_tags_in_attributes_and_in_strings_are_found() -> None:
    template = """<p>{{ _("Known already") }} Left {% if x %}out{% endif %}</p>
        <img alt="A picture">{{ "It was done." if done }} PDF <code>curl it</code>"""
    found = texts_outside(template, {"Known already"})
    assert [" ".join(text.split()) for text in found] == ["Left out", "A picture", "It was done."]


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(APPS)))
def test_no_template_has_a_text_outside_the_catalogue(path: Path) -> None:
    package = APPS / path.relative_to(APPS).parts[0]
    assert texts_outside(path.read_text(encoding="utf-8"), texts_of(package)) == []
