"""Words of a narrative or of a whole resource: `_text` and `_content`. Pure.

`(bone OR liver) and metastases`: words side by side must all be there, `or` needs one of two, `not`
none; a word in quotes is that and no operator, several are a phrase. Source:
https://hl7.org/fhir/R4/search.html#text
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias
from xml.parsers import expat

from apps.patient.search.index.normalisation import normalise_text

MAX_TERMS = 20
MAX_DEPTH = 10
# Longer texts without a blank are encoded data.
MAX_WORD_CHARS = 100

_TOKEN = re.compile(r'\s*(?:([()])|"([^"]*)"|([^\s()"]+))')
_SEPARATORS = re.compile(r"[^\w']+")


@dataclass(frozen=True, slots=True)
class Phrase:
    """Words that follow each other; each begins a word of the text."""

    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Both:
    parts: tuple["TextExpression", ...]


@dataclass(frozen=True, slots=True)
class Either:
    parts: tuple["TextExpression", ...]


@dataclass(frozen=True, slots=True)
class Without:
    part: "TextExpression"


TextExpression: TypeAlias = Phrase | Both | Either | Without


class TextSyntaxError(ValueError):
    """Tells what is wrong with the text of a search."""


def words_of(text: str) -> str:
    """Returns the text's words, without case and accents, each with a blank before it."""
    parts = _SEPARATORS.split(normalise_text(text))
    return "".join(f" {word}" for word in parts if word.strip("'"))


def parse_text(text: str) -> TextExpression:
    """Returns the expression; raises TextSyntaxError for one that is malformed, empty, too
    long or too deep.
    """
    tokens: list[str | Phrase] = []
    end = 0
    for match in _TOKEN.finditer(text):
        if match.start() != end:
            break
        end = match.end()
        tokens += _tokens(match)
    if text[end:].strip():
        raise TextSyntaxError("a quotation mark is missing")
    if sum(isinstance(token, Phrase) for token in tokens) > MAX_TERMS:
        raise TextSyntaxError(f"at most {MAX_TERMS} words")
    parser = _Parser(tokens)
    expression = parser.either(0)
    if parser.tokens:
        raise TextSyntaxError("a parenthesis is missing")
    return expression


def _tokens(match: re.Match[str]) -> Iterator[str | Phrase]:
    parenthesis, quoted, word = match.groups()
    if parenthesis or (word and word.lower() in ("and", "or", "not")):
        yield (parenthesis or word).lower()
        return
    words = tuple(words_of(quoted if word is None else word).split())
    if words:
        yield Phrase(words)


class _Parser:
    def __init__(self, tokens: list[str | Phrase]) -> None:
        self.tokens = tokens

    def either(self, depth: int) -> TextExpression:
        if depth > MAX_DEPTH:
            raise TextSyntaxError(f"at most {MAX_DEPTH} parentheses in each other")
        parts = [self._both(depth)]
        while self.tokens[:1] == ["or"]:
            self.tokens.pop(0)
            parts.append(self._both(depth))
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def _both(self, depth: int) -> TextExpression:
        parts = [self._term(depth)]
        while self.tokens and self.tokens[0] not in ("or", ")"):
            if self.tokens[0] == "and":
                self.tokens.pop(0)
            parts.append(self._term(depth))
        return parts[0] if len(parts) == 1 else Both(tuple(parts))

    def _term(self, depth: int) -> TextExpression:
        word = self.tokens.pop(0) if self.tokens else ")"
        if isinstance(word, Phrase):
            return word
        if word == "not":
            if depth > MAX_DEPTH:
                raise TextSyntaxError(f"at most {MAX_DEPTH} negations in each other")
            return Without(self._term(depth + 1))
        if word != "(":
            raise TextSyntaxError("a word is missing")
        inner = self.either(depth + 1)
        if self.tokens[:1] != [")"]:
            raise TextSyntaxError("a parenthesis is missing")
        self.tokens.pop(0)
        return inner


def text_matches(expression: TextExpression, words: str) -> bool:
    """Tells whether what `words_of` returned for a text meets the expression."""
    match expression:
        case Phrase():
            return "".join(f" {word}" for word in expression.words) in words
        case Both():
            return all(text_matches(part, words) for part in expression.parts)
        case Either():
            return any(text_matches(part, words) for part in expression.parts)
        case Without():
            return not text_matches(expression.part, words)


def narrative_words(resource: dict[str, Any]) -> str:
    """Returns the words of the narrative, those of its markup left out."""
    text = resource.get("text")
    div = text.get("div") if isinstance(text, dict) else None
    return words_of(" ".join(_narrative(div))) if isinstance(div, str) else ""


def content_words(resource: dict[str, Any]) -> str:
    """Returns the words of every text, code and number of the resource."""
    return words_of(" ".join(_contents(resource, narrative=False)))


def _contents(value: Any, *, narrative: bool) -> Iterator[str]:
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _contents(part, narrative=name == "div")
    elif isinstance(value, list):
        for part in value:
            yield from _contents(part, narrative=False)
    elif narrative and isinstance(value, str):
        yield from _narrative(value)
    elif not isinstance(value, str):
        if value is not None:
            yield str(value)
    elif len(value) <= MAX_WORD_CHARS or " " in value:
        yield value


def _narrative(div: str) -> Sequence[str]:
    found: list[str] = []
    parser = expat.ParserCreate()
    add: Callable[[str], None] = found.append
    parser.buffer_text = True
    parser.CharacterDataHandler = add
    try:
        parser.Parse(div, True)
    except expat.ExpatError:
        # It was stored, so it was checked; what a release long ago took is searched as it is.
        return [div]
    return found
