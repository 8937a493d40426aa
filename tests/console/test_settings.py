"""An administrator sees the settings of each service, and nobody sees a secret."""

import os

import httpx
import pytest

from apps.catalogue import SERVICES
from tests.console.sessions import Visitor

pytestmark = pytest.mark.integration
PATHS = {
    "auth": "/auth/v1/settings",
    "patient": "/api/settings",
    "billing": "/billing/v1/settings",
    "analytics": "/analytics/v1/settings",
}


def hidden_values() -> list[str]:
    """Gives what of the platform's secrets a test knows: the unit tests know the others."""
    return [value for name, value in os.environ.items() if name.endswith("_DATABASE_URL")]


def test_settings_of_each_service_are_shown_without_secrets(
    admin: httpx.Client, visitors: dict[str, Visitor]
) -> None:
    hidden = hidden_values()
    assert hidden
    page = visitors["admin"].get("/administration/settings").text
    for name, path in PATHS.items():
        answer = admin.get(path).raise_for_status()
        shown = {each["name"]: each for each in answer.json()["settings"]}
        entry = SERVICES[name]
        assert shown.keys() >= {*entry.settings, *entry.secrets}
        assert not [value for value in hidden if value in answer.text]
        for each in (*entry.settings, *entry.secrets):
            assert f"<code>{each}</code>" in page
        for each in entry.secrets:
            assert (shown[each]["value"], shown[each]["isSecret"]) == ("", True)
    assert "<code>CLINIC_TIME_ZONE</code>" in page
    assert not [value for value in hidden if value in page]
    assert 'role="alert"' not in page
