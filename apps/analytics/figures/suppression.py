"""Hides groups of so few people that a figure could tell who they are."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Group:
    name: str
    count: int


@dataclass(frozen=True, slots=True)
class Breakdown:
    """`groups`: the largest first. `suppressed`: how many groups are hidden."""

    groups: tuple[Group, ...]
    suppressed: int


def break_down(groups: Iterable[Group], smallest: int) -> Breakdown:
    """Hides every group under `smallest`, and more until the hidden ones cannot be calculated.

    A reader who knows the total could otherwise subtract the groups that are shown.
    """
    ordered = sorted(groups, key=lambda group: (group.count, group.name))
    hidden = sum(group.count < smallest for group in ordered)

    if hidden:
        while hidden < len(ordered) and (
            hidden == 1 or sum(group.count for group in ordered[:hidden]) < smallest
        ):
            hidden += 1

    shown = sorted(ordered[hidden:], key=lambda group: (-group.count, group.name))
    return Breakdown(tuple(shown), hidden)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A cell of a table: of `population` people in this row and column, `count` have it."""

    row: str
    column: str
    count: int
    population: int


def suppress_cells(cells: Iterable[Cell], smallest: int) -> tuple[tuple[Cell, ...], int]:
    """Returns the cells that may be shown, and how many are hidden.

    A cell under `smallest` is hidden. So is the next smallest cell of its row and of its column
    while it would be the only hidden one there: the sum of the row or the column would tell it.
    """
    table = {(cell.row, cell.column): cell for cell in cells}
    hidden = {
        key
        for key, cell in table.items()
        if cell.count < smallest or cell.population - cell.count < 0
    }

    while True:
        more = _only_hidden(table, hidden)
        if not more:
            break
        hidden |= more

    shown = [cell for key, cell in sorted(table.items()) if key not in hidden]
    return tuple(shown), len(hidden)


def _only_hidden(
    table: dict[tuple[str, str], Cell], hidden: set[tuple[str, str]]
) -> set[tuple[str, str]]:
    """Returns cells to hide beside those that are the only hidden ones of their row or column."""
    more: set[tuple[str, str]] = set()
    for axis in (0, 1):
        for line in sorted({key[axis] for key in hidden}):
            keys = [key for key in table if key[axis] == line]
            if sum(key in hidden for key in keys) == 1:
                rest = [key for key in keys if key not in hidden]
                if rest:
                    more.add(min(rest, key=lambda key: (table[key].count, key)))
    return more
