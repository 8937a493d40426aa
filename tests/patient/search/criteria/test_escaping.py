"""The separators of search values and what escapes them."""

import pytest

from apps.patient.search.criteria.escaping import escape, split, unescape


@pytest.mark.parametrize(
    ("text", "maximum", "parts"),
    [
        ("", -1, [""]),
        ("a", -1, ["a"]),
        ("a,b", -1, ["a", "b"]),
        (",a,,b,", -1, ["", "a", "", "b", ""]),
        (r"a\,b,c", -1, [r"a\,b", "c"]),
        (r"a\\,b", -1, [r"a\\", "b"]),
        (r"\,", -1, [r"\,"]),
        ("a\\", -1, ["a\\"]),
        ("a,b\\", -1, ["a", "b\\"]),
        ("a,b,c", 0, ["a,b,c"]),
        ("a,b,c", 1, ["a", "b,c"]),
        ("a,b,c", 2, ["a", "b", "c"]),
    ],
)
def test_parts_are_between_separators_that_are_not_escaped(
    text: str, maximum: int, parts: list[str]
) -> None:
    assert split(text, ",", maximum) == parts


@pytest.mark.parametrize("text", ["", "a", "a,b|c$d\\e", "\\\\", "\\,"])
def test_escaped_text_is_one_part_and_means_the_text(text: str) -> None:
    for separator in ",|$":
        assert split(escape(text), separator) == [escape(text)]
    assert unescape(escape(text)) == text


def test_backslash_before_any_other_character_is_itself() -> None:
    assert unescape(r"a\bc\,d") == r"a\bc,d"
