"""What a resource's typed values become in the index tables. Pure.

Every exact value is a 64-bit hash; spans of time, texts and numbers are rows of their own tables.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from apps.patient.search.index import hashing
from apps.patient.search.index.aliases import wholes_of
from apps.patient.search.index.hashing import (
    hash_of,
    parameter_key,
    path_hash,
    present_hash,
    resource_hash,
    token_hash,
    type_at,
)
from apps.patient.search.index.index_values import (
    CompositeValue,
    DateValue,
    IndexValue,
    NumberValue,
    PositionValue,
    QuantityValue,
    ReferenceValue,
    SimpleValue,
    StringValue,
    TokenValue,
    UriValue,
)
from apps.patient.search.index.kinds_of_values import (
    has_few_codes,
    has_one_system,
    pairs_whole_resource,
)
from apps.patient.search.index.normalisation import normalise_text

# Raise it when the same resource gives other rows: the service then indexes all resources again.
INDEX_VERSION = 4
MAX_STRING_CHARS = 200
MAX_WORDS = 12
MICROSECONDS_A_MINUTE = 60_000_000

# (key, low, high, low_clock, high_clock)
DateRow = tuple[int, int, int, int, int]
# (key, part, is_whole, value)
StringRow = tuple[int, int, bool, str]
# (key, system_code, code, unit, low, high)
QuantityRow = tuple[int, int | None, int | None, int | None, Decimal, Decimal]
# (key, value, code_hash)
TextRow = tuple[int, str, int]
FilledRows = Sequence[tuple[str, set[Any]]]

_LOWEST = Decimal("-Infinity")
_HIGHEST = Decimal("Infinity")


@dataclass(slots=True, kw_only=True)
class IndexRows:
    """`values` are all hashes, `indexed` those with rows of their own, `targets` the
    resources referred to.

    `alone`: those that have a row only where no code comes with them; an update may bring it.
    `retired` have rows as long as a replica of the previous release may look for them. `uris` are
    (parameter, URI): no column has them.
    """

    values: set[int] = field(default_factory=set)
    indexed: set[int] = field(default_factory=set)
    alone: set[int] = field(default_factory=set)
    retired: set[int] = field(default_factory=set)
    uris: set[tuple[str, str]] = field(default_factory=set)
    targets: set[int] = field(default_factory=set)
    present: set[str] = field(default_factory=set)
    dates: set[DateRow] = field(default_factory=set)
    strings: set[StringRow] = field(default_factory=set)
    quantities: set[QuantityRow] = field(default_factory=set)
    texts: set[TextRow] = field(default_factory=set)

    @property
    def filled(self) -> FilledRows:
        """Returns the kinds that have rows, by their names."""
        kinds = [(name, getattr(self, name)) for name in self.__slots__]
        return [(name, rows) for name, rows in kinds if rows]

    def add(self, rows: FilledRows) -> None:
        """Adds rows of each kind."""
        for name, found in rows:
            getattr(self, name).update(found)

    @property
    def ranges_hash(self) -> int:
        """Returns a hash of the rows that are replaced together."""
        if not (self.dates or self.strings or self.quantities):
            return 0
        quantities = sorted(map(repr, self.quantities))
        return hash_of(repr((sorted(self.dates), sorted(self.strings), quantities)))


def index_rows(resource_type: str, values: Iterable[IndexValue]) -> IndexRows:
    """Returns the rows of a resource's values.

    `resource_type`: or the path of a contained resource, whose values are indexed by it.
    """
    rows = IndexRows()
    for value in values:
        if value.parameter not in rows.present:
            rows.present.add(value.parameter)
            rows.present.update(wholes_of(type_at(resource_type), value.parameter))
        if isinstance(value, CompositeValue):
            _add_composite(rows, resource_type, value)
        else:
            _add_simple(rows, resource_type, value)
    return rows


def contained_rows(path: str, values: Iterable[IndexValue]) -> IndexRows:
    """Returns what the values of a contained resource add to the rows of the one that contains
    it.
    """
    found = index_rows(path, values)
    here = path_hash(path)
    return IndexRows(
        values={*found.values, here, *(present_hash(path, name) for name in found.present)},
        indexed={*found.indexed, here},
        alone=found.alone,
        targets=found.targets,
        dates=found.dates,
        strings=found.strings,
        quantities=found.quantities,
        texts=found.texts,
    )


def _add_simple(rows: IndexRows, resource_type: str, value: SimpleValue) -> None:
    name = value.parameter
    match value:
        case TokenValue():
            _add_token(rows, resource_type, value)
        case ReferenceValue():
            _add_reference(rows, resource_type, value)
        case DateValue():
            rows.dates.add(date_row(parameter_key(resource_type, name), value))
        case StringValue():
            key = parameter_key(resource_type, name)
            rows.strings.update(string_rows(key, value))
            rows.values.add(hash_of(resource_type, name, hashing.EXACT, value.text))
        case NumberValue() | QuantityValue():
            rows.quantities.add(quantity_row(parameter_key(resource_type, name), value))
        case UriValue():
            _add_hash(rows, resource_type, name, hashing.URI, value.uri)
            key = parameter_key(resource_type, name)
            hashed = token_hash(resource_type, name, hashing.URI, value.uri)
            rows.texts.add((key, value.uri[:MAX_STRING_CHARS], hashed))
            rows.uris.add((name, value.uri))
        case PositionValue():
            for axis, number in (("lat", value.latitude), ("lon", value.longitude)):
                key = parameter_key(resource_type, f"{name} {axis}")
                rows.quantities.add((key, None, None, None, number, number))


def _add_hash(rows: IndexRows, resource_type: str, name: str, form: str, *value: str) -> None:
    hashed = token_hash(resource_type, name, form, *value)
    rows.values.add(hashed)
    if form in hashing.INDEXED_FORMS:
        rows.indexed.add(hashed)


def _add_token(rows: IndexRows, resource_type: str, value: TokenValue) -> None:
    name = value.parameter
    if value.code:
        _add_hash(rows, resource_type, name, hashing.CODE, value.code)
    # A coding without a system is `|code`: its system is the empty one.
    _add_hash(rows, resource_type, name, hashing.CODING, value.system, value.code)
    if value.system:
        _add_system(rows, resource_type, value)
    for type_system, type_code in value.type_codes:
        rows.values.add(
            hash_of(resource_type, name, hashing.OF_TYPE, type_system, type_code, value.code)
        )
    if value.text:
        text = normalise_text(value.text)[:MAX_STRING_CHARS]
        hashed = token_hash(resource_type, name, hashing.TEXT, text)
        rows.values.add(hashed)
        if value.code:
            leading = token_hash(resource_type, name, hashing.CODE, value.code)
        else:
            # A text without a code has a row itself: nothing else would find it.
            leading = token_hash(resource_type, name, hashing.TEXT_ALONE, text)
            rows.values.add(leading)
            rows.indexed.add(leading)
        rows.texts.add((parameter_key(resource_type, name), text, leading))


def _add_system(rows: IndexRows, resource_type: str, value: TokenValue) -> None:
    """Adds the system: found by its codes where a parameter's codes are few, else by a
    row of its own.
    """
    hashed = token_hash(resource_type, value.parameter, hashing.SYSTEM, value.system)
    rows.values.add(hashed)
    if has_one_system(type_at(resource_type), value.parameter):
        rows.retired.add(hashed)
    elif not has_few_codes(type_at(resource_type), value.parameter):
        rows.indexed.add(hashed)
    elif value.code:
        rows.retired.add(hashed)
        code = token_hash(resource_type, value.parameter, hashing.CODE, value.code)
        rows.texts.add((hashed, "", code))
    else:
        rows.indexed.add(hashed)
        rows.alone.add(hashed)
        rows.texts.add((hashed, "", hashed))


def _add_reference(rows: IndexRows, resource_type: str, value: ReferenceValue) -> None:
    name = value.parameter
    if value.id:
        target = resource_hash(value.type, value.id)
        hashed = hashing.reference_hash(resource_type, name, target)
        rows.values.add(hashed)
        rows.indexed.add(hashed)
        rows.targets.add(target)
    elif value.url:
        _add_hash(rows, resource_type, name, hashing.URI, value.url)
        bare, _, version = value.url.partition("|")
        if version:
            _add_hash(rows, resource_type, name, hashing.URI, bare)
    if value.identifier_value:
        system, code = value.identifier_system, value.identifier_value
        _add_hash(rows, resource_type, name, hashing.IDENTIFIER_VALUE, code)
        rows.values.add(hash_of(resource_type, name, hashing.IDENTIFIER, system, code))


def _add_composite(rows: IndexRows, resource_type: str, value: CompositeValue) -> None:
    """Adds the second part under a key that the first part is in, for each form of the first."""
    first, second = value.parts[0], value.parts[1]
    name = value.parameter
    forms = pair_forms(first)
    for form in forms:
        if form != forms[0] and pairs_whole_resource(type_at(resource_type), name):
            # The code's own hash tells its system.
            break
        match second:
            case QuantityValue() | NumberValue():
                rows.quantities.add(quantity_row(hash_of(resource_type, name, form), second))
            case DateValue():
                rows.dates.add(date_row(hash_of(resource_type, name, form), second))
            case StringValue():
                rows.strings.update(string_rows(hash_of(resource_type, name, form), second))
            case _:
                for other in pair_forms(second):
                    hashed = token_hash(resource_type, name, hashing.PAIR, form, other)
                    rows.values.add(hashed)
                    # The first forms are the least exact: they find what the others narrow down.
                    is_first = form == forms[0] and other == pair_forms(second)[0]
                    (rows.indexed if is_first else rows.retired).add(hashed)


def pair_forms(value: SimpleValue) -> tuple[str, ...]:
    """Returns how a part of a composite value may be asked for."""
    if isinstance(value, TokenValue):
        return f"c{value.code}", f"t{value.system}|{value.code}"
    if isinstance(value, ReferenceValue):
        return (f"r{value.type}/{value.id}" if value.id else f"u{value.url}",)
    if isinstance(value, UriValue):
        return (f"u{value.uri}",)
    return (repr(value),)


def date_row(key: int, value: DateValue) -> DateRow:
    """Returns the span in UTC and how many minutes the clock was ahead at its ends."""
    return (
        key,
        value.start,
        value.end,
        (value.clock_start - value.start) // MICROSECONDS_A_MINUTE,
        (value.clock_end - value.end) // MICROSECONDS_A_MINUTE,
    )


def string_rows(key: int, value: StringValue) -> Iterable[StringRow]:
    """Returns the text and what follows each of its blanks and hyphens: a search may
    begin at any word.
    """
    text = value.normalised
    starts = [0, *(index + 1 for index, char in enumerate(text) if char in " -" and index)]
    for start in starts[:MAX_WORDS]:
        rest = text[start : start + MAX_STRING_CHARS].strip()
        if rest:
            yield key, value.group % 32_768, start == 0, rest


def quantity_row(key: int, value: NumberValue | QuantityValue) -> QuantityRow:
    low = _LOWEST if value.low is None else value.low
    high = _HIGHEST if value.high is None else value.high
    if isinstance(value, NumberValue):
        return key, None, None, None, low, high
    return (
        key,
        unit_hash(value.system, value.code) if value.code else None,
        unit_hash(value.code) if value.code else None,
        unit_hash(value.unit) if value.unit else None,
        low,
        high,
    )


def unit_hash(*parts: str) -> int:
    return token_hash("", "", "unit", *parts)


def uri_starts(uri: str) -> Sequence[str]:
    """Returns the URI and its beginnings up to each slash behind the authority: what
    is `:above` it.
    """
    starts = [uri]
    end = len(uri.rstrip("/"))
    while (end := uri.rfind("/", 0, end)) > uri.find("://") + 2 and len(starts) < MAX_WORDS:
        starts.append(uri[:end])
    return starts
