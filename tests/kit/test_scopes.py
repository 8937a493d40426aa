import pytest

from apps.kit.scopes import (
    MAX_KNOWN_ACCESS,
    MAX_SCOPE_CHARS,
    Access,
    AccessRule,
    Disclosure,
    Principal,
    disclosure,
    parse_smart_scope,
)

LABORATORY = (("category", "laboratory"),)


def principal(*scopes: str, patient_id: str | None = None) -> Principal:
    return Principal("s", "c", "a", frozenset(scopes), (), "t", 0, 0, patient_id)


def rules(access: Access | None) -> tuple[AccessRule, ...]:
    assert access is not None
    return access.rules


@pytest.mark.parametrize(
    "scope",
    [
        "user/Patient.",
        "user/Patient.sr",
        "user/patient.r",
        "user/Patient.reads",
        "admin",
        "user/*.cruds x",
        "",
        "user/Patient.r?",
        "user/Patient.r?category",
        "user/Patient.r?category=",
        "user/Patient.r?category=%00",
        "user/Patient.r?category=%ff",
        "user/Patient.r?" + "&".join(f"a{number}=1" for number in range(6)),
        "user/Patient.r?category=" + "x" * MAX_SCOPE_CHARS,
    ],
)
def test_what_is_no_smart_scope_grants_nothing(scope: str) -> None:
    assert parse_smart_scope(scope) is None
    assert principal(scope).access_to("Patient", "r") is None


def test_longest_scope_has_200_characters() -> None:
    longest = "user/Patient.r?category=".ljust(200, "x")
    assert parse_smart_scope(longest) is not None
    assert parse_smart_scope(longest + "x") is None


def test_scope_grants_the_named_interactions_on_the_named_type_only() -> None:
    user = principal("user/Patient.rs")
    assert rules(user.access_to("Patient", "r")) == (AccessRule(),)
    assert user.access_to("Patient", "c") is None
    assert user.access_to("Observation", "r") is None
    assert rules(principal("system/*.cruds").access_to("Observation", "d")) == (AccessRule(),)


@pytest.mark.parametrize(
    ("scope", "interactions"),
    [("user/*.read", "rs"), ("user/*.write", "cud"), ("user/*.*", "cruds")],
)
def test_scopes_of_version_1_mean_those_of_version_2(scope: str, interactions: str) -> None:
    allowed = [letter for letter in "cruds" if principal(scope).access_to("Observation", letter)]
    assert "".join(allowed) == interactions


def test_patients_scope_reaches_the_own_record_and_needs_one() -> None:
    own = principal("patient/*.rs", patient_id="p").access_to("Observation", "r")
    assert rules(own) == (AccessRule("p"),)
    assert own is not None and own.only_patient_id == "p" and not own.has_parameters
    assert principal("patient/*.rs").access_to("Observation", "r") is None


def test_answers_are_remembered_and_made_up_types_do_not_pile_up() -> None:
    caller = principal("user/Observation.rs?category=laboratory")
    first = caller.access_to("Observation", "r")
    assert caller.access_to("Observation", "r") is first
    for number in range(2 * MAX_KNOWN_ACCESS):
        assert caller.access_to(f"Type{number}", "r") is None
    assert len(caller._access) <= MAX_KNOWN_ACCESS
    assert caller.access_to("Observation", "r") == first
    assert caller == principal("user/Observation.rs?category=laboratory")


def test_search_parameters_of_a_scope_are_the_only_access_it_gives() -> None:
    access = principal("user/Observation.rs?category=laboratory").access_to("Observation", "s")
    assert rules(access) == (AccessRule(None, LABORATORY),)
    assert access is not None and access.has_parameters and access.only_patient_id is None
    assert access.covers(lambda rule: rule.parameters == LABORATORY)
    assert not access.covers(lambda rule: False)


def test_parameters_are_decoded_and_all_of_one_scope_apply_together() -> None:
    scope = "user/Observation.r?category=http%3A%2F%2Fx%7Claboratory&status=final"
    (rule,) = rules(principal(scope).access_to("Observation", "r"))
    assert rule.parameters == (("category", "http://x|laboratory"), ("status", "final"))


