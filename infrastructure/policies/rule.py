"""A rule on one resource: pure, over the properties that Pulumi records (camel case)."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Props = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """`controls`: AWS Foundational Security Best Practices ids, and HIPAA.Security rules as cdk-nag
    names them.

    Ids that begin with `PM.` are this project's own.
    """

    name: str
    controls: tuple[str, ...]
    why: str

    @property
    def description(self) -> str:
        return f"{self.why} ({', '.join(self.controls)})"

    def message(self, fault: str) -> str:
        """Returns a violation's text: `[RDS.2] it is publicly accessible`."""
        return f"[{', '.join(self.controls)}] {fault}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule(Named):
    """A rule on each resource of `types`. `check` yields one text for each fault."""

    types: tuple[str, ...]
    check: Callable[[Props], Iterator[str]]


def demand(fault: str, holds: Callable[[Props], object]) -> Callable[[Props], Iterator[str]]:
    def check(props: Props) -> Iterator[str]:
        if not holds(props):
            yield fault

    return check
