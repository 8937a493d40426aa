"""E-mail addresses are compared in one way, here and in the database."""

import unicodedata
from typing import Any

import pytest

from apps.auth.people.user_fields import email_key, is_email
from apps.kit.errors import Conflict, Unprocessable
from tests.auth.conftest import Auth


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Ada@Example.org", "ada@example.org", True),
        (" ada@example.org ", "ada@example.org", True),
        ("İx@example.org", "i̇x@example.org", True),
        ("STRASSE@example.org", "straße@example.org", True),
        ("\uff41\uff44\uff41@example.org", "ada@example.org", True),
        ("é@example.org", "e\u0301@example.org", True),
        ("\u017fam@example.org", "sam@example.org", True),
        ("ix@example.org", "İx@example.org", False),
        ("\u01f0@example.org", "J\u030c@example.org", True),
    ],
)
def test_spellings_of_one_address_have_one_key(one: str, other: str, same: bool) -> None:
    assert (email_key(one) == email_key(other)) is same
    assert email_key(email_key(one)) == email_key(one)
    assert unicodedata.is_normalized("NFKC", email_key(one))


@pytest.mark.parametrize("text", ["a", "a@", "@a", "a b@c", "a@b\0", "a@b\ud800", "a@b\u2028", ""])
def test_text_that_is_no_address_is_refused(text: str) -> None:
    assert not is_email(text)


@pytest.mark.integration
def test_user_signs_in_by_every_spelling_of_the_address_and_no_double_is_made(auth: Auth) -> None:
    auth.user("analyst", email="İx@example.org")
    for spelling in ("İx@example.org", "i̇X@EXAMPLE.org"):
        assert auth.login(spelling).status_code == 200
        with pytest.raises(Conflict):
            auth.user("analyst", email=spelling)
    auth.user("analyst", email="ix@example.org")


@pytest.mark.integration
def test_user_of_the_previous_release_is_found(auth: Auth) -> None:
    user = auth.user("analyst")
    auth.sql(
        "INSERT INTO users (id, email, name, password_hash, roles) SELECT gen_random_uuid(), $2, "
        "name, "
        "password_hash, roles FROM users WHERE id = $1",
        user.id,
        "Former.Release@example.org",
    )
    assert auth.login("former.release@example.org").status_code == 200


@pytest.mark.integration
@pytest.mark.parametrize(
    "changes",
    [
        {"roles": ("patient",), "patient_id": "p-1", "practitioner_id": "x-1"},
        {"practitioner_id": "a/b"},
        {"practitioner_id": ""},
    ],
)
def test_only_staff_is_bound_to_a_practitioner(auth: Auth, changes: dict[str, Any]) -> None:
    values = dict(changes)
    roles = values.pop("roles", ("clinician",))
    with pytest.raises(Unprocessable):
        auth.user(*roles, **values)
