"""What is kept in columns for listing and search."""

from hypothesis import given
from hypothesis import strategies as st

from apps.patient.search.index_columns import (
    clinical_columns,
    code_keys,
    display_name,
    first_address,
    fold,
    patient_columns,
    term_key,
)


def test_name_is_the_official_one_composed_where_it_has_no_text() -> None:
    old = {"use": "old", "text": "Before"}
    official = {
        "use": "official",
        "prefix": ["Dr."],
        "given": ["Ann", "B."],
        "family": "Roe",
        "suffix": ["PhD"],
    }
    assert display_name({"name": [old, official]}) == "Dr. Ann B. Roe PhD"
    assert display_name({"name": [old, {"text": "Now"}]}) == "Now"
    assert display_name({"name": [old]}) == "Before"
    assert display_name({}) is None


def test_address_is_composed_where_it_has_no_text() -> None:
    address = {
        "line": ["1 Street"],
        "city": "Town",
        "state": "MA",
        "postalCode": "01234",
        "country": "US",
    }
    assert (
        first_address({"address": [address, {"text": "second"}]}) == "1 Street, Town, MA 01234, US"
    )
    assert first_address({"address": [{"text": "whole", **address}]}) == "whole"
    assert first_address({}) is None


def test_folding_drops_case_accents_and_spaces() -> None:
    assert fold("  GARCÍA \t Straße ") == "garcia strasse"


@given(st.text(max_size=2000))
def test_search_terms_fit_their_column(text: str) -> None:
    facts = patient_columns(
        {"name": [{"text": text}], "identifier": [{"value": text, "system": text}]}
    )
    assert all(len(term.value) <= 200 and len(term.system) <= 200 for term in facts.terms)
    assert len(term_key(text)) <= 200


def test_long_identifiers_stay_apart() -> None:
    assert term_key("x" * 300 + "1") != term_key("x" * 300 + "2")


def test_codes_are_kept_with_and_without_their_system() -> None:
    facts = clinical_columns(
        {
            "resourceType": "AllergyIntolerance",
            "clinicalStatus": {"coding": [{"code": "active"}]},
            "category": ["food"],
            "code": {"coding": [{"system": "http://s", "code": "1"}, {"code": "2"}]},
            "onsetPeriod": {"start": "2024"},
        }
    )
    assert code_keys(facts.codings) == ["1", "http://s|1", "2", "|2"]
    assert code_keys(facts.categories) == ["food", "|food"]
    assert (facts.status, facts.happened_from, facts.happened_before) == (
        "active",
        "2024-01-01T00:00:00+00:00",
        "infinity",
    )
