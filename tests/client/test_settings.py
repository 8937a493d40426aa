import json
from pathlib import Path

import pytest

from apps.client.settings import ClientSettings, PlatformError, read_settings


def test_settings_come_from_the_environment() -> None:
    environ = {
        "PLATFORM_URL": "https://x.test/",
        "PLATFORM_CLIENT_ID": "c",
        "PLATFORM_CLIENT_SECRET": "s",
    }
    expected = ClientSettings(url="https://x.test", client_id="c", client_secret="s")
    assert read_settings(environ) == expected
    assert "'s'" not in repr(expected)


@pytest.fixture
def local(tmp_path: Path) -> dict[str, str]:
    """The environment of a checkout whose platform listens on another port than usual."""
    (tmp_path / "data").mkdir()
    secrets = {"PLATFORM_CLIENT_SECRET": "s", "PLATFORM_URL": "http://127.0.0.1:4104"}
    (tmp_path / "data" / "secrets.json").write_text(json.dumps(secrets))
    return {"PLATFORM_LOCAL": str(tmp_path)}


def test_platform_of_this_checkout_is_found_at_whatever_port_it_listens(
    local: dict[str, str],
) -> None:
    expected = ClientSettings(url="http://127.0.0.1:4104", client_id="local", client_secret="s")
    assert read_settings(local) == expected
    assert read_settings({**local, "PLATFORM_URL": "http://127.0.0.1:4104/"}) == expected


@pytest.mark.parametrize("url", ["https://x.test", "http://127.0.0.1:4004"])
def test_secret_of_this_machine_is_not_sent_elsewhere(local: dict[str, str], url: str) -> None:
    with pytest.raises(PlatformError, match="PLATFORM_CLIENT_SECRET"):
        read_settings({**local, "PLATFORM_URL": url})


@pytest.mark.parametrize("environ", [{}, {"PLATFORM_CLIENT_SECRET": "s"}])
def test_platform_that_was_never_ready_is_not_guessed(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    with pytest.raises(PlatformError, match="start one with scripts/up"):
        read_settings({**environ, "PLATFORM_LOCAL": str(tmp_path)})
