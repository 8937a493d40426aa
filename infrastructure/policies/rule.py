"""A rule on one resource: pure, over the properties that Pulumi records (camel case)."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Props = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Rule:
    """`controls`: AWS Foundational Security Best Practices ids, and HIPAA.Security rules as cdk-nag names them.

    Ids that begin with `PM.` are this project's own. `check` gives one text a fault.
    """

    name: str
    controls: tuple[str, ...]
    types: tuple[str, ...]
    why: str
    check: Callable[[Props], Iterator[str]]


def demand(fault: str, holds: Callable[[Props], object]) -> Callable[[Props], Iterator[str]]:
    def check(props: Props) -> Iterator[str]:
        if not holds(props):
            yield fault

    return check
