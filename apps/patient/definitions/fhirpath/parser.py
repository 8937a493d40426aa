"""Parses FHIRPath (http://hl7.org/fhirpath/N1): the part that R4's invariants and search
parameters use.
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias


class FhirPathError(ValueError):
    """The expression is no FHIRPath, or uses what is not supported here."""


@dataclass(frozen=True, slots=True)
class Literal:
    """A literal; `{}` is None."""

    value: str | bool | int | Decimal | None


@dataclass(frozen=True, slots=True)
class Variable:
    """`$this`, `%resource`, ..."""

    name: str


@dataclass(frozen=True, slots=True)
class Member:
    """A child by name, or at the start of an expression a type; `target` is None there."""

    target: "Node | None"
    name: str


@dataclass(frozen=True, slots=True)
class Call:
    target: "Node | None"
    name: str
    arguments: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Binary:
    operator: str
    left: "Node"
    right: "Node"


Node: TypeAlias = Literal | Variable | Member | Call | Binary

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<string>'(?:[^'\\]|\\.)*')
      | (?P<number>[0-9]+(?:\.[0-9]+)?)
      | (?P<variable>[$%][A-Za-z]+)
      | (?P<name>[A-Za-z_][A-Za-z0-9_]*|`[^`]+`)
      | (?P<symbol><=|>=|!=|!~|\{\s*\}|[()\[\].,|&=~<>+*/-])
    )""",
    re.VERBOSE,
)
# From the loosest to the tightest.
_PRECEDENCE = (
    ("implies",),
    ("or", "xor"),
    ("and",),
    ("in", "contains"),
    ("=", "!=", "~", "!~"),
    ("<", ">", "<=", ">="),
    ("|",),
    ("is", "as"),
    ("+", "-", "&"),
    ("*", "/", "div", "mod"),
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "f": "\f"}


def parse(expression: str) -> Node:
    """Returns the expression as a tree; raises FhirPathError."""
    parser = _Parser(expression)
    node = parser.binary(0)
    if parser.kind:
        raise FhirPathError(f"unexpected {parser.text!r} in {expression!r}")
    return node


class _Parser:
    def __init__(self, expression: str) -> None:
        self._expression = expression
        self._position = 0
        self.kind = self.text = ""
        self._next()

    def _next(self) -> str:
        """Returns the current token's text and reads the next one."""
        text = self.text
        match = _TOKEN.match(self._expression, self._position)
        if match is None:
            if self._expression[self._position :].strip():
                raise FhirPathError(f"cannot read {self._expression[self._position :]!r}")
            self.kind = self.text = ""
            return text
        self._position = match.end()
        self.kind = match.lastgroup or ""
        self.text = match[self.kind]
        return text

    def _expect(self, text: str) -> None:
        if self.text != text:
            raise FhirPathError(f"expected {text!r} before {self.text!r} in {self._expression!r}")
        self._next()

    def binary(self, level: int) -> Node:
        if level == len(_PRECEDENCE):
            return self._postfix()
        left = self.binary(level + 1)
        while self.text in _PRECEDENCE[level] and self.kind in ("name", "symbol"):
            operator = self._next()
            left = Binary(operator, left, self.binary(level + 1))
        return left

    def _postfix(self) -> Node:
        node = self._term()
        while self.text in (".", "["):
            if self._next() == "[":
                node = Call(node, "[]", (self.binary(0),))
                self._expect("]")
            else:
                node = self._invocation(node)
        return node

    def _invocation(self, target: Node | None) -> Node:
        if self.kind != "name":
            raise FhirPathError(f"expected a name before {self.text!r} in {self._expression!r}")
        name = self._next().strip("`")
        if self.text != "(":
            return Member(target, name)
        self._next()
        arguments: list[Node] = []
        while self.text != ")":
            arguments.append(self.binary(0))
            if self.text != ")":
                self._expect(",")
        self._next()
        return Call(target, name, tuple(arguments))

    def _term(self) -> Node:
        if self.kind == "name" and self.text in ("true", "false"):
            return Literal(self._next() == "true")
        if self.kind == "name":
            return self._invocation(None)
        if self.kind == "variable":
            return Variable(self._next())
        if self.kind == "string":
            return Literal(_unescape(self._next()[1:-1]))
        if self.kind == "number":
            text = self._next()
            return Literal(Decimal(text) if "." in text else int(text))
        if self.text.startswith("{"):
            self._next()
            return Literal(None)
        if self.text == "(":
            self._next()
            node = self.binary(0)
            self._expect(")")
            return node
        raise FhirPathError(f"unexpected {self.text!r} in {self._expression!r}")


def _unescape(text: str) -> str:
    return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[1]), text)
