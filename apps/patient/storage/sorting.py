"""Sorts few matches by any parameters: what no index has the order of. More than a
few are refused.
"""

from collections.abc import Sequence
from decimal import Decimal
from functools import cmp_to_key
from typing import Any, TypeAlias

from apps.kit.database import Connection
from apps.kit.errors import BadRequest
from apps.patient.codec import decode
from apps.patient.search.criteria.criteria import Criterion
from apps.patient.search.criteria.query import SortKey
from apps.patient.search.index.aliases import members_of
from apps.patient.search.index.extraction import values_of
from apps.patient.search.index.index_values import (
    CompositeValue,
    DateValue,
    IndexValue,
    NumberValue,
    PositionValue,
    QuantityValue,
    ReferenceValue,
    StringValue,
    TokenValue,
    UriValue,
)
from apps.patient.search.reading.cursors import invalid_cursor
from apps.patient.search.statements.statements import Page
from apps.patient.storage.plans import make_plan
from apps.patient.storage.scanning import Scans
from apps.patient.storage.search import Found, Mark, found_of, read_page
from apps.patient.storage.steps import read_step, steps_of
from apps.patient.storage.versions import Version

MAX_SORTED = 1_000


async def read_sorted_page(
    connection: Connection,
    resource_type: str,
    criterion: Criterion,
    sort: Sequence[SortKey],
    mark: Mark | None,
    limit: int,
    base_url: str,
    scans: Scans,
) -> tuple[list[Found], Mark | None]:
    """Returns a page in the order of several or of any parameters; raises BadRequest for
    too many matches.

    All matches are read and sorted anew for each page: the mark's position has the values of the
    row before it.
    """
    found, more = await read_page(
        connection, [(resource_type, criterion)], None, None, MAX_SORTED, scans=scans
    )
    if more is not None:
        raise BadRequest(
            "too_costly",
            f"_sort: more than {MAX_SORTED} resources match; narrow the search, or sort by one of "
            f"the"
            " dates, texts or numbers, or by _lastUpdated",
            pointer="_sort",
        )

    def compare(first: _Row, second: _Row) -> int:
        return _compare(first, second, sort)

    rows: list[_Row] = [
        ([sort_value(item.version, key, base_url) for key in sort], item.number, item)
        for item in found
    ]
    rows.sort(key=cmp_to_key(compare))
    if mark is not None:
        if not isinstance(mark.position, list) or len(mark.position) != len(sort):
            raise invalid_cursor()
        last = (mark.position, mark.number, None)
        rows = [row for row in rows if compare(row, last) > 0]
    page = [item for _, _, item in rows[:limit] if item is not None]
    following = None
    if len(rows) > limit:
        values, number, _ = rows[limit - 1]
        following = Mark(type_index=0, leader_index=0, walk_index=0, position=values, number=number)
    return page, following


# The values of the keys, the number, and the resource itself; None for the place
# where a page ended.
_Row: TypeAlias = tuple[list[Any], int, Found | None]


def _compare(first: _Row, second: _Row, sort: Sequence[SortKey]) -> int:
    """Compares by one key after the other; what has no value comes last, in either direction."""
    for key, one, other in zip(sort, first[0], second[0], strict=True):
        if one == other:
            continue
        if one is None or other is None:
            return 1 if one is None else -1
        return -1 if (one < other) is not key.descending else 1
    return (first[1] > second[1]) - (first[1] < second[1])


async def read_updated_page(
    connection: Connection,
    criteria: Sequence[tuple[str, Criterion]],
    sort: SortKey,
    mark: Mark | None,
    limit: int,
    scans: Scans,
) -> tuple[list[Found], Mark | None]:
    """Returns a page of several types by `_lastUpdated`: each type's next rows, merged."""
    rows: list[Any] = []
    page = Page(
        position=mark.position if mark else None,
        number=mark.number if mark else None,
        limit=limit + 1,
    )
    for resource_type, criterion in criteria:
        plan = await make_plan(connection, resource_type, criterion, is_sorted=True, scans=scans)
        for step in steps_of(plan, sort):
            rows += await read_step(connection, resource_type, step, page)
    rows.sort(key=lambda row: (row[8], row[0]), reverse=sort.descending)
    following = None
    if len(rows) > limit:
        last = rows[limit - 1]
        following = Mark(
            type_index=0, leader_index=0, walk_index=0, position=last[8], number=last[0]
        )
    return [found_of(row) for row in rows[:limit]], following


def sort_value(version: Version, key: SortKey, base_url: str) -> Any:
    """Returns the value that comes first in the key's order (R4, sorting); None where the
    resource has none.
    """
    if key.parameter.code == "_lastUpdated":
        return version.recorded_at
    if key.parameter.code == "_id":
        return version.id
    code = key.parameter.code
    names = members_of(version.resource_type, code) or (code,)
    values = [
        _comparable(value) for value in values_of(decode(version.body or ""), names, base_url)
    ]
    return max(values, default=None) if key.descending else min(values, default=None)


def _comparable(value: IndexValue) -> Any:
    match value:
        case TokenValue():
            return value.code.casefold() or value.text.casefold()
        case StringValue():
            return value.normalised
        case DateValue():
            return value.start
        case ReferenceValue():
            return f"{value.type}/{value.id}" if value.id else value.url or value.identifier_value
        case NumberValue() | QuantityValue():
            return value.low if value.low is not None else Decimal("-Infinity")
        case UriValue():
            return value.uri
        case PositionValue():
            return value.latitude
        case CompositeValue():
            return _comparable(value.parts[0])
