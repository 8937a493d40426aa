"""The rows that values become."""

from decimal import Decimal

import pytest

from apps.patient.search.index import hashing
from apps.patient.search.index.hashing import token_hash
from apps.patient.search.index.index_rows import (
    IndexRows,
    index_rows,
    pair_forms,
    quantity_row,
    string_rows,
    unit_hash,
    uri_starts,
)
from apps.patient.search.index.index_values import (
    CompositeValue,
    NumberValue,
    QuantityValue,
    ReferenceValue,
    SimpleValue,
    StringValue,
    TokenValue,
    UriValue,
)

INFINITE = Decimal("Infinity")


@pytest.mark.parametrize(
    ("value", "forms"),
    [
        (TokenValue(parameter="p", system="s", code="c"), ("cc", "ts|c")),
        (ReferenceValue(parameter="p", type="Patient", id="1"), ("rPatient/1",)),
        (ReferenceValue(parameter="p", url="http://x"), ("uhttp://x",)),
        (UriValue(parameter="p", uri="http://x"), ("uhttp://x",)),
    ],
)
def test_part_of_a_pair_has_forms(value: SimpleValue, forms: tuple[str, ...]) -> None:
    assert pair_forms(value) == forms


def test_number_has_no_unit_and_a_quantity_has_what_it_says() -> None:
    number = NumberValue(parameter="p", low=None, high=Decimal(2))
    assert quantity_row(7, number) == (7, None, None, None, -INFINITE, Decimal(2))
    open_end = NumberValue(parameter="p", low=Decimal(2), high=None)
    assert quantity_row(7, open_end)[4:] == (Decimal(2), INFINITE)
    one = Decimal(1)
    for system, code, unit in (("s", "mg", "mg."), ("", "mg", ""), ("s", "", "x"), ("", "", "")):
        quantity = QuantityValue(
            parameter="p", low=one, high=one, system=system, code=code, unit=unit
        )
        assert quantity_row(7, quantity) == (
            7,
            unit_hash(system, code) if code else None,
            unit_hash(code) if code else None,
            unit_hash(unit) if unit else None,
            one,
            one,
        )


def rows_of(text: str, group: int = 0) -> list[tuple[int, bool, str]]:
    value = StringValue(parameter="p", text=text, normalised=text, group=group)
    return [row[1:] for row in string_rows(7, value)]


def test_text_is_found_at_each_of_its_first_words() -> None:
    assert rows_of("ana-maria de") == [
        (0, True, "ana-maria de"),
        (0, False, "maria de"),
        (0, False, "de"),
    ]
    assert rows_of("-ana") == [(0, True, "-ana")]
    assert set(rows_of("a - b", group=32_768)) == {
        (0, True, "a - b"),
        (0, False, "- b"),
        (0, False, "b"),
    }
    assert rows_of("a", group=32_767) == [(32_767, True, "a")]
    assert rows_of("") == []
    for count, found in ((11, 11), (12, 12), (13, 12)):
        assert len(rows_of(" ".join(["a"] * count))) == found
    assert [len(text) for _, _, text in rows_of("x" * 201)] == [200]


@pytest.mark.parametrize(
    ("uri", "starts"),
    [
        ("http://a", ["http://a"]),
        ("http://a/", ["http://a/"]),
        ("http://a/b", ["http://a/b", "http://a"]),
        ("http://a/b/c/", ["http://a/b/c/", "http://a/b", "http://a"]),
        ("urn:oid:1.2", ["urn:oid:1.2"]),
        ("a/b", ["a/b"]),
        ("ab/c", ["ab/c", "ab"]),
    ],
)
def test_uri_is_below_its_beginnings(uri: str, starts: list[str]) -> None:
    assert list(uri_starts(uri)) == starts


def test_beginnings_of_a_uri_are_bounded() -> None:
    for count, found in ((10, 11), (11, 12), (12, 12)):
        assert len(uri_starts("http://a" + "/b" * count)) == found


def test_rows_that_are_replaced_together_have_a_hash() -> None:
    token = TokenValue(parameter="code", system="s", code="c")
    assert IndexRows().ranges_hash == index_rows("Observation", [token]).ranges_hash == 0
    text = StringValue(parameter="name", text="A", normalised="a", group=0)
    first, other = (
        index_rows("Patient", values).ranges_hash
        for values in (
            [text],
            [text, StringValue(parameter="name", text="B", normalised="b", group=1)],
        )
    )
    assert len({0, first, other}) == 3


def test_long_text_of_a_code_or_a_uri_is_listed_by_its_beginning() -> None:
    token = TokenValue(parameter="code", system="", code="c", text="x" * 201)
    uri = UriValue(parameter="_profile", uri="y" * 201)
    for value in (token, uri):
        (row,) = index_rows("Observation", [value]).texts
        assert len(row[1]) == 200


def test_token_has_rows_by_its_code_and_a_hash_by_each_of_its_forms() -> None:
    def hashed(form: str, *parts: str) -> int:
        return token_hash("Observation", "code", form, *parts)

    rows = index_rows("Observation", [TokenValue(parameter="code", system="s", code="c")])
    code = hashed(hashing.CODE, "c")
    assert rows.present == {"code", "combo-code"}
    assert rows.indexed == {code}
    assert rows.values == {
        code,
        hashed(hashing.CODING, "s", "c"),
        hashed(hashing.SYSTEM, "s"),
    }
    assert rows.texts == {(hashed(hashing.SYSTEM, "s"), "", code)}
    alone = index_rows("Observation", [TokenValue(parameter="code", system="s", code="")])
    assert alone.indexed == alone.alone == {hashed(hashing.SYSTEM, "s")}


def test_pair_is_found_by_its_least_exact_forms() -> None:
    parts = tuple(
        TokenValue(parameter=name, system="s", code=code)
        for name, code in (("component-code", "a"), ("component-value-concept", "b"))
    )
    name = "component-code-value-concept"
    rows = index_rows("Observation", [CompositeValue(parameter=name, parts=parts)])

    def pair(first: str, second: str) -> int:
        return token_hash("Observation", name, hashing.PAIR, first, second)

    assert rows.indexed == {pair("ca", "cb")}
    assert rows.retired == {pair("ca", "ts|b"), pair("ts|a", "cb"), pair("ts|a", "ts|b")}
    assert rows.values == rows.indexed | rows.retired
    # The codes of a pair that the resource has itself are found by their parameters too.
    whole = "code-value-concept"
    own = index_rows("Observation", [CompositeValue(parameter=whole, parts=parts)])
    assert len(own.values) == 2
