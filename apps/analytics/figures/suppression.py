"""Hides groups of so few people that a figure could tell who they are."""

from collections.abc import Iterable
from dataclasses import dataclass

ROUNDED_TO = 5


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

    A cell under `smallest` is hidden, and more until no row, no column and not the whole table
    gives the hidden ones away: of each at least two are hidden, of at least `smallest` people, and
    all that are hidden count as many.
    """
    table = {(cell.row, cell.column): cell for cell in cells}
    hidden = {key for key, cell in table.items() if cell.count < smallest}
    while more := _giveaway(table, hidden, smallest):
        hidden.add(more)
    shown = [cell for key, cell in sorted(table.items()) if key not in hidden]
    return tuple(shown), len(hidden)


def _giveaway(
    table: dict[tuple[str, str], Cell], hidden: set[tuple[str, str]], smallest: int
) -> tuple[str, str] | None:
    """Returns the smallest cell to hide as well where a sum that is known gives
    hidden ones away.
    """
    if not hidden:
        return None
    lines = [[key for key in table if key[axis] == name] for axis, name in _lines(hidden)]
    for keys in (*lines, list(table)):
        inside = [table[key] for key in keys if key in hidden]
        shown = [key for key in keys if key not in hidden]
        few = len(inside) == 1 or sum(cell.population for cell in inside) < smallest
        few |= len(keys) == len(table) and sum(cell.count for cell in inside) < smallest
        if few and shown:
            return min(shown, key=lambda key: (table[key].count, key))
    return None


def _lines(hidden: set[tuple[str, str]]) -> list[tuple[int, str]]:
    return [(axis, name) for axis in (0, 1) for name in sorted({key[axis] for key in hidden})]


def round_count(count: int, smallest: int) -> int:
    """Rounds a count to the nearest ROUNDED_TO, where small groups are hidden at all.

    Two counts that differ in their period or their filter then do not tell how many lie between.
    """
    return count if smallest <= 1 else (count + ROUNDED_TO // 2) // ROUNDED_TO * ROUNDED_TO
