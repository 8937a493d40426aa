"""Each part of a likeness by itself, at the edges where it changes."""

from typing import Any

import pytest
from rapidfuzz.distance import JaroWinkler

from apps.patient.operations import scoring
from apps.patient.operations.scoring import Likeness, compare, person_of


@pytest.mark.parametrize(
    ("score", "grade"),
    [
        (1.0, "certain"),
        (0.95, "certain"),
        (0.949, "probable"),
        (0.75, "probable"),
        (0.749, "possible"),
        (0.5, "possible"),
        (0.499, "certainly-not"),
    ],
)
def test_grade_begins_at_its_score(score: float, grade: str) -> None:
    assert Likeness(score=score, reasons=()).grade == grade


# Enough for a score between 0 and 1, whatever the part that is compared makes of it.
SAME_IDENTIFIER = {"identifier": [{"system": "urn:test", "value": "1"}]}


def likeness(asked: dict[str, Any], known: dict[str, Any]) -> tuple[float, tuple[str, ...]]:
    """Returns what the parts add to a shared identifier, and the other reasons."""
    found = compare(
        person_of({**SAME_IDENTIFIER, **asked}), person_of({**SAME_IDENTIFIER, **known})
    )
    assert found.reasons[0] == "identifier"
    return round(found.score - 0.6, 3), found.reasons[1:]


@pytest.mark.parametrize(
    ("asked", "known", "score"),
    [
        ("1980-02-03", "1980-02-03", 0.35),
        ("1980-02-03", "1980-03-02", 0.245),
        ("1980-02-03", "1981-03-02", -0.3),
        ("1980-02-03", "1980-02-04", 0.21),
        ("1980-02-13", "1980-02-31", 0.21),
        ("1980-02-03", "1980-03-04", -0.3),
        ("1980-02-03", "1980-02", 0.175),
        ("1980", "1980-02-03", 0.175),
        ("1981", "1980-02-03", -0.3),
        ("1980-02", "1980-02", 0.35),
        ("", "1980-02-03", 0.0),
    ],
)
def test_birth_dates_are_alike_swapped_short_or_one_digit_apart(
    asked: str, known: str, score: float
) -> None:
    reasons = ("birthDate",) if score > 0 else ()
    assert likeness({"birthDate": asked}, {"birthDate": known}) == (score, reasons)
    assert likeness({"birthDate": known}, {"birthDate": asked}) == (score, reasons)


@pytest.mark.parametrize(
    ("asked", "known", "score"),
    [
        ("Garcia", "garcia", 0.25),
        # One letter wrong, in words of more than three.
        ("Lane", "Lone", 0.225),
        ("Lee", "Loe", -0.25),
        # Alike by their beginning, and hardly.
        ("Marquez", "Marquezadas", 0.232),
        ("Martinez", "Hernandez", -0.25),
        ("O'Brien", "Brien", 0.25),
        ("Garcia-Lopez", "Lopez", 0.25),
    ],
)
def test_families_are_alike_by_their_letters(asked: str, known: str, score: float) -> None:
    def named(family: str) -> dict[str, Any]:
        return {"name": [{"family": family}]}

    found, reasons = likeness(named(asked), named(known))
    assert (found, reasons) == (score, ("family",) if score > 0 else ())


@pytest.mark.parametrize(
    ("asked", "known", "score"),
    [("Bob", "Robert", 0.18), ("Bob", "Will", -0.25), ("Zed", "Zod", -0.25), ("Al", "Al", 0.2)],
)
def test_givens_are_alike_by_their_short_forms(asked: str, known: str, score: float) -> None:
    found, _ = likeness({"name": [{"given": [asked]}]}, {"name": [{"given": [known]}]})
    assert found == score


def test_names_in_each_others_place_are_a_little_less_alike() -> None:
    straight = {"name": [{"family": "Olsen", "given": ["Ivar"]}]}
    swapped = {"name": [{"family": "Ivar", "given": ["Olsen"]}]}
    assert likeness(straight, straight)[0] == pytest.approx(0.4)  # no score above 1
    assert likeness(straight, swapped) == (0.36, ("family", "given"))


def test_name_of_a_text_is_its_first_and_its_last_word() -> None:
    text = {"name": [{"text": "Ivar Jens Olsen"}]}
    person = person_of(text)
    assert person.families == {"olsen"}
    assert person.givens == {"ivar"}


@pytest.mark.parametrize(
    ("asked", "known", "score"),
    [("male", "male", 0.05), ("male", "female", -0.15), ("unknown", "unknown", 0.0)],
)
def test_gender_counts_where_both_tell_it(asked: str, known: str, score: float) -> None:
    found, reasons = likeness({"gender": asked}, {"gender": known})
    assert (found, reasons) == (score, ("gender",) if score > 0 else ())


@pytest.mark.parametrize(
    ("element", "other", "gain", "loss", "reason"),
    [
        (
            {"telecom": [{"system": "phone", "value": "5550101"}]},
            {"telecom": [{"system": "phone", "value": "5550199"}]},
            0.2,
            0.0,
            "phone",
        ),
        (
            {"telecom": [{"system": "email", "value": "a@example.org"}]},
            {"telecom": [{"system": "email", "value": "b@example.org"}]},
            0.15,
            0.0,
            "email",
        ),
        (
            {"address": [{"postalCode": "02332"}]},
            {"address": [{"postalCode": "02333"}]},
            0.05,
            -0.05,
            "postalCode",
        ),
        (
            {"address": [{"line": ["1 Main St"]}]},
            {"address": [{"line": ["2 Main St"]}]},
            0.1,
            0.0,
            "address",
        ),
    ],
)
def test_part_counts_where_both_have_it(
    element: dict[str, Any], other: dict[str, Any], gain: float, loss: float, reason: str
) -> None:
    assert likeness(element, element) == (gain, (reason,))
    assert likeness(element, other) == (loss, ())
    assert likeness(element, {}) == (0.0, ())


def test_score_is_no_less_than_nothing_and_no_more_than_one() -> None:
    stranger = compare(person_of({"gender": "male"}), person_of({"gender": "female"}))
    assert (stranger.score, stranger.reasons) == (0.0, ())


@pytest.mark.parametrize("value", [None, "text", {"family": "x"}, ["text", None]])
def test_what_is_of_another_type_is_left_out(value: Any) -> None:
    person = person_of({"name": value, "telecom": value, "address": value, "identifier": value})
    assert person == person_of({})


def test_names_are_alike_from_a_likeness_on(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, known = ({"name": [{"family": family}]} for family in ("Marquez", "Marquezadas"))
    alike = JaroWinkler.similarity("marquez", "marquezadas")
    for least, score in ((alike, 0.232), (alike + 0.001, -0.25)):
        monkeypatch.setattr(scoring, "LIKE_NAME", least)
        assert likeness(asked, known)[0] == score
