import time

import pytest

from apps.auth.people.roles import (
    RESOURCE_TYPES,
    ROLES,
    TooManyScopesError,
    intersect,
    is_scope,
    scopes_of_client,
    scopes_of_roles,
)
from apps.patient.definitions.model import served_types


@pytest.mark.parametrize(
    ("client", "role", "granted"),
    [
        ("user/*.cruds", "user/Patient.crus", "user/Patient.crus"),
        (
            "user/Patient.rs user/Observation.r",
            "user/*.cruds",
            "user/Patient.rs user/Observation.r",
        ),
        ("user/Patient.r", "user/Patient.cu", ""),
        ("user/Patient.r", "user/Observation.r", ""),
        ("user/*.cruds", "patient/*.rs", ""),
        ("system/*.cruds", "user/*.cruds", ""),
        ("admin billing.read", "billing.read billing.write", "billing.read"),
        ("user/*.rs user/Patient.r", "user/*.cruds", "user/*.rs"),
        ("user/*.read", "user/*.cruds", "user/*.read"),
        ("user/*.write", "user/*.rs", ""),
        ("user/Patient.*", "user/*.rs", "user/Patient.rs"),
        ("user/Madeup.rs", "user/*.cruds", ""),
        (
            "user/Observation.rs?category=laboratory",
            "user/*.cruds",
            "user/Observation.rs?category=laboratory",
        ),
        (
            "user/Observation.rs?category=laboratory",
            "user/Observation.r?status=final",
            "user/Observation.r?category=laboratory&status=final",
        ),
        (
            "user/Observation.rs user/Observation.rs?category=laboratory",
            "user/*.cruds",
            "user/Observation.rs",
        ),
        ("user/*.rs?_lastUpdated=gt2020", "user/Patient.r", "user/Patient.r?_lastUpdated=gt2020"),
    ],
)
def test_what_is_granted_is_what_both_allow(client: str, role: str, granted: str) -> None:
    assert intersect(client.split(), role.split()) == set(granted.split())
    assert intersect(role.split(), client.split()) == set(granted.split())


def test_every_role_may_say_who_it_is_and_only_the_admin_administers() -> None:
    for role in ROLES:
        assert "openid" in scopes_of_roles([role])
        assert ("admin" in scopes_of_roles([role])) == (role == "admin")
    assert "admin" not in scopes_of_roles(["nobody"])


def test_client_speaks_for_no_person_in_its_own_name() -> None:
    scopes = (
        "openid offline_access user/*.cruds patient/*.rs launch/patient system/*.rs billing.read"
    )
    assert scopes_of_client(scopes.split()) == {"system/*.rs", "billing.read"}


def test_unknown_scopes_are_none() -> None:
    assert (
        not is_scope("root")
        and not is_scope("user/*.")
        and is_scope("system/Patient.rs")
        and is_scope("admin")
    )


def test_comparing_scopes_takes_no_time_however_they_are_chosen() -> None:
    one = [f"user/Observation.rs?category=c{number}" for number in range(50)]
    other = [f"user/Observation.r?status=s{number}" for number in range(50)]
    several = [f"user/{name}.rs" for name in sorted(RESOURCE_TYPES)]
    started = time.process_time()
    assert intersect(one, one) == set(one)
    assert intersect(several, several) == set(several)
    with pytest.raises(TooManyScopesError):
        intersect(one, other)
    assert time.process_time() - started < 0.5


def test_scopes_name_the_types_that_the_record_serves() -> None:
    assert set(served_types()) == RESOURCE_TYPES
