import pytest

from apps.kit.scopes import Principal, parse_smart_scope


def principal(*scopes: str, patient_id: str | None = None) -> Principal:
    return Principal("s", "c", "a", frozenset(scopes), (), "t", 0, 0, patient_id)


@pytest.mark.parametrize(
    "scope",
    [
        "user/Patient.",
        "user/Patient.sr",
        "user/patient.r",
        "user/Patient.read",
        "admin",
        "user/*.cruds x",
        "",
    ],
)
def test_what_is_no_smart_v2_scope_grants_nothing(scope: str) -> None:
    assert parse_smart_scope(scope) is None
    assert principal(scope).access_to("Patient", "r") is None


def test_scope_grants_the_named_interactions_on_the_named_type_only() -> None:
    user = principal("user/Patient.rs")
    assert user.access_to("Patient", "r") == "all"
    assert user.access_to("Patient", "c") is None
    assert user.access_to("Observation", "r") is None
    assert principal("system/*.cruds").access_to("Observation", "d") == "all"


def test_patients_scope_reaches_the_own_record_and_needs_one() -> None:
    assert principal("patient/*.rs", patient_id="p").access_to("Observation", "r") == "own"
    assert principal("patient/*.rs").access_to("Observation", "r") is None