def test_several_scopes_reach_what_any_of_them_reaches() -> None:
    both = principal(
        "user/Observation.rs?category=laboratory",
        "user/Observation.rs?category=vital-signs",
        "patient/Observation.rs?category=laboratory",
        patient_id="p",
    )
    assert [rule.parameters for rule in rules(both.access_to("Observation", "r"))] == [
        LABORATORY,
        (("category", "vital-signs"),),
    ]
    wide = principal("user/Observation.rs?category=laboratory", "user/*.rs")
    assert rules(wide.access_to("Observation", "r")) == (AccessRule(),)
    own = principal("user/Observation.rs?category=laboratory", "patient/*.rs", patient_id="p")
    assert set(rules(own.access_to("Observation", "r"))) == {
        AccessRule("p"),
        AccessRule(None, LABORATORY),
    }


@pytest.mark.parametrize(
    ("scope", "interaction", "told"),
    [
        ("system/Patient.c", "s", Disclosure.NOTHING),
        ("system/Patient.c", "c", Disclosure.LOCATION),
        ("system/Patient.cr", "c", Disclosure.BODY),
        ("system/Patient.cr", "s", Disclosure.NOTHING),
        ("system/Patient.cs", "s", Disclosure.LOCATION),
        ("system/Patient.crs", "s", Disclosure.BODY),
        ("system/Patient.u", "u", Disclosure.LOCATION),
        ("system/Patient.ru", "u", Disclosure.BODY),
        ("system/Patient.s", "r", Disclosure.NOTHING),
        ("system/Observation.cruds", "c", Disclosure.NOTHING),
    ],
)
def test_response_tells_what_the_scopes_allow(
    scope: str, interaction: str, told: Disclosure
) -> None:
    assert disclosure(principal(scope), "Patient", interaction) is told


def test_response_about_a_resource_outside_of_a_scopes_parameters_tells_nothing() -> None:
    laboratory = principal("user/Observation.rs?category=laboratory")
    assert disclosure(laboratory, "Observation", "r") is Disclosure.NOTHING
    assert disclosure(laboratory, "Observation", "r", lambda rule: True) is Disclosure.BODY

    writer = principal("user/Observation.cu", "user/Observation.r?category=laboratory")
    assert disclosure(writer, "Observation", "c") is Disclosure.LOCATION
    assert disclosure(writer, "Observation", "c", lambda rule: True) is Disclosure.BODY


@pytest.mark.parametrize(
    ("scopes", "roles", "patient_id", "may"),
    [
        (("patient/*.rs",), ("patient",), "p", True),
        (("patient/Observation.r",), ("patient",), "p", True),
        (("patient/Patient.rs", "openid", "patient/*.rs"), ("patient",), "p", True),
        # A clinician whose application was launched for the patient, and a login without a record.
        (("patient/*.rs",), ("clinician",), "p", False),
        (("patient/*.rs",), ("patient",), None, False),
        (("user/*.rs",), ("patient",), "p", False),
        (("patient/*.s",), ("patient",), "p", False),
        (("patient/Condition.rs",), ("patient",), "p", False),
        (("patient/Observation.rs?category=laboratory",), ("patient",), "p", False),
        (("openid",), ("patient",), "p", False),
    ],
)
def test_own_record_is_read_by_the_patients_own_login_alone(
    scopes: tuple[str, ...], roles: tuple[str, ...], patient_id: str | None, may: bool
) -> None:
    caller = Principal("s", "c", "a", frozenset(scopes), roles, "t", 0, 0, patient_id)
    assert caller.may_read_own("Observation") is may


def test_any_one_of_the_scopes_is_enough() -> None:
    caller = principal("admin", "openid")
    assert caller.has_scope("billing.read", "admin")
    assert not caller.has_scope("billing.read", "billing.write")
    assert not caller.has_scope()
