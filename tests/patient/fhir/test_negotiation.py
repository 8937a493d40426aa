"""Media types and preferences as they are written in headers."""

import pytest

from apps.kit.errors import BadRequest
from apps.patient.fhir.negotiation import (
    NotAcceptable,
    Preferences,
    check_accept,
    check_format,
    check_pretty,
    parse_prefer,
)


@pytest.mark.parametrize(
    "header",
    [
        "",
        " ",
        "*/*",
        "application/*",
        "application/json",
        "text/html, Application/FHIR+JSON",
        "application/fhir+json; fhirVersion=4.0",
        'application/fhir+json; fhirVersion="4.0.1"',
        "application/fhir+json; fhirVersion=3.0, application/json",
        "application/fhir+xml, */*;q=0.1",
    ],
)
def test_json_of_this_version_is_acceptable(header: str) -> None:
    check_accept(header)


@pytest.mark.parametrize(
    "header",
    [
        "text/html",
        "application/fhir+xml",
        "application/fhir+json; fhirVersion=5.0",
        "application/json;q=0",
        "application/json;q=0.000",
    ],
)
def test_anything_else_is_not_acceptable(header: str) -> None:
    with pytest.raises(NotAcceptable):
        check_accept(header)


@pytest.mark.parametrize(
    "value",
    ["json", "application/fhir+json", "application/fhir json", "json; fhirVersion=4.0"],
)
def test_format_stands_for_a_media_type(value: str) -> None:
    assert check_format([value])


@pytest.mark.parametrize("value", ["xml", "html/xml", "json; fhirVersion=3.0", ""])
def test_format_that_is_not_served_is_refused(value: str) -> None:
    for values in ([value], ["json", value], [value, "json"]):
        with pytest.raises(NotAcceptable):
            check_format(values)


def test_request_without_a_format_has_none() -> None:
    assert not check_format([])


def test_pretty_is_true_or_false() -> None:
    assert check_pretty(["true"])
    assert not check_pretty(["false"])
    assert not check_pretty([])
    for values in (["yes"], ["true", "1"]):
        with pytest.raises(BadRequest):
            check_pretty(values)


@pytest.mark.parametrize(
    ("headers", "preferences"),
    [
        ([], Preferences()),
        (["return=minimal"], Preferences(returned="minimal")),
        (['Return="representation"'], Preferences(returned="representation")),
        (["return=operationoutcome"], Preferences(returned="OperationOutcome")),
        (["return=everything"], Preferences()),
        (["handling=Lenient, return=minimal"], Preferences(returned="minimal", lenient=True)),
        (["handling=lenient", "handling=strict"], Preferences()),
        (["respond-async; handling=lenient"], Preferences(lenient=True)),
        (["other=lenient, other=minimal"], Preferences()),
    ],
)
def test_preferences_are_understood_or_ignored(
    headers: list[str], preferences: Preferences
) -> None:
    assert parse_prefer(headers) == preferences
