"""A change that cannot be recorded is not made: all of it is one transaction."""

from collections.abc import Callable
from typing import Any

import asyncpg
import httpx
import pytest

from apps.auth.people.address_links import create_address_link
from apps.auth.people.lockout import Attempt
from tests.auth.admin.test_accounts import client_of
from tests.auth.browser import HIDDEN, App, Browser
from tests.auth.conftest import PASSWORD, Auth, run

pytestmark = pytest.mark.integration

OWN = {
    table: f"SELECT * FROM {table} WHERE user_id = '{{user}}' ORDER BY 1, 2"  # noqa: S608
    for table in ("sessions", "consents", "password_resets", "refresh_tokens", "address_links")
}
STATE = {
    **OWN,
    "user": "SELECT * FROM users WHERE id = '{user}' OR email = 'made@example.org'",
    "client": "SELECT * FROM clients WHERE id = '{client}' OR name = 'Made'",
    "revocations": "SELECT * FROM revocations WHERE id IN ('{user}', '{client}')",
    "failures": "SELECT * FROM attempts WHERE failures = 77",
    "mails": "SELECT id FROM mails WHERE recipient IN ('{email}', 'made@example.org')",
}


def state_of(auth: Auth, **values: str) -> dict[str, list[Any]]:
    return {
        name: [tuple(row) for row in auth.sql(query.format(**values))]
        for name, query in STATE.items()
    }


CLIENT = {"name": "Made", "grantTypes": ["client_credentials"], "scopes": ["analytics.read"]}
ADMINISTRATION: dict[str, tuple[str, str, Any]] = {
    "user made": (
        "POST",
        "/users",
        {"email": "made@example.org", "roles": ["analyst"], "invite": True},
    ),
    "user renamed": ("PATCH", "/users/{user}", {"name": "Other"}),
    "user disabled": ("PATCH", "/users/{user}", {"disabled": True}),
    "link issued": ("POST", "/users/{user}/password-link", None),
    "second factor removed": ("DELETE", "/users/{user}/second-factor", None),
    "user unlocked": ("POST", "/users/{user}/unlock", None),
    "user deleted": ("DELETE", "/users/{user}", None),
    "user's sessions ended": ("DELETE", "/users/{user}/sessions", None),
    "client made": ("POST", "/clients", CLIENT),
    "client changed": ("PATCH", "/clients/{client}", {"name": "Other"}),
    "client disabled": ("PATCH", "/clients/{client}", {"disabled": True}),
    "client deleted": ("DELETE", "/clients/{client}", None),
    "secret rotated": ("POST", "/clients/{client}/secret", None),
}


class Person:
    """Somebody who is signed in in two browsers and lets an application act for them."""

    def __init__(self, auth: Auth) -> None:
        self.auth = auth
        self.user = auth.user("clinician", name="Before")
        self.app = App(auth)
        self.browser = Browser(auth)
        self.browser.sign_in(self.user.email)
        self.app.redeem(self.app.authorize(self.browser))
        Browser(auth).sign_in(self.user.email)
        kind, key = Attempt(self.user.email, "198.51.100.1").counters()[0]
        auth.sql(
            "INSERT INTO attempts (kind, key, failures, locked_until, expires_at) "
            "VALUES ($1, $2, 77, now(), now() + interval '1 hour')",
            kind,
            key,
        )
        self.values = {
            "user": self.user.id,
            "client": self.app.client[0],
            "email": self.user.email,
        }

    def state(self) -> dict[str, list[Any]]:
        return state_of(self.auth, **self.values)


EVENTS = {
    "user made": "user_created",
    "user renamed": "user_updated",
    "user disabled": "user_disabled",
    "link issued": "password_link_issued",
    "second factor removed": "second_factor_removed",
    "user unlocked": "user_unlocked",
    "user deleted": "user_deleted",
    "user's sessions ended": "sessions_ended",
    "client made": "client_created",
    "client changed": "client_updated",
    "client disabled": "client_disabled",
    "client deleted": "client_deleted",
    "secret rotated": "client_secret_rotated",
}


def test_administration_is_recorded(auth: Auth) -> None:
    administrator = auth.user("admin")
    token = auth.login(administrator.email).json()["token"]
    for name, event in EVENTS.items():
        person = Person(auth)
        method, path, body = ADMINISTRATION[name]
        if name == "user made":
            body = {**body, "email": f"of-{person.user.id}@example.org"}
        answer = httpx.request(
            method,
            f"{auth.url}/auth/v1{path.format(**person.values)}",
            json=body,
            headers={"Authorization": f"Bearer {token}"},
        )
        assert answer.is_success, answer.text
        (last,) = auth.sql(
            "SELECT event, subject FROM audit WHERE actor_id = $1 ORDER BY id DESC LIMIT 1",
            administrator.id,
        )
        assert last["event"] == event
        if not name.endswith(" made"):
            assert last["subject"] in (person.user.id, person.app.client[0])


