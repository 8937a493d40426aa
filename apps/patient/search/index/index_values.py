"""The typed values that a resource is found by, one class a kind of search parameter. Pure.

`index_values(resource, base_url)` in `apps/patient/search/index/extraction.py` returns them for
every search parameter that R4 defines for the resource's type
(https://hl7.org/fhir/R4/search.html).
"""

from decimal import Decimal
from typing import TypeAlias

import msgspec

# Microseconds since 1970-01-01T00:00:00Z; a Period without a start or an end is open there.
OPEN_START = -(2**63)
OPEN_END = 2**63 - 1


class TokenValue(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A code, Coding, identifier, contact, boolean or string of a token parameter.

    `system` is "" where the element has none; a `code` element has the system of its required
    binding. `text` is what `:text` searches. `type_codes` are (system, code) of an identifier's
    type, for `:of-type`. A phone number has a value for each of its keys (`phone_keys`).
    """

    parameter: str
    system: str
    code: str
    text: str = ""
    type_codes: tuple[tuple[str, str], ...] = ()


class StringValue(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One part of a name or address, or a whole string.

    `text` is as written (`:exact`), `normalised` as `normalise_text` returns it. Parts of one
    repetition of a name or address share a `group`.
    """

    parameter: str
    text: str
    normalised: str
    group: int = 0


class DateValue(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A span of time from `start` up to but not with `end`, in microseconds since 1970.

    `start` and `end` are UTC and are compared with a search value that has a zone. `clock_start`
    and `clock_end` are what the clock showed, and are compared with one that has none: an
    Encounter of 2024-03-10T20:00:00-05:00 is found by `date=2024-03-10`.
    """

    parameter: str
    start: int
    end: int
    clock_start: int
    clock_end: int


class ReferenceValue(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A reference. `type` and `id` for one to a resource of this service, however it is written.

    `url` for any other (absolute, canonical, `urn:`), with `type` where the reference
    tells it. `identifier_*` for a logical reference (`:identifier`). Those to contained
    resources are left out.
    """

    parameter: str
    type: str = ""
    id: str = ""
    version: str = ""
    url: str = ""
    identifier_system: str = ""
    identifier_value: str = ""


class NumberValue(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A number, or a range of them; None where it is open."""

    parameter: str
    low: Decimal | None
    high: Decimal | None


class QuantityValue(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A Quantity, Age, Money (`system` is ISO 4217), Range or SampledData; `low` equals `high`
    for one number.
    """

    parameter: str
    low: Decimal | None
    high: Decimal | None
    system: str
    code: str
    unit: str


class UriValue(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    parameter: str
    uri: str


class PositionValue(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A position on the earth in degrees (`Location?near=`)."""

    parameter: str
    latitude: Decimal
    longitude: Decimal


SimpleValue: TypeAlias = (
    TokenValue
    | StringValue
    | DateValue
    | ReferenceValue
    | NumberValue
    | QuantityValue
    | UriValue
    | PositionValue
)


class CompositeValue(msgspec.Struct, frozen=True, kw_only=True):
    """Values that one element has together, in the order of the parameter's components.

    Each part's `parameter` is the component's own code. An element with two codings and one
    quantity has two composite values.
    """

    parameter: str
    parts: tuple[SimpleValue, ...]


IndexValue: TypeAlias = SimpleValue | CompositeValue
