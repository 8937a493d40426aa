"""Parses `_filter` into comparisons of parameters, joined by and, or and not. Pure.

`given eq "peter" and birthdate ge 2014-10-10`. What is joined is taken from left to right: `and`
binds no closer than `or`. Source: https://hl7.org/fhir/R4/search_filter.html
"""

import json
import re
from dataclasses import dataclass
from typing import TypeAlias

MAX_FILTER_CHARS = 2_000
MAX_COMPARISONS = 30
MAX_DEPTH = 10

OPERATORS = frozenset(
    [
        "eq",
        "ne",
        "co",
        "sw",
        "ew",
        "gt",
        "lt",
        "ge",
        "le",
        "ap",
        "sa",
        "eb",
        "pr",
        "po",
        "ss",
        "sb",
        "in",
        "ni",
        "re",
    ]
)
_BLANK = re.compile(r"\s*")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_WORD = re.compile(r"[a-z]+(?=[\s(]|$)")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_TOKEN = re.compile(r"[^\s)\]]+")


@dataclass(frozen=True, slots=True)
class Step:
    """A name of a path. `condition` is what the resource that it leads to must meet besides."""

    name: str
    condition: "Filter | None" = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """`subject.name co "pet"`: a path of parameters, an operator and a value."""

    path: tuple[Step, ...]
    operator: str
    value: str

    @property
    def name(self) -> str:
        return ".".join(step.name for step in self.path)


@dataclass(frozen=True, slots=True)
class Joined:
    """`first` and, or or `second`."""

    word: str
    first: "Filter"
    second: "Filter"


@dataclass(frozen=True, slots=True)
class Negated:
    inner: "Filter"


Filter: TypeAlias = Comparison | Joined | Negated


class FilterSyntaxError(ValueError):
    """Tells what was expected where."""


def parse_filter(text: str) -> Filter:
    """Returns the filter; raises FilterSyntaxError for one that is malformed, too
    long or too deep.
    """
    if len(text) > MAX_FILTER_CHARS:
        raise FilterSyntaxError(f"at most {MAX_FILTER_CHARS} characters")
    parser = _Parser(text)
    found = parser.filter(0)
    if parser.place < len(text):
        raise parser.expected("and, or or the end")
    return found


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.place = 0
        self.comparisons = 0

    def expected(self, what: str) -> FilterSyntaxError:
        return FilterSyntaxError(f"expected {what} at character {self.place + 1}")

    def filter(self, depth: int) -> Filter:
        if depth > MAX_DEPTH:
            raise FilterSyntaxError(f"at most {MAX_DEPTH} filters in each other")
        found = self._term(depth)
        while self._ahead() in ("and", "or"):
            word = self._take(_WORD)
            found = Joined(word, found, self._term(depth))
        return found

    def _term(self, depth: int) -> Filter:
        is_negated = self._ahead() == "not"
        if is_negated:
            self._take(_WORD)
            self._blanks()
        if self._next() == "(":
            self._skip("(")
            found = self.filter(depth + 1)
            self._skip(")")
            return Negated(found) if is_negated else found
        if is_negated:
            raise self.expected("( behind not")
        return self._comparison(depth)

    def _comparison(self, depth: int) -> Comparison:
        self.comparisons += 1
        if self.comparisons > MAX_COMPARISONS:
            raise FilterSyntaxError(f"at most {MAX_COMPARISONS} comparisons")
        path = [self._step(depth)]
        while self._next() == ".":
            self.place += 1
            path.append(self._step(depth))
        if path[-1].condition is not None:
            raise self.expected(". and a parameter")
        operator = self._take(_WORD)
        if operator not in OPERATORS:
            raise self.expected(f"one of {' '.join(sorted(OPERATORS))}")
        return Comparison(tuple(path), operator, self._value())

    def _step(self, depth: int) -> Step:
        name = self._take(_NAME)
        if not name:
            raise self.expected("a parameter")
        if self._next() != "[":
            return Step(name)
        self._skip("[")
        condition = self.filter(depth + 1)
        self._skip("]")
        return Step(name, condition)

    def _value(self) -> str:
        written = self._take(_STRING)
        if written:
            try:
                value = str(json.loads(written, strict=False))
                value.encode()
            except ValueError:
                raise self.expected("a JSON string") from None
            if "\x00" in value:
                raise self.expected("a string without NUL")
            return value
        value = "" if self._next() == '"' else self._take(_TOKEN)
        if not value:
            raise self.expected("a value")
        return value

    def _blanks(self) -> None:
        match = _BLANK.match(self.text, self.place)
        assert match is not None
        self.place = match.end()

    def _next(self) -> str:
        return self.text[self.place : self.place + 1]

    def _ahead(self) -> str:
        """Returns the word that comes next, and stays before it."""
        self._blanks()
        match = _WORD.match(self.text, self.place)
        return match[0] if match else ""

    def _take(self, pattern: re.Pattern[str]) -> str:
        self._blanks()
        match = pattern.match(self.text, self.place)
        if match is None:
            return ""
        self.place = match.end()
        return match[0]

    def _skip(self, char: str) -> None:
        self._blanks()
        if self._next() != char:
            raise self.expected(char)
        self.place += 1
        self._blanks()
