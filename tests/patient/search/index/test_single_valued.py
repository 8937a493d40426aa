"""Parameters that a resource has at most one value of."""

import pytest

from apps.patient.search.index.hashing import parameter_key
from apps.patient.search.index.kinds_of_values import parent_parameter
from apps.patient.search.index.single_valued import is_single_code, single_valued_date_keys


@pytest.mark.parametrize(
    ("resource_type", "code", "expected"),
    [
        ("Encounter", "date", True),
        ("Encounter", "location-period", False),
        ("Patient", "birthdate", True),
        ("Patient", "death-date", False),
        # It may be a Timing, which has several.
        ("Observation", "date", False),
        # Two paths: a period beside a date is not ruled out by them.
        ("Condition", "onset-date", False),
        ("Condition", "recorded-date", True),
        ("CarePlan", "activity-date", False),
    ],
)
def test_date_is_there_once_where_no_element_of_its_path_repeats(
    resource_type: str, code: str, expected: bool
) -> None:
    keys = single_valued_date_keys(resource_type)
    assert (parameter_key(resource_type, code) in keys) is expected


@pytest.mark.parametrize(
    ("resource_type", "code", "expected"),
    [
        ("Patient", "gender", True),
        ("Patient", "active", True),
        ("Patient", "address-use", False),
        ("Patient", "language", False),
        ("Patient", "identifier", False),
        ("Observation", "status", True),
        ("Observation", "code", False),
        ("Encounter", "class", True),
        ("DocumentReference", "contenttype", False),
    ],
)
def test_code_is_there_once_where_it_is_no_list_and_no_concept(
    resource_type: str, code: str, expected: bool
) -> None:
    assert is_single_code(resource_type, code) is expected


@pytest.mark.parametrize(
    ("resource_type", "parent"),
    [
        ("Organization", "partof"),
        ("Location", "partof"),
        ("Encounter", "part-of"),
        # They are parts of resources of other types.
        ("Observation", None),
        ("Patient", None),
    ],
)
def test_resource_is_part_of_one_of_its_type(resource_type: str, parent: str | None) -> None:
    assert parent_parameter(resource_type) == parent
