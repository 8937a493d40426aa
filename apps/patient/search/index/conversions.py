"""Turns elements into index values: one function a kind of search parameter and type of
element. Pure.
"""

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, TypeAlias

import msgspec

from apps.patient.search.index.index_values import (
    DateValue,
    NumberValue,
    PositionValue,
    QuantityValue,
    ReferenceValue,
    SimpleValue,
    StringValue,
    TokenValue,
    UriValue,
)
from apps.patient.search.index.moments import Moment, parse_moment, parse_period
from apps.patient.search.index.normalisation import contact_codes, normalise_text
from apps.patient.search.index.references import parse_reference

BOOLEAN_SYSTEM = "http://terminology.hl7.org/CodeSystem/special-values"
CURRENCY_SYSTEM = "urn:iso:std:iso:4217"


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """What a conversion needs beside the element: `codes` has the system of each code of
    its value set.
    """

    parameter: str
    base_url: str
    codes: Mapping[str, str]
    group: int


Conversion: TypeAlias = Callable[[Any, Source], Iterator[SimpleValue]]


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def code_token(value: Any, source: Source) -> Iterator[SimpleValue]:
    if isinstance(value, str):
        system = source.codes.get(value, "")
        yield TokenValue(parameter=source.parameter, system=system, code=value)


def boolean_token(value: Any, source: Source) -> Iterator[SimpleValue]:
    if isinstance(value, bool):
        code = "true" if value else "false"
        yield TokenValue(parameter=source.parameter, system=BOOLEAN_SYSTEM, code=code)


def coding_token(value: Any, source: Source, text: str = "") -> Iterator[SimpleValue]:
    code, display = value.get("code", ""), value.get("display", "")
    system = value.get("system", "")
    if system or code or display or text:
        yield TokenValue(
            parameter=source.parameter,
            system=system,
            code=code,
            text=f"{display}\n{text}" if display and text and display != text else display or text,
        )


def concept_token(value: Any, source: Source) -> Iterator[SimpleValue]:
    codings = _objects(value.get("coding"))
    text = value.get("text", "")
    for coding in codings or ([{}] if text else []):
        yield from coding_token(coding, source, text)


def identifier_token(value: Any, source: Source) -> Iterator[SimpleValue]:
    if not value.get("value") and not value.get("system"):
        return
    kind = value.get("type") or {}
    yield TokenValue(
        parameter=source.parameter,
        system=value.get("system", ""),
        code=value.get("value", ""),
        text=kind.get("text", ""),
        type_codes=tuple(
            (coding.get("system", ""), coding["code"])
            for coding in _objects(kind.get("coding"))
            if coding.get("code")
        ),
    )


def contact_token(value: Any, source: Source) -> Iterator[SimpleValue]:
    if isinstance(value.get("value"), str):
        for code in contact_codes(value["value"]):
            yield TokenValue(parameter=source.parameter, system=value.get("system", ""), code=code)


def string_value(value: Any, source: Source) -> Iterator[SimpleValue]:
    if isinstance(value, str):
        yield StringValue(
            parameter=source.parameter,
            text=value,
            normalised=normalise_text(value),
            group=source.group,
        )


def _parts_conversion(*names: str) -> Conversion:
    def convert(value: Any, source: Source) -> Iterator[SimpleValue]:
        for name in names:
            part = value.get(name)
            for text in part if isinstance(part, list) else [part]:
                yield from string_value(text, source)

    return convert


def _date_value(moment: Moment | None, source: Source) -> Iterator[SimpleValue]:
    if moment is not None:
        yield DateValue(
            parameter=source.parameter,
            start=moment.start,
            end=moment.end,
            clock_start=moment.clock_start,
            clock_end=moment.clock_end,
        )


def moment_date(value: Any, source: Source) -> Iterator[SimpleValue]:
    if isinstance(value, str):
        yield from _date_value(parse_moment(value), source)


def period_date(value: Any, source: Source) -> Iterator[SimpleValue]:
    yield from _date_value(parse_period(value.get("start"), value.get("end")), source)


def timing_date(value: Any, source: Source) -> Iterator[SimpleValue]:
    for event in value.get("event") or ():
        yield from moment_date(event, source)
    bounds = (value.get("repeat") or {}).get("boundsPeriod")
    if bounds:
        yield from period_date(bounds, source)


def reference_value(value: Any, source: Source) -> Iterator[SimpleValue]:
    text = value.get("reference")
    found = parse_reference(text, source.base_url) if isinstance(text, str) else None
    identifier = value.get("identifier") or {}
    if found is None and not identifier.get("value"):
        return
    yield ReferenceValue(
        parameter=source.parameter,
        type=(found.type if found else "") or value.get("type", ""),
        id=found.id if found else "",
        version=found.version if found else "",
        url=found.url if found else "",
        identifier_system=identifier.get("system", ""),
        identifier_value=identifier.get("value", ""),
    )


