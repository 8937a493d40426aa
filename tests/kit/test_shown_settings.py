"""No secret's value is ever shown among a service's settings, and nothing that is not a setting."""

from typing import Any

import pytest

from apps.catalogue import SERVICES
from apps.kit.settings import SettingsError
from tests.test_architecture import local_environment, settings_of

SHOWING = sorted(SERVICES.keys() - {"gateway"})


@pytest.mark.parametrize("name", SHOWING)
def test_no_secret_is_shown(name: str) -> None:
    entry = SERVICES[name]
    environ = local_environment(entry)
    settings = settings_of(entry, environ)
    shown = {each.name: each for each in settings.shown}
    assert shown.keys() >= {*entry.secrets, *entry.settings}
    hidden = [environ[each] for each in entry.secrets]
    # An address of a database carries its password.
    hidden += [value for key, value in environ.items() if key.endswith("_DATABASE_URL")]
    text = repr(settings.shown)
    assert hidden and not [value for value in hidden if value in text]
    for each in entry.secrets:
        assert (shown[each].value, shown[each].is_secret) == ("", True)


@pytest.mark.parametrize(
    ("service", "name", "value"),
    [
        ("auth", "AUTH_EXTERNAL_ISSUER", "https://user:word@id.example"),
        ("auth", "AUTH_EXTERNAL_ISSUER", "https:///user:word@id.example/x"),
        ("console", "CONSOLE_APPLICATIONS", "a|A|https://app.example,x|X|https://user:word@app/"),
        *((name, "PUBLIC_URL", "https://word@health.example") for name in SHOWING),
    ],
)
def test_password_in_an_address_is_refused_by_name(service: str, name: str, value: str) -> None:
    entry = SERVICES[service]
    with pytest.raises(SettingsError, match=f"{name} must have no user name") as refused:
        settings_of(entry, {**local_environment(entry), name: value})
    assert "word@" not in str(refused.value)


def test_at_sign_in_a_path_is_no_password() -> None:
    entry = SERVICES["console"]
    value = "a|A|https://app.example/@clinic?mail=a@b.example,b|B|https://b.example,c|@C|https://c"
    environ = {**local_environment(entry), "CONSOLE_APPLICATIONS": value}
    assert value in repr(settings_of(entry, environ).shown)


def test_path_on_the_machine_is_not_shown() -> None:
    entry = SERVICES["auth"]
    for text, is_set in (("/secret/mail", True), ("", False)):
        environ = {**local_environment(entry), "AUTH_MAIL_FOLDER": text}
        shown = settings_of(entry, environ).shown
        (found,) = [each for each in shown if each.name == "AUTH_MAIL_FOLDER"]
        assert (found.value, found.is_secret, found.is_set) == ("", True, is_set)


def test_value_is_the_one_in_use() -> None:
    entry = SERVICES["billing"]
    environ = {**local_environment(entry), "BILLING_CURRENCY": " EUR "}
    values: dict[str, Any] = {each.name: each.value for each in settings_of(entry, environ).shown}
    assert values["BILLING_CURRENCY"] == "EUR"
    # Its default.
    assert values["BILLING_PAYMENT_DAYS"] == "30"


def test_secret_that_no_operator_has_set_is_not_set() -> None:
    entry = SERVICES["auth"]
    for text, is_set in (("unset", False), ("", False), ("smtp://u:p@mail.example", True)):
        environ = {**local_environment(entry), "AUTH_SMTP_URL": text}
        shown = {each.name: each for each in settings_of(entry, environ).shown}
        assert shown["AUTH_SMTP_URL"].is_set is is_set
        assert shown["AUTH_SMTP_URL"].value == ""
