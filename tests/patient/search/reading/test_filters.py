"""The grammar of `_filter`."""

import pytest

from apps.patient.search.reading.filters import (
    Comparison,
    FilterSyntaxError,
    Joined,
    Negated,
    Step,
    parse_filter,
)


def simple(name: str, operator: str, value: str) -> Comparison:
    return Comparison((Step(name),), operator, value)


def test_what_is_joined_is_taken_from_left_to_right() -> None:
    a, b, c = (simple(name, "eq", "1") for name in "abc")
    assert parse_filter("a eq 1 or b eq 1 and c eq 1") == Joined("and", Joined("or", a, b), c)
    assert parse_filter("a eq 1 or (b eq 1 and c eq 1)") == Joined("or", a, Joined("and", b, c))
    assert parse_filter(" not (a eq 1)and b eq 1 ") == Joined("and", Negated(a), b)


def test_values_are_strings_or_tokens() -> None:
    assert parse_filter(r'name co "a \"b) \u00e9"') == simple("name", "co", 'a "b) é')
    assert parse_filter("code eq http://loinc.org|1-8") == simple(
        "code", "eq", "http://loinc.org|1-8"
    )
    assert parse_filter("(_lastUpdated ge 2020-01-01T00:00:00Z)") == simple(
        "_lastUpdated", "ge", "2020-01-01T00:00:00Z"
    )


def test_paths_have_steps_and_conditions() -> None:
    assert parse_filter("subject[gender eq male].general-practitioner.name co x") == Comparison(
        (
            Step("subject", simple("gender", "eq", "male")),
            Step("general-practitioner"),
            Step("name"),
        ),
        "co",
        "x",
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        "name co",
        "name like x",
        "name co x y",
        "name co x and",
        "name co x xor name co y",
        "not name co x",
        "(name co x",
        "name co x)",
        "subject[name co x]",
        "subject[name co x].",
        "subject[name co x] eq y",
        "[name co x].name co y",
        ".name co x",
        'name co "x',
        r'name co "\ud800"',
        r'name co "\u0000"',
        r'name co "\q"',
        "name. co x",
        "1 eq 1",
        "(" * 11 + "a eq 1" + ")" * 11,
        " and ".join(["a eq 1"] * 31),
        "a eq " + "1" * 2000,
    ],
)
def test_filter_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(FilterSyntaxError):
        parse_filter(text)


def test_bombs_are_refused_in_no_time() -> None:
    for text in ("(" * 1999, "a[" * 999, "not(" * 499, "a." * 999, '"' * 1999, "a eq 1 or " * 199):
        with pytest.raises(FilterSyntaxError):
            parse_filter(text)