@pytest.mark.parametrize("name", ADMINISTRATION)
def test_administration_that_cannot_be_recorded_changes_nothing(
    auth: Auth, unrecorded: Callable[[], None], name: str
) -> None:
    person, admin = Person(auth), client_of(auth, "admin")
    before = person.state()
    unrecorded()
    method, path, body = ADMINISTRATION[name]
    answer = admin.request(method, "/auth/v1" + path.format(**person.values), json=body)
    assert answer.status_code == 500, answer.text
    assert person.state() == before


@pytest.mark.parametrize("path", ["sessions", "sessions/{session}", "consents/{client}"])
def test_change_of_the_own_account_that_cannot_be_recorded_is_not_made(
    auth: Auth, unrecorded: Callable[[], None], path: str
) -> None:
    person = Person(auth)
    own = App(auth, "account", trusted=True)
    token = own.redeem(own.authorize(person.browser))["access_token"]
    (session, *_) = auth.sql("SELECT public_id FROM sessions WHERE user_id = $1", person.user.id)
    before = person.state()
    unrecorded()
    answer = httpx.delete(
        f"{auth.url}/auth/v1/me/{path.format(session=session['public_id'], **person.values)}",
        headers={"Authorization": f"Bearer {token}"},
    )
    assert answer.status_code == 500, answer.text
    assert person.state() == before


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/oauth2/sessions", {"session": "others"}),
        ("/oauth2/consents", {"client": "{client}"}),
        ("/oauth2/password", {"password": PASSWORD, "new_password": "a pelican in the quarry"}),
    ],
)
def test_form_of_the_own_account_that_cannot_be_recorded_changes_nothing(
    auth: Auth, unrecorded: Callable[[], None], path: str, fields: dict[str, str]
) -> None:
    person = Person(auth)
    csrf = dict(HIDDEN.findall(person.browser.get("/oauth2/account").text))["csrf"]
    before = person.state()
    unrecorded()
    data = {name: value.format(**person.values) for name, value in fields.items()}
    answer = person.browser.http.post(path, data={"csrf": csrf, **data})
    assert answer.status_code == 500, answer.text
    assert person.state() == before


def test_launch_that_cannot_be_recorded_is_not_made(
    auth: Auth, unrecorded: Callable[[], None]
) -> None:
    person = Person(auth)
    app = App(auth, "openid", "user/*.cruds", trusted=True)
    token = app.redeem(app.authorize(person.browser))["access_token"]
    unrecorded()
    answer = httpx.post(
        f"{auth.url}/auth/v1/launches",
        json={"patientId": "p"},
        headers={"Authorization": f"Bearer {token}"},
    )
    assert answer.status_code == 500
    assert not auth.sql("SELECT 1 FROM launches WHERE user_id = $1", person.user.id)


def test_sign_in_that_cannot_be_recorded_begins_no_session(
    auth: Auth, unrecorded: Callable[[], None]
) -> None:
    user, browser = auth.user("clinician"), Browser(auth)
    page = browser.get("/oauth2/sign-in")
    unrecorded()
    assert browser.sign_in(user.email, page=page).status_code == 500
    assert not auth.sql("SELECT 1 FROM sessions WHERE user_id = $1", user.id)


def test_wrong_password_that_cannot_be_recorded_is_not_counted(
    auth: Auth, unrecorded: Callable[[], None]
) -> None:
    user = auth.user("clinician")
    unrecorded()
    assert auth.login(user.email, "wrong", address="198.51.100.7").status_code == 500
    keys = [key for _, key in Attempt(user.email, "198.51.100.7").counters()]
    assert not auth.sql("SELECT 1 FROM attempts WHERE key = ANY($1)", keys[:2])


def test_link_whose_use_cannot_be_recorded_is_not_used(
    auth: Auth, unrecorded: Callable[[], None]
) -> None:
    person, browser = Person(auth), Browser(auth)

    async def link_to_confirm() -> str:
        connection = await asyncpg.connect(auth.settings.database.url)
        try:
            return await create_address_link(
                connection, person.user.id, "elsewhere@example.org", auth.url
            )
        finally:
            await connection.close()

    to_reset = browser.get(auth.reset_link(person.user.id))
    to_confirm = browser.get(run(link_to_confirm()))
    before = person.state()
    unrecorded()
    assert browser.send(to_reset, new_password="a pelican in the quarry").status_code == 500
    assert browser.send(to_confirm).status_code == 500
    assert person.state() == before
