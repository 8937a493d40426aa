"""People of another OpenID provider, and their way from there into a service."""

from typing import Any

from apps.auth.people.users import User
from tests.auth.browser import Browser
from tests.auth.conftest import Auth


def person_of(provider: Auth, name: str, **changes: Any) -> User:
    """Returns a person of the provider, whose address it has verified."""
    person = provider.user("clinician", name=name, **changes)
    provider.sql("UPDATE users SET email_verified_at = now() WHERE id = $1", person.id)
    return person


def sign_in(organization: Auth, provider: Auth, email: str) -> tuple[Browser, Any]:
    """Goes from the sign-in page over the provider and back."""
    browser, path = way_back(organization, provider, email)
    return browser, browser.get(path)


def way_back(organization: Auth, provider: Auth, email: str) -> tuple[Browser, str]:
    """Goes to the provider and signs in there; returns the browser, and where it is sent to."""
    browser = Browser(organization)
    page = browser.get("/oauth2/sign-in")
    assert "Sign in with Clinic ID" in page.text
    to_provider = browser.get("/oauth2/external").headers["location"]
    there = Browser(provider)
    back = there.sign_in(email, page=there.get(to_provider)).headers["location"]
    assert back.startswith(organization.url)
    return browser, back.removeprefix(organization.url)
