"""No secret's value is ever shown among a service's settings, and nothing that is not a setting."""

from typing import Any

import pytest

from apps.catalogue import SERVICES
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
