"""The words of `_text` and `_content`."""

import pytest

from apps.patient.search.criteria.texts import (
    TextSyntaxError,
    content_words,
    narrative_words,
    parse_text,
    text_matches,
)

DIV = (
    '<div xmlns="http://www.w3.org/1999/xhtml"><p>Métastases of the <b>bone</b>, b&amp;b</p></div>'
)
RESOURCE = {
    "resourceType": "Condition",
    "text": {"status": "generated", "div": DIV},
    "code": {"coding": [{"code": "94222-008", "display": "Secondary tumour"}]},
    "abatementBoolean": False,
    "note": [{"text": "stable"}, None],
    "photo": {"data": "A" * 101},
    "picture": {"data": "B" * 100, "text": "C" * 100 + " c"},
}


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        ("metastases", True),
        ("METASTASES bone", True),
        ("meta", True),
        ("tastases", False),
        ("(bone OR liver) and metastases", True),
        ("(liver or lung) and metastases", False),
        ("bone not liver", True),
        ("bone and not metastases", False),
        ("not (liver or lung)", True),
        ('"of the bone"', True),
        ('"the of"', False),
        ('"and"', False),
        ("xmlns", False),
        ("tumour", False),
    ],
)
def test_narrative_has_words_joined_by_and_or_not(text: str, is_found: bool) -> None:
    assert text_matches(parse_text(text), narrative_words(RESOURCE)) is is_found


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        ("tumour metastases", True),
        ("94222-008", True),
        ("008-94222", False),
        ("stable false", True),
        ("div", False),
        ("AAAA", False),
        ("BBBB", True),
        ("CCCC", True),
    ],
)
def test_content_has_the_words_of_all_values(text: str, is_found: bool) -> None:
    assert text_matches(parse_text(text), content_words(RESOURCE)) is is_found


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "--",
        "(bone",
        "bone)",
        "and bone",
        "bone or",
        "not",
        '"bone',
        'bone"',
        "()",
        "a " * 21,
        "(" * 11 + "a" + ")" * 11,
        "not " * 12 + "a",
        "(" * 500,
        "not " * 300,
    ],
)
def test_text_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(TextSyntaxError):
        parse_text(text)


@pytest.mark.parametrize(
    "text", ["a " * 20, "(" * 10 + "a" + ")" * 10, "not not a", '"a" "a"', "a or a or a"]
)
def test_text_is_read_up_to_its_limits(text: str) -> None:
    assert text_matches(parse_text(text), " a")
    assert not text_matches(parse_text("not " * 11 + "a"), " a")


def test_narrative_that_is_no_xml_is_searched_as_it_is() -> None:
    resource = {"resourceType": "Condition", "text": {"div": "<div>bone & liver"}}
    assert text_matches(parse_text("bone div"), narrative_words(resource))


@pytest.mark.parametrize("text", [None, "bone", {"div": None}, {"div": 1}])
def test_narrative_that_is_no_text_has_no_words(text: object) -> None:
    assert not narrative_words({"resourceType": "Condition", "text": text})


def test_resource_without_a_narrative_has_none_of_its_words() -> None:
    assert not text_matches(parse_text("bone"), narrative_words({"resourceType": "Condition"}))
