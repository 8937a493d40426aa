"""Which passkeys a person may add: how they are named, how many there are, and none twice."""

import pytest

from tests.auth.browser import Browser
from tests.auth.conftest import Auth
from tests.auth.pages.browser_calls import (
    add_passkey,
    call,
    passkeys_page,
    person_with_passkey,
    sign_in,
)
from tests.auth.soft_passkey import SoftPasskey

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    ("name", "taken"), [("n" * 60, True), ("n" * 61, False), ("", False), ("a\nb", False)]
)
def test_name_of_a_passkey_is_bounded(site: Auth, name: str, taken: bool) -> None:
    browser = Browser(site)
    browser.sign_in(site.user("clinician").email)
    answer = add_passkey(browser, SoftPasskey(site.url), name)
    assert answer.status_code == (200 if taken else 422)


def test_person_has_at_most_twenty_passkeys(site: Auth) -> None:
    user, passkey = person_with_passkey(site)
    site.sql(
        "INSERT INTO passkeys (id, user_id, credential_id, public_key, sign_count, name) "
        "SELECT gen_random_uuid(), user_id, uuid_send(gen_random_uuid()), public_key, 0, 'more' "
        "FROM passkeys, generate_series(1, 18) WHERE user_id = $1",
        user.id,
    )
    browser = Browser(site)
    sign_in(browser, passkey)
    assert add_passkey(browser, SoftPasskey(site.url)).status_code == 200
    refused = call(browser, passkeys_page(browser), "register/options")
    assert (refused.status_code, refused.json()["code"]) == (409, "too_many_passkeys")


def test_passkey_that_is_known_is_not_added_again(site: Auth) -> None:
    _, passkey = person_with_passkey(site)
    browser = Browser(site)
    browser.sign_in(site.user("clinician").email)
    assert add_passkey(browser, passkey).status_code == 400
