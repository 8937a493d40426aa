"""Parameters made of others."""

import pytest

from apps.patient.search.index.aliases import members_of, reference_name, split_union


@pytest.mark.parametrize(
    ("resource_type", "code", "members"),
    [
        ("Observation", "combo-code", ("code", "component-code")),
        ("Patient", "phonetic", ("name",)),
        (
            "Observation",
            "combo-code-value-quantity",
            ("code-value-quantity", "component-code-value-quantity"),
        ),
        ("Observation", "code", ()),
        ("Patient", "name", ()),
    ],
)
def test_union_of_others_is_known(resource_type: str, code: str, members: tuple[str, ...]) -> None:
    assert members_of(resource_type, code) == members


def test_patient_is_indexed_as_the_element_that_it_is() -> None:
    assert reference_name("Observation", "patient") == "subject"
    assert reference_name("Immunization", "patient") == "patient"
    assert reference_name("Observation", "performer") == "performer"
    # Two that are the same element, as their expressions say, keep their names.
    for name in ("beneficiary", "patient"):
        assert reference_name("Coverage", name) == name
    assert reference_name("Observation", "unknown") == "unknown"


def test_bar_within_brackets_separates_nothing() -> None:
    assert split_union("a | (b | c).d | e") == ["a", "(b | c).d", "e"]
