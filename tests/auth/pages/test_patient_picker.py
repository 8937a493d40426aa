"""For which patient an application is opened: who is asked, what is searched, what is shown."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import pytest

from apps.auth.pages.patient_picker import (
    MAX_ANSWER_BYTES,
    Choice,
    describe,
    search_patients,
    wants_patient,
)
from apps.auth.texts import ENGLISH
from tests.auth.listening import Listener, listening


@pytest.fixture
def patients() -> Iterator[Listener]:
    yield from listening()


@pytest.mark.parametrize(
    ("asked", "registered", "wants"),
    [
        ("launch/patient patient/*.rs", "launch/patient patient/*.rs", True),
        ("launch/patient", "patient/*.rs", False),
        ("patient/*.rs", "patient/*.rs", True),
        ("patient/*.rs", "user/*.rs", False),
        # It serves staff and patients alike.
        ("patient/*.rs user/*.rs", "patient/*.rs user/*.rs", False),
        ("launch/patient user/*.rs", "launch/patient user/*.rs", True),
        ("openid", "launch/patient patient/*.rs", False),
        # Nothing asked for: all that it was registered with.
        ("", "patient/*.rs", True),
        ("", "openid", False),
    ],
)
def test_application_that_asks_for_one_patient_gets_one(
    asked: str, registered: str, wants: bool
) -> None:
    client = SimpleNamespace(scopes=tuple(registered.split()))
    assert wants_patient(tuple(asked.split()), cast(Any, client)) is wants


@pytest.mark.parametrize(
    ("patient", "name", "details"),
    [
        ({"name": [{"text": "Dr. Ada", "family": "Lovelace"}]}, "Dr. Ada", ""),
        ({"name": [{"given": ["Ada", "M."], "family": "Lovelace"}]}, "Ada M. Lovelace", ""),
        ({"name": [{"family": "Lovelace"}, {"text": "Ada"}]}, "Lovelace", ""),
        ({}, "Without a name", ""),
        (
            {
                "birthDate": "1815-12-10",
                "gender": "female",
                "identifier": [{"value": "1"}, {"system": "s"}, {"value": "3"}],
            },
            "Without a name",
            "1815-12-10, female, 1",
        ),
        (
            {"gender": "unheard of", "identifier": [{"value": "1"}, {"value": "2"}]},
            "Without a name",
            "1, 2",
        ),
    ],
)
def test_patient_is_told_from_others(patient: dict[str, Any], name: str, details: str) -> None:
    assert describe(ENGLISH, {"id": "p", **patient}) == Choice("p", name, details)


def found(*ids: str, more: str = "") -> dict[str, Any]:
    return {"entry": [{"resource": {"id": each}} for each in ids], "more": more}


async def test_text_with_a_digit_is_an_identifier_or_else_a_name(patients: Listener) -> None:
    patients.answer = found("p-1")
    assert await search_patients(patients.url, "t", "MRN-5") == [{"id": "p-1"}]
    assert await search_patients(patients.url, "t", "Ada") == [{"id": "p-1"}]
    patients.answer = {}
    assert await search_patients(patients.url, "t", "Ada 2") == []
    asked = [path.partition("?")[2].partition("=")[0] for path, _ in patients.requests]
    assert asked == ["identifier", "name", "identifier", "name"]


async def test_characters_of_the_search_itself_are_left_out(patients: Listener) -> None:
    await search_patients(patients.url, "t", "a,b|c$d\\e")
    ((path, _),) = patients.requests
    assert path == "/fhir/R4/Patient?name=a+b+c+d+e&_count=20"


async def test_answer_is_bounded_and_comes_from_the_service_itself(patients: Listener) -> None:
    rest = len(b'{"entry": [], "more": ""}')
    patients.answer = found(more="x" * (MAX_ANSWER_BYTES - rest))
    assert await search_patients(patients.url, "t", "Ada") == []
    patients.answer = found(more="x" * (MAX_ANSWER_BYTES - rest + 1))
    with pytest.raises(ValueError, match="truncated"):
        await search_patients(patients.url, "t", "Ada")

    patients.answer = found()
    patients.status, patients.location = 302, f"{patients.url}/elsewhere"
    await search_patients(patients.url, "t", "Ada")
    assert "/elsewhere" not in [path for path, _ in patients.requests]
    patients.status = 500
    with pytest.raises(aiohttp.ClientResponseError):
        await search_patients(patients.url, "t", "Ada")
