"""Which applications are told that a session ended."""

from collections.abc import Iterator

import pytest

from tests.auth.browser import App, Browser
from tests.auth.conftest import Auth
from tests.auth.listening import Listener, listening

pytestmark = pytest.mark.integration


@pytest.fixture
def listener() -> Iterator[Listener]:
    yield from listening()


def test_application_that_was_opened_twice_in_a_session_is_told_once(
    auth: Auth, listener: Listener
) -> None:
    app = App(auth, "openid", trusted=True, backchannel_logout_uri=f"{listener.url}/logout")
    user, browser = auth.user("clinician"), Browser(auth)
    browser.sign_in(user.email)
    for _ in range(2):
        app.redeem(app.authorize(browser))
    known = auth.sql("SELECT client_id FROM session_clients WHERE user_id = $1", user.id)
    assert [row["client_id"] for row in known] == [app.client[0]]
    browser.send(browser.get("/oauth2/account"))
    listener.wait_for(1)
    assert not auth.sql("SELECT 1 FROM session_clients WHERE user_id = $1", user.id)
