"""Sorts few matches by any parameters: what no index has the order of. More than a few are refused."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from apps.kit.database import Connection
from apps.kit.errors import BadRequest
from apps.patient.codec import decode
from apps.patient.search.aliases import members_of
from apps.patient.search.criteria import Criterion
from apps.patient.search.extraction import index_values
from apps.patient.search.index_values import (
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
from apps.patient.search.query import SortKey
from apps.patient.storage.search import Found, Mark, read_page
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
) -> tuple[list[Found], Mark | None]:
    """Returns a page in the order of several or of any parameters; raises BadRequest for too many matches.

    The mark's position says how many came before: all matches are read and sorted anew for each page.
    """
    found, more = await read_page(connection, [(resource_type, criterion)], None, None, MAX_SORTED)
    if more is not None:
        raise BadRequest(
            "too_costly",
            f"_sort: more than {MAX_SORTED} resources match; narrow the search, or sort by one of the"
            " dates, texts or numbers, or by _lastUpdated",
            pointer="_sort",
        )
    ordered = list(found)
    # From the last key to the first: each sort keeps the order of those before.
    for key in reversed(sort):
        values = {item.number: sort_value(item.version, key, base_url) for item in ordered}
        present = [item for item in ordered if values[item.number] is not None]
        absent = [item for item in ordered if values[item.number] is None]
        present.sort(key=lambda item: values[item.number], reverse=key.descending)
        ordered = [*present, *absent]
    start = mark.position if mark and isinstance(mark.position, int) else 0
    page = ordered[start : start + limit]
    following = None
    if start + limit < len(ordered):
        following = Mark(
            type_index=0, leader_index=0, walk_index=0, position=start + limit, number=0
        )
    return page, following


def sort_value(version: Version, key: SortKey, base_url: str) -> Any:
    """Returns the least value of the parameter; None where the resource has none."""
    if key.parameter.code == "_lastUpdated":
        return version.recorded_at
    if key.parameter.code == "_id":
        return version.id
    code = key.parameter.code
    names = members_of(version.resource_type, code) or (code,)
    values = [
        _comparable(value)
        for value in index_values(decode(version.body or ""), base_url)
        if value.parameter in names
    ]
    return min(values, default=None)


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