def canonical_reference(value: Any, source: Source) -> Iterator[SimpleValue]:
    if isinstance(value, str):
        found = parse_reference(value, source.base_url)
        if found:
            yield ReferenceValue(
                parameter=source.parameter,
                type=found.type,
                id=found.id,
                version=found.version,
                url=found.url,
            )


def number_value(value: Any, source: Source) -> Iterator[SimpleValue]:
    number = _decimal(value)
    if number is not None:
        yield NumberValue(parameter=source.parameter, low=number, high=number)


def _decimal(value: Any) -> Decimal | None:
    if isinstance(value, Decimal):
        return value
    return Decimal(str(value)) if type(value) in (int, float) else None


def _quantity(
    source: Source, low: Decimal | None, high: Decimal | None, unit: Mapping[str, Any]
) -> Iterator[SimpleValue]:
    if low is not None or high is not None:
        yield QuantityValue(
            parameter=source.parameter,
            low=low,
            high=high,
            system=unit.get("system", ""),
            code=unit.get("code", ""),
            unit=unit.get("unit", ""),
        )


def quantity_value(value: Any, source: Source) -> Iterator[SimpleValue]:
    number = _decimal(value.get("value"))
    comparator = value.get("comparator", "")
    low = None if comparator.startswith("<") else number
    high = None if comparator.startswith(">") else number
    yield from _quantity(source, low, high, value)


def money_value(value: Any, source: Source) -> Iterator[SimpleValue]:
    number = _decimal(value.get("value"))
    unit = {"system": CURRENCY_SYSTEM, "code": value.get("currency", "")}
    yield from _quantity(source, number, number, unit)


def range_value(value: Any, source: Source) -> Iterator[SimpleValue]:
    low, high = value.get("low") or {}, value.get("high") or {}
    yield from _quantity(
        source, _decimal(low.get("value")), _decimal(high.get("value")), low or high
    )


def sampled_value(value: Any, source: Source) -> Iterator[SimpleValue]:
    """Returns the bounds of the samples: as they are told, else of the data."""
    low, high = _decimal(value.get("lowerLimit")), _decimal(value.get("upperLimit"))
    if low is None or high is None:
        origin = _decimal((value.get("origin") or {}).get("value")) or Decimal(0)
        factor = _decimal(value.get("factor")) or Decimal(1)
        numbers = [origin + sample * factor for sample in _samples(value.get("data", ""))]
        if numbers:
            low = min(numbers) if low is None else low
            high = max(numbers) if high is None else high
    yield from _quantity(source, low, high, value.get("origin") or {})


def _samples(data: str) -> Iterator[Decimal]:
    for word in data.split():
        try:
            number = Decimal(word)
        except InvalidOperation:
            continue  # E, U and L stand for errors and values out of the limits.
        if number.is_finite():
            yield number


def uri_value(value: Any, source: Source) -> Iterator[SimpleValue]:
    if isinstance(value, str):
        yield UriValue(parameter=source.parameter, uri=value)


def position_value(value: Any, source: Source) -> Iterator[SimpleValue]:
    latitude, longitude = _decimal(value.get("latitude")), _decimal(value.get("longitude"))
    if latitude is not None and longitude is not None:
        yield PositionValue(parameter=source.parameter, latitude=latitude, longitude=longitude)


_TEXTS = ("string", "markdown", "uri", "url", "canonical", "id", "oid", "uuid")
_MOMENTS = ("date", "dateTime", "instant")
_QUANTITIES = ("Quantity", "SimpleQuantity", "Age", "Count", "Distance", "Duration")

# By the parameter's kind and the element's type. What is missing here has no meaning in R4.
CONVERSIONS: Mapping[tuple[str, str], Conversion] = {
    **{("token", name): code_token for name in ("code", *_TEXTS)},
    ("token", "boolean"): boolean_token,
    ("token", "Coding"): coding_token,
    ("token", "CodeableConcept"): concept_token,
    ("token", "Identifier"): identifier_token,
    ("token", "ContactPoint"): contact_token,
    **{("string", name): string_value for name in _TEXTS},
    ("string", "HumanName"): _parts_conversion("text", "family", "given", "prefix", "suffix"),
    ("string", "Address"): _parts_conversion(
        "text", "line", "city", "district", "state", "postalCode", "country"
    ),
    **{("date", name): moment_date for name in _MOMENTS},
    ("date", "Period"): period_date,
    ("date", "Timing"): timing_date,
    ("reference", "Reference"): reference_value,
    **{("reference", name): canonical_reference for name in ("canonical", "uri", "url")},
    **{
        ("number", name): number_value
        for name in ("integer", "decimal", "positiveInt", "unsignedInt")
    },
    **{("quantity", name): quantity_value for name in _QUANTITIES},
    ("quantity", "Money"): money_value,
    ("quantity", "Range"): range_value,
    ("quantity", "SampledData"): sampled_value,
    **{("uri", name): uri_value for name in ("uri", "url", "canonical", "oid", "uuid")},
    ("special", "Location.position"): position_value,
}
